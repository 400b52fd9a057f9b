// Which transfers run; the others wait in the order in which they were added. Three large files are sent at once. A small
// file takes one short request, most of which is waiting for the answer, so five of those fill the line better.

import { isSmall } from './transfer.js'

const MOST_LARGE = 3
const MOST = 5 // a browser opens six connections to a server over HTTP/1.1, for all its tabs

const waiting = new Set()
const running = new Set()

const largeOnes = () => [...running].filter((transfer) => !isSmall(transfer)).length

async function run(transfer) {
  waiting.delete(transfer)
  running.add(transfer)
  await transfer.run()
  running.delete(transfer)
  next()
}

function next() {
  if (running.size >= MOST) return
  const takesLarge = largeOnes() < MOST_LARGE
  for (const transfer of waiting) {
    if (running.has(transfer) || !(takesLarge || isSmall(transfer))) continue // one that was paused may not have stopped yet
    run(transfer)
    return next()
  }
}

export function add(...transfers) {
  for (const transfer of transfers) {
    transfer.become('waiting')
    waiting.add(transfer)
  }
  next()
}

export function drop(transfer) {
  waiting.delete(transfer)
}

export const isIdle = () => !running.size && !waiting.size
