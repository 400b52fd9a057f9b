// Which transfers run: three at once; the others wait in the order in which they were added.

const MOST = 3 // a browser opens six connections to a server over HTTP/1.1, for all its tabs

const waiting = []
const running = new Set()

async function run(transfer) {
  running.add(transfer)
  await transfer.run()
  running.delete(transfer)
  next()
}

function next() {
  const at = waiting.findIndex((transfer) => !running.has(transfer))
  if (running.size >= MOST || at < 0) return
  run(...waiting.splice(at, 1))
  next()
}

export function add(transfer) {
  transfer.become('waiting')
  waiting.push(transfer)
  next()
}

export function drop(transfer) {
  if (waiting.includes(transfer)) waiting.splice(waiting.indexOf(transfer), 1)
}
