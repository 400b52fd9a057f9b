// What a screen reader is told: changes of state, never the progress itself. And how text gets to the clipboard.

export function say(text) {
  document.querySelector('#said').textContent = text
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    const focused = document.activeElement
    const field = document.body.appendChild(document.createElement('textarea')) // outside https there is no other way
    field.value = text
    field.select()
    document.execCommand('copy')
    field.remove()
    focused.focus()
  }
}
