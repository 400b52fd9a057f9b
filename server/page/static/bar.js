// Paints a bar: the dark part is stored, the light part was sent and may not be stored yet.

export function paintBar(bar, stored, sent, size) {
  const progress = bar.querySelector('progress')
  if (size === null) progress.removeAttribute('value')
  else progress.value = size ? stored / size : 1
  bar.style.setProperty('--sent', size ? sent / size : 0)
}
