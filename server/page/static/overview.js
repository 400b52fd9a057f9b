// Above a list of several files: how many are done, how far all of them are, and the buttons for all. The title of the page
// tells it too, for somebody who is in another tab.

import { paintBar } from './bar.js'
import { Rate } from './rate.js'
import { say } from './announce.js'
import { sayPercent, text } from './text.js'
import { BUSY } from './transfer.js'
import { sayBytes, saySpeed } from './units.js'

const FEWEST = 2 // rows
const UNCOUNTED = new Set(['left', 'kept', 'cancelled'])

const view = document.querySelector('#overview')
const counts = view.querySelector('.counts')
const figures = view.querySelector('.figures')
const [bytes, files] = [new Rate(), new Rate()]
let wasWorking = false

const isWorking = ({ state }) => BUSY.has(state) || state === 'waiting'
const sum = (transfers, key) => transfers.reduce((total, one) => total + one[key], 0)

function measure(transfers) {
  const counted = transfers.filter(({ state }) => !UNCOUNTED.has(state))
  const of = (...states) => transfers.filter(({ state }) => states.includes(state)).length
  return {
    count: counted.length,
    done: of('verified'),
    failed: of('failed'),
    working: counted.filter(isWorking).length,
    size: sum(counted, 'size'),
    stored: sum(counted, 'stored'),
    sent: sum(counted, 'sent'),
    open: {
      pauseAll: counted.some(isWorking),
      resumeAll: of('paused'),
      retryAll: of('failed', 'retrying'),
      cancelAll: counted.some(isWorking) || of('paused'),
      clearFinished: of('verified', 'kept', 'cancelled'),
    },
  }
}

// Many small files take longer than their bytes let expect, so both rates are asked.
function secondsLeft({ count, done, failed, size, sent }) {
  const [ofBytes, ofFiles] = [(size - sent) / bytes.perSecond, (count - done - failed) / files.perSecond]
  return Math.max(ofBytes, Number.isFinite(ofFiles) ? ofFiles : 0)
}

function sayFigures(all) {
  const { failed, working, stored, size } = all
  const speed = working ? saySpeed(bytes.perSecond, secondsLeft(all)) : []
  const failures = failed ? [text('failures', { count: failed })] : []
  return [text('bytesOf', { done: sayBytes(stored), size: sayBytes(size) }), ...speed, ...failures].join(' · ')
}

function paintTitle({ working, count, done, size, stored }) {
  const percent = sayPercent(size ? stored / size : done / count)
  document.title = working ? text('titleWorking', { percent, done, count }) : text('title')
}

function paintButtons(open) {
  const focused = view.querySelector(':focus')
  for (const button of view.querySelectorAll('[data-act]')) button.hidden = !open[button.dataset.act]
  if (focused?.hidden) (view.querySelector('[data-act]:not([hidden])') ?? document.querySelector('#choose')).focus()
}

function write(element, words) {
  if (element.textContent !== words) element.textContent = words
}

export function paintOverview(transfers) {
  const all = measure(transfers)
  const isWatching = document.querySelector('#uploading').hidden
  document.querySelector('#uploading').classList.toggle('filled', transfers.length > 0)
  view.hidden = transfers.length < FEWEST
  bytes.note(all.sent)
  files.note(all.done)
  if (!isWatching) paintTitle(all)
  if (!view.hidden) {
    write(counts, text('doneOf', all))
    write(figures, sayFigures(all))
    paintBar(view.querySelector('.bar'), all.stored, all.sent, all.size)
    paintButtons(all.open)
  }
  if (wasWorking && !all.working && all.count >= FEWEST) sayEnd(all)
  wasWorking = all.working > 0
}

function sayEnd({ count, done, failed }) {
  if (done + failed < count) return
  const failures = failed ? `, ${text('failures', { count: failed })}` : ''
  say(failed ? text('doneOf', { done, count }) + failures : text('allDone', { count }))
}

// Has the buttons do what `acts` says.
export function wireOverview(acts) {
  for (const button of view.querySelectorAll('[data-act]')) button.onclick = () => acts[button.dataset.act]()
}
