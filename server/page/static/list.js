// The list of files: adds files that are chosen, lists what earlier visits have left or finished, and does what the buttons
// of the rows and of the whole list say.

import { dropFinished, finished } from './finished.js'
import { isFinal } from './follow.js'
import { paintOverview } from './overview.js'
import { add, drop, isIdle } from './queue.js'
import { elsewhere, forget, keyOf, unfinished } from './unfinished.js'
import { Row } from './row.js'
import { BUSY, IDLE, Transfer } from './transfer.js'
import { fetchProgress } from './tus.js'

const TICK = 500 // ms between two updates of rates and times
const MANY = 12 // rows; more are one line each, and are rendered whole only near the part in sight
const NEAR = 800 // px
const DONE = new Set(['verified', 'kept', 'cancelled'])

const list = document.querySelector('#files')
const rows = new Map() // by the key of the file
const rowsOfElements = new WeakMap()
let isDescribing = false

const isMany = () => rows.size > MANY
const ofStates = (...states) => [...rows.values()].filter(({ transfer }) => states.includes(transfer.state))
const isUnderWay = ({ transfer: { state } }) => BUSY.has(state) || state === 'waiting'

// Renders the rest of the rows near the part in sight. In long lists all rows have one height, so it is known which rows these are.
function renderNear() {
  if (!isMany()) return
  const all = [...list.children]
  const { top } = list.getBoundingClientRect()
  const height = all[0].offsetHeight || innerHeight
  const first = Math.max(0, Math.floor((-top - NEAR) / height))
  const behind = first + Math.ceil((innerHeight + 2 * NEAR) / height)
  for (const element of all.slice(first, behind)) rowsOfElements.get(element).render()
}

let isPlanned = false

// Many rows may change and scroll in between two frames.
function planRendering() {
  if (isPlanned) return
  isPlanned = true
  requestAnimationFrame(() => {
    isPlanned = false
    renderNear()
  })
}

addEventListener('scroll', planRendering, { passive: true })
addEventListener('resize', planRendering)

const acts = {
  pause({ transfer }) {
    drop(transfer)
    transfer.pause()
  },
  resume: ({ transfer }) => add(transfer),
  again: ({ transfer }) => add(transfer),
  now: ({ transfer }) => transfer.tryNow(),
  cancel({ transfer }) {
    drop(transfer)
    transfer.cancel()
  },
  discard(row) {
    row.transfer.cancel()
    remove(row)
  },
  remove,
  chosen: start,
}

export const actsOfAll = {
  pauseAll: () => [...rows.values()].filter(isUnderWay).reverse().forEach(acts.pause),
  resumeAll: () => add(...ofStates('paused').map(({ transfer }) => transfer)),
  retryAll() {
    ofStates('retrying').forEach(acts.now)
    add(...ofStates('failed').map(({ transfer }) => transfer))
  },
  cancelAll: () => [...rows.values()].filter((row) => isUnderWay(row) || row.transfer.state === 'paused').reverse().forEach(acts.cancel),
  clearFinished() {
    ofStates(...DONE).forEach(takeOut)
    arrange()
  },
}

export const isUploading = () => [...rows.values()].some(isUnderWay)

function show(transfers) {
  const all = transfers.map((transfer) => {
    const row = new Row(transfer, acts, isMany)
    transfer.changed = () => changed(row)
    transfer.freed = () => add(transfer)
    rows.set(keyOf(transfer.about), row)
    rowsOfElements.set(row.element, row)
    return row
  })
  for (const row of all) row.paint()
  const before = list.querySelector(':scope > [data-state=kept]') // what earlier visits have finished comes last
  const elements = all.map(({ element }) => element)
  if (before && transfers[0]?.state !== 'kept') before.before(...elements)
  else list.append(...elements)
  arrange()
}

// Long lists have one line for each file.
function arrange() {
  list.classList.toggle('many', isMany())
  for (const row of rows.values()) {
    if (row.isRendered) row.paint()
    else if (!isMany()) row.render()
  }
  planRendering()
  paintAll()
}

function changed(row) {
  row.paint()
  if (row.transfer.state === 'verified' && !isMany() && !row.transfer.isDescribed) row.transfer.describe()
}

function takeOut(row) {
  rows.delete(keyOf(row.transfer.about))
  row.element.remove()
  drop(row.transfer)
  row.transfer.leave()
  if (DONE.has(row.transfer.state)) dropFinished(row.transfer.id)
}

function remove(row) {
  const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling
  takeOut(row)
  arrange()
  if (neighbour) rowsOfElements.get(neighbour).focus()
  else document.querySelector('#choose').focus()
}

function start(row, file) {
  row.transfer.file = file
  add(row.transfer)
}

// Adds files to the list; returns those that are in it already and being uploaded.
export function take(abouts) {
  const [fresh, doubles] = [new Map(), []]
  for (const about of abouts) {
    const key = keyOf(about)
    const row = rows.get(key)
    if (row && IDLE.has(row.transfer.state)) start(row, about.file)
    else if (row || fresh.has(key)) doubles.push(about)
    else fresh.set(key, new Transfer(about))
  }
  show([...fresh.values()])
  add(...fresh.values())
  return doubles
}

// Lists uploads that an earlier visit left unfinished, unless they have ended meanwhile or another tab is sending them.
export async function listUnfinished() {
  const isElsewhere = await elsewhere()
  for (const about of unfinished().filter((one) => !isElsewhere(one))) {
    const transfer = new Transfer(about)
    const message = await fetchProgress(transfer.id).catch(() => undefined)
    if (message === null || (message && isFinal(message))) {
      forget(about)
    } else if (!rows.has(keyOf(about))) {
      transfer.state = 'left'
      transfer.stored = message?.uploadedBytes ?? 0
      show([transfer])
    }
  }
}

// Lists the last finished files, as far as the server still has them.
export async function listFinished() {
  for (const { id, at, ...about } of finished()) {
    const message = await fetchProgress(id).catch(() => undefined)
    if (message === null || (message && message.status !== 'completed')) {
      dropFinished(id)
    } else if (!rows.has(keyOf(about))) {
      const known = { id, finishedAt: at, state: 'kept', sha256: message?.sha256 ?? '', url: message?.url ?? null }
      show([Object.assign(new Transfer(about), known)])
    }
  }
}

// In long lists the server is asked about finished files only when nothing is being uploaded, for the rows in sight.
async function describeRendered() {
  if (isDescribing || !isIdle()) return
  isDescribing = true
  for (const { transfer, isRendered } of rows.values()) {
    if (isRendered && transfer.state === 'verified' && !transfer.isDescribed) await transfer.describe()
    if (!isIdle()) break
  }
  isDescribing = false
}

const paintAll = () => paintOverview([...rows.values()].map(({ transfer }) => transfer))

setInterval(() => {
  for (const row of rows.values()) if (BUSY.has(row.transfer.state)) row.paint()
  paintAll()
  describeRendered()
}, TICK)
