// How long to wait until the next try: longer each time and partly at random. A wait ends early when the network is back.

const FIRST = 500 // ms
const LONGEST = 30_000 // ms

export function delay(tries, retryAfter = 0) {
  const limit = Math.min(LONGEST, FIRST * 2 ** Math.min(tries, 10))
  return Math.max(limit * (0.5 + Math.random() / 2), retryAfter * 1000)
}

export function pause(time, ...signals) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      removeEventListener('online', end)
      for (const signal of signals) signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, time)
    addEventListener('online', end)
    for (const signal of signals) signal.addEventListener('abort', end)
  })
}

export function aborted(signal) {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}
