// The page: files that are chosen, dropped or pasted go to the list. With `#watch=ID` in its URL, the page shows an upload
// instead. With `#token=…`, it has a link, and says what that allows.

import { describe, takeTransferred } from './chosen.js'
import { acceptedTypes, sayClosed, sayGrant, sayTooMuch } from './grant.js'
import { actsOfAll, isUploading, listFinished, listUnfinished, take } from './list.js'
import { wireOverview } from './overview.js'
import { notify } from './announce.js'
import { fillPage, text } from './text.js'
import { granted, takeToken } from './token.js'
import { watch } from './watching.js'

const WATCH = /^#watch=(.*)$/
const MOST_SAID = 5 // sentences of one notice

const input = document.querySelector('#choose')
const folder = document.querySelector('#choose-folder')
const zone = document.querySelector('#zone')
const allowed = document.querySelector('#allowed')
let stop = () => {}

function sayDoubles(doubles) {
  if (doubles.length > 3) return [text('inListMany', { count: doubles.length })]
  return doubles.map(({ name, path }) => text('inList', { name: path || name }))
}

// Takes files, and says what was not taken: empty folders, what can't be read, files that are too much, files that are
// being uploaded, and drops without any file.
function receive({ files, empty = [], unreadable = [] }) {
  if (sayClosed()) return notify(sayClosed())
  const doubles = take(files.filter((file) => !sayTooMuch(file)))
  const sentences = [
    ...files.map(sayTooMuch).filter(Boolean),
    ...empty.map((name) => text('emptyFolder', { name })),
    ...unreadable.map((name) => text('unreadableEntry', { name })),
    ...sayDoubles(doubles),
  ]
  if (!files.length && !sentences.length) sentences.push(text('onlyFiles'))
  const more = sentences.splice(MOST_SAID).length
  notify(...sentences, ...(more ? [text('andMore', { count: more })] : []))
}

for (const one of [input, folder]) {
  one.onchange = () => {
    if (one.files.length) receive({ files: [...one.files].map((file) => describe(file)) })
    one.value = ''
  }
}

const over = (isOver) => document.body.classList.toggle('over', isOver)

addEventListener('dragover', (event) => {
  event.preventDefault()
  over(true)
})
addEventListener('dragleave', ({ relatedTarget }) => {
  if (!relatedTarget) over(false)
})
addEventListener('drop', async (event) => {
  event.preventDefault()
  over(false)
  if (location.hash) location.hash = '' // so that a person who watches an upload sees the dropped files
  receive(await takeTransferred(event.dataTransfer))
})
addEventListener('paste', async ({ clipboardData }) => {
  if (!clipboardData.files.length) return
  if (location.hash) location.hash = ''
  receive(await takeTransferred(clipboardData))
})
addEventListener('beforeunload', (event) => {
  if (isUploading()) event.preventDefault()
})

function showGrant() {
  const sentence = sayGrant()
  zone.dataset.closed = sayClosed()
  allowed.textContent = sentence
  allowed.hidden = !sentence
  input.multiple = granted()?.maxUploads !== 1
  input.accept = (acceptedTypes() ?? []).join()
  document.querySelector('label[for=choose-folder]').hidden = !('webkitdirectory' in folder && input.multiple)
  folder.disabled = document.querySelector('label[for=choose-folder]').hidden
}

async function listIfAllowed() {
  if (sayClosed()) return
  await listUnfinished()
  await listFinished()
}

function show() {
  showGrant()
  stop()
  const [, id] = WATCH.exec(location.hash) ?? []
  const isWatching = id !== undefined
  document.querySelector('#uploading').hidden = isWatching
  document.querySelector('#watching').hidden = !isWatching
  document.title = text('title')
  stop = isWatching ? watch(id) : () => {}
}

addEventListener('hashchange', () => {
  const isNew = takeToken()
  show()
  if (isNew) listIfAllowed()
})
fillPage()
wireOverview(actsOfAll)
show()
await listIfAllowed()
document.documentElement.dataset.ready = ''
