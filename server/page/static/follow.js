// The progress of an upload as the server tells it, until its final status; reconnects whenever the connection is lost.

import { delay } from './patience.js'
import { look, uploadUrl } from './tus.js'

const FINAL = new Set(['completed', 'failed', 'terminated', 'expired'])
export const isFinal = ({ status }) => FINAL.has(status)

// `told` is given each message, `line` is told `live`, `lost` or `unknown`; gives the function that ends it.
export function follow(id, told, line) {
  const url = `${uploadUrl(id)}/progress`
  let source
  let timer
  let tries = 0
  let ended = false

  function open() {
    source = new EventSource(url)
    source.onopen = () => line('live')
    source.onmessage = ({ data }) => {
      const message = JSON.parse(data)
      tries = 0
      if (isFinal(message)) stop()
      told(message)
    }
    source.onerror = again
  }

  async function again() {
    source.close()
    const reason = (await isUnknown()) ? 'unknown' : 'lost'
    if (ended) return
    line(reason)
    timer = setTimeout(open, delay((tries += 1)))
  }

  async function isUnknown() {
    try {
      return (await look(id)) === null
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
