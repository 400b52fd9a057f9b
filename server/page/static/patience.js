// How long to wait until the next try: longer each time, spread by chance, and cut short when the network is back.

const FIRST = 500 // ms
const LONGEST = 30_000

export function delay(tries, retryAfter = 0) {
  const most = Math.min(LONGEST, FIRST * 2 ** Math.min(tries, 10))
  return Math.max(most * (0.5 + Math.random() / 2), retryAfter * 1000)
}

export function pause(time, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      removeEventListener('online', end)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, time)
    addEventListener('online', end)
    signal?.addEventListener('abort', end)
  })
}

export function aborted(signal) {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}
