// A bar: what is stored, and more lightly what was sent but is not known to be stored.

export function paintBar(bar, stored, sent, size) {
  const progress = bar.querySelector('progress')
  if (size === null) progress.removeAttribute('value')
  else progress.value = size ? stored / size : 1
  bar.style.setProperty('--sent', size ? sent / size : 0)
}
