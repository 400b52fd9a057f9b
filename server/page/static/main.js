// The page: files that are chosen or dropped go to the list. With `#watch=ID` in its URL, the page shows an upload instead.
// With `#token=…`, it has a link, and says what that allows.

import { sayClosed, sayGrant, sayTooMuch } from './grant.js'
import { listUnfinished, take } from './list.js'
import { notify } from './say.js'
import { granted, takeToken } from './token.js'
import { watch } from './watching.js'

const WATCH = /^#watch=(.*)$/
const TITLE = document.title

const input = document.querySelector('#choose')
const zone = document.querySelector('#zone')
const allowed = document.querySelector('#allowed')
let stop = () => {}

// Takes files, and says what was not taken: folders, files that are too much for the link, files that are being uploaded,
// and drops without any file.
function receive(files, folders = []) {
  if (sayClosed()) return notify(sayClosed())
  const doubles = take(files.filter((file) => !sayTooMuch(file)))
  const sentences = [
    ...files.map(sayTooMuch).filter(Boolean),
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

function showGrant() {
  const text = sayGrant()
  zone.dataset.closed = sayClosed()
  allowed.textContent = text
  allowed.hidden = !text
  const { maxUploads, types = [] } = granted() ?? {}
  input.multiple = maxUploads !== 1
  input.accept = types.join()
}

async function listIfAllowed() {
  if (!sayClosed()) await listUnfinished()
}

function show() {
  showGrant()
  stop()
  const [, id] = WATCH.exec(location.hash) ?? []
  const isWatching = id !== undefined
  document.querySelector('#uploading').hidden = isWatching
  document.querySelector('#watching').hidden = !isWatching
  document.title = TITLE
  stop = isWatching ? watch(id) : () => {}
}

addEventListener('hashchange', () => {
  const isNew = takeToken()
  show()
  if (isNew) listIfAllowed()
})
show()
await listIfAllowed()
document.documentElement.dataset.ready = ''
