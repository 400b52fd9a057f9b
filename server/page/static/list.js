// The list of files: adds the files that are chosen, lists unfinished uploads, and does what the buttons say.

import { add, drop } from './queue.js'
import { elsewhere, forget, same, unfinished } from './remembered.js'
import { Row } from './row.js'
import { BUSY, IDLE, Transfer } from './transfer.js'
import { isFinal } from './follow.js'
import { fetchProgress } from './tus.js'

const TICK = 500 // ms between two updates of rates and times

const list = document.querySelector('#files')
const rows = []

const acts = {
  pause({ transfer }) {
    drop(transfer)
    transfer.pause()
  },
  resume: ({ transfer }) => add(transfer),
  again: ({ transfer }) => add(transfer),
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

function show(transfer) {
  const row = new Row(transfer, acts)
  transfer.changed = () => row.paint()
  rows.push(row)
  list.append(row.element)
  return row
}

function remove(row) {
  const at = rows.indexOf(row)
  rows.splice(at, 1)
  row.element.remove()
  const neighbour = rows[at] ?? rows[at - 1]
  if (neighbour) neighbour.focus()
  else document.querySelector('#choose').focus()
}

function start(row, file) {
  row.transfer.file = file
  add(row.transfer)
}

// Adds files to the list; returns those that are in it already and being uploaded.
export function take(files) {
  return files.filter((file) => {
    const row = rows.find(({ transfer }) => same(transfer.about, file))
    if (!row) add(show(new Transfer(file)).transfer)
    else if (IDLE.has(row.transfer.state)) start(row, file)
    else return true
  })
}

// Lists uploads that an earlier visit left unfinished, unless they have ended meanwhile or another tab is sending them.
export async function listUnfinished() {
  const isElsewhere = await elsewhere()
  for (const about of unfinished().filter((one) => !isElsewhere(one))) {
    const transfer = new Transfer(about)
    const message = await fetchProgress(transfer.id).catch(() => undefined)
    if (message === null || (message && isFinal(message))) {
      forget(about)
    } else if (!rows.some((row) => same(row.transfer.about, about))) {
      transfer.state = 'left'
      transfer.stored = message?.uploadedBytes ?? 0
      show(transfer)
    }
  }
}

setInterval(() => {
  for (const row of rows) if (BUSY.has(row.transfer.state)) row.paint()
}, TICK)
