// The page: files that are chosen or dropped go to the list; `#watch=ID` shows an upload instead.

import { listUnfinished, take } from './list.js'
import { say } from './say.js'
import { watch } from './watching.js'

const WATCH = /^#watch=([0-9a-f]+)$/
const TITLE = document.title

const input = document.querySelector('#choose')
const zone = document.querySelector('#zone')
let stop = () => {}

input.onchange = () => {
  take([...input.files])
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
  const entries = [...event.dataTransfer.items].map((item) => [item.getAsFile(), item.webkitGetAsEntry()])
  if (entries.some(([, entry]) => entry?.isDirectory)) say('Folders can’t be uploaded, only files')
  take(entries.filter(([file, entry]) => file && !entry?.isDirectory).map(([file]) => file))
})

function show() {
  stop()
  const [, id] = WATCH.exec(location.hash) ?? []
  document.querySelector('#uploading').hidden = Boolean(id)
  document.querySelector('#watching').hidden = !id
  document.title = TITLE
  stop = id ? watch(id) : () => {}
}

addEventListener('hashchange', show)
show()
await listUnfinished()
document.documentElement.dataset.ready = ''
