// The view of one upload that is watched, `#watch=ID`. The part of a URL after # is never sent to a server.

import { paintBar } from './bar.js'
import { follow, isFinal } from './follow.js'
import { sayReason } from './request.js'
import { say } from './announce.js'
import { sayPercent, text } from './text.js'
import { mayDo } from './token.js'
import { leadToFile } from './tus.js'
import { sayProgress, saySpeed } from './units.js'

const STATUSES = {
  pending: 'watchNothing',
  uploading: 'uploading',
  paused: 'watchPaused',
  verifying: 'verifying',
  completed: 'watchCompleted',
  failed: 'watchFailed',
  terminated: 'cancelled',
  expired: 'watchExpired',
}
const LINES = { live: 'live', lost: 'lost', unknown: 'unknownUpload' }

const view = document.querySelector('#watching')
const find = (selector) => view.querySelector(selector)

function paint(id, message) {
  const { status, fileName, fileSize, uploadedBytes, progress, bytesPerSecond, etaSeconds, sha256, error } = message
  const { contentType, url } = message // told once it is completed
  const { receivedBytes = uploadedBytes } = message // those that are stored, and those that still wait for it
  const words = error ? text('watchFailedWhy', { why: sayReason(0, error.code, error.title) }) : text(STATUSES[status])
  find('.name').textContent = fileName ?? text('watchUnnamed')
  document.title = `${fileName ?? text('watchAny')} · Onward`
  const percent = progress === null ? [] : [sayPercent(progress / 100)]
  const figures = [...percent, sayProgress(uploadedBytes, fileSize), ...saySpeed(bytesPerSecond, etaSeconds)]
  if (contentType) figures.push(contentType)
  find('.figures').textContent = figures.join(' · ')
  paintBar(find('.bar'), uploadedBytes, receivedBytes, fileSize)
  find('.hash').hidden = !sha256
  find('.hash code').textContent = sha256 ?? ''
  find('.download').hidden = status !== 'completed' || !(url || mayDo('download'))
  leadToFile(find('.download'), id, url)
  if (find('.status').textContent === words) return
  view.dataset.state = status
  find('.status').textContent = words
  say(words)
}

// Shows an upload; returns the function that stops it.
export function watch(id) {
  view.dataset.state = 'pending'
  paintBar(find('.bar'), 0, 0, 1)
  find('.name').textContent = text('watchAny')
  for (const place of ['.figures', '.status', '.line']) find(place).textContent = ''
  find('.hash').hidden = find('.download').hidden = true
  return follow(
    id,
    (message) => {
      paint(id, message)
      if (isFinal(message)) find('.line').textContent = ''
    },
    (line, reason) => {
      find('.line').textContent = LINES[line] ? text(LINES[line]) : reason
      find('.line').dataset.line = line
    },
  )
}
