// Three ways to reach people: `say` for screen readers (changes of state, never the progress itself), `notify` for a
// notice that everyone sees, and `copy` for the clipboard.

const notice = document.querySelector('#notice')

export function say(text) {
  document.querySelector('#said').textContent = text
}

// Shows sentences below the zone until the next files are chosen or dropped.
export function notify(...sentences) {
  notice.textContent = sentences.join(' ')
  notice.hidden = !sentences.length
  if (sentences.length) say(notice.textContent)
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    const focused = document.activeElement
    const field = document.body.appendChild(document.createElement('textarea')) // the only way outside https
    field.value = text
    field.select()
    document.execCommand('copy')
    field.remove()
    focused.focus()
  }
}
