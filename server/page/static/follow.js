// Follows the progress of an upload until its final status; reconnects whenever the connection is lost.

import { delay } from './patience.js'
import { fetchProgress, uploadUrl } from './tus.js'

const FINAL = new Set(['completed', 'failed', 'terminated', 'expired'])
export const isFinal = ({ status }) => FINAL.has(status)

// Calls `onMessage` with each message, and `onConnection` with `live`, `lost` or `unknown` (no such upload). Returns the
// function that stops it.
export function follow(id, onMessage, onConnection) {
  const url = `${uploadUrl(id)}/progress`
  let source
  let timer
  let tries = 0
  let ended = false

  function open() {
    source = new EventSource(url)
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
    const reason = (await isUnknown()) ? 'unknown' : 'lost'
    if (ended) return
    onConnection(reason)
    timer = setTimeout(open, delay((tries += 1)))
  }

  async function isUnknown() {
    try {
      return (await fetchProgress(id)) === null
    } catch {
      return false
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
