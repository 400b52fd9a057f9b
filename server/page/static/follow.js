// Follows the progress of an upload until its final status; reconnects whenever the connection is lost.

import { delay } from './backoff.js'
import { eventsUrl, fetchProgress } from './tus.js'

const FINAL = new Set(['completed', 'failed', 'terminated', 'expired'])
export const isFinal = ({ status }) => FINAL.has(status)

const DENIED = new Set([401, 403])

// Calls `onMessage` with each message, and `onConnection` with `live`, `lost`, `unknown` (no such upload) or `denied`, and
// the server's reason if it denies. Returns the function that stops it.
export function follow(id, onMessage, onConnection) {
  let source
  let timer
  let tries = 0
  let ended = false

  function open() {
    source = new EventSource(eventsUrl(id))
    source.onopen = () => onConnection('live')
    source.onmessage = ({ data }) => {
      const message = JSON.parse(data)
      tries = 0
      if (isFinal(message)) stop()
      onMessage(message)
    }
    source.onerror = again
  }

  async function again() {
    source.close()
    const [line, reason] = await diagnose()
    if (ended) return
    onConnection(line, reason)
    if (line === 'denied') return
    timer = setTimeout(open, delay((tries += 1)))
  }

  async function diagnose() {
    try {
      return [(await fetchProgress(id)) === null ? 'unknown' : 'lost']
    } catch (fault) {
      return DENIED.has(fault.status) ? ['denied', fault.message] : ['lost']
    }
  }

  function stop() {
    ended = true
    clearTimeout(timer)
    source.close()
  }

  open()
  return stop
}
