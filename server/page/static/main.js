// The page: files that are chosen or dropped go to the list. With `#watch=ID` in its URL, the page shows an upload instead.

import { listUnfinished, take } from './list.js'
import { notify } from './say.js'
import { watch } from './watching.js'

const WATCH = /^#watch=(.*)$/
const TITLE = document.title

const input = document.querySelector('#choose')
const zone = document.querySelector('#zone')
let stop = () => {}

// Takes files, and says what was not taken: folders, files that are being uploaded, and drops without any file.
function receive(files, folders = []) {
  const doubles = take(files)
  const sentences = [
    ...folders.map((name) => `“${name}” is a folder. Folders can’t be uploaded, only the files in them.`),
    ...doubles.map(({ name }) => `“${name}” is in the list already.`),
  ]
  if (!files.length && !folders.length) sentences.push('Only files can be uploaded.')
  notify(...sentences)
}

input.onchange = () => {
  if (input.files.length) receive([...input.files])
  input.value = ''
}

addEventListener('dragover', (event) => {
  event.preventDefault()
  zone.classList.add('over')
})
addEventListener('dragleave', ({ relatedTarget }) => {
  if (!relatedTarget) zone.classList.remove('over')
})
addEventListener('drop', (event) => {
  event.preventDefault()
  zone.classList.remove('over')
  if (location.hash) location.hash = '' // so that a person who watches an upload sees the dropped files
  const entries = [...event.dataTransfer.items].map((item) => [item.getAsFile(), item.webkitGetAsEntry()])
  const folders = entries.filter(([, entry]) => entry?.isDirectory)
  const files = entries.filter(([file, entry]) => file && !entry?.isDirectory)
  receive(
    files.map(([file]) => file),
    folders.map(([, { name }]) => name),
  )
})

function show() {
  stop()
  const [, id] = WATCH.exec(location.hash) ?? []
  const isWatching = id !== undefined
  document.querySelector('#uploading').hidden = isWatching
  document.querySelector('#watching').hidden = !isWatching
  document.title = TITLE
  stop = isWatching ? watch(id) : () => {}
}

addEventListener('hashchange', show)
show()
await listUnfinished()
document.documentElement.dataset.ready = ''
