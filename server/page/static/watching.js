// The view of one upload that is watched, `#watch=ID`. The part of a URL after # is never sent to a server.

import { paintBar } from './bar.js'
import { follow, isFinal } from './follow.js'
import { say } from './say.js'
import { mayDo } from './token.js'
import { leadToFile } from './tus.js'
import { sayProgress, saySpeed } from './words.js'

const STATUSES = {
  pending: 'Nothing has arrived yet',
  uploading: 'Uploading',
  paused: 'Paused: no bytes are arriving',
  verifying: 'Verifying',
  completed: 'Completed and verified',
  failed: 'Failed',
  terminated: 'Cancelled',
  expired: 'Expired',
}
const LINES = {
  live: 'Live',
  lost: 'Connection lost. Reconnecting…',
  unknown: 'The server does not know this upload, or has forgotten it',
}

const view = document.querySelector('#watching')
const find = (selector) => view.querySelector(selector)

function paint(id, message) {
  const { status, fileName, fileSize, uploadedBytes, progress, bytesPerSecond, etaSeconds, sha256, error } = message
  const { receivedBytes, contentType, url } = message // the last two are told once it is completed
  const text = error ? `${STATUSES[status]}. ${error.title}` : STATUSES[status]
  find('.name').textContent = fileName ?? 'A file without a name'
  document.title = `${fileName ?? 'Upload'} · Onward`
  const percent = progress === null ? [] : [`${Math.floor(progress)} %`]
  const figures = [...percent, sayProgress(uploadedBytes, fileSize), ...saySpeed(bytesPerSecond, etaSeconds)]
  if (contentType) figures.push(contentType)
  find('.figures').textContent = figures.join(' · ')
  paintBar(find('.bar'), uploadedBytes, receivedBytes, fileSize)
  find('.hash').hidden = !sha256
  find('.hash code').textContent = sha256 ?? ''
  find('.download').hidden = status !== 'completed' || !(url || mayDo('download'))
  leadToFile(find('.download'), id, url)
  if (find('.status').textContent === text) return
  view.dataset.state = status
  find('.status').textContent = text
  say(text)
}

// Shows an upload; returns the function that stops it.
export function watch(id) {
  view.dataset.state = 'pending'
  paintBar(find('.bar'), 0, 0, 1)
  find('.name').textContent = 'An upload'
  for (const place of ['.figures', '.status', '.line']) find(place).textContent = ''
  find('.hash').hidden = find('.download').hidden = true
  return follow(
    id,
    (message) => {
      paint(id, message)
      if (isFinal(message)) find('.line').textContent = ''
    },
    (line, reason) => {
      find('.line').textContent = LINES[line] ?? reason
      find('.line').dataset.line = line
    },
  )
}
