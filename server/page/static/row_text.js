// What the row of a file says about its transfer, and which buttons it offers, in each state.

import { sayMoment, sayPercent, text } from './text.js'
import { mayDo } from './token.js'
import { sayBytes, sayProgress, saySpeed, sayTime } from './units.js'

const BUTTONS = {
  left: ['choose', 'discard'],
  waiting: ['pause', 'cancel'],
  starting: ['pause', 'cancel'],
  uploading: ['pause', 'cancel', 'copy'],
  hashing: ['pause', 'cancel', 'copy'],
  verifying: ['cancel', 'copy'],
  retrying: ['now', 'pause', 'cancel', 'copy'],
  elsewhere: ['copy', 'remove'],
  paused: ['resume', 'cancel', 'copy'],
  verified: ['download', 'copy', 'remove'],
  kept: ['download', 'copy', 'remove'],
  failed: ['again', 'remove'],
  cancelled: ['again', 'remove'],
}
const SCOPES = { download: 'download', copy: 'watch' } // what these buttons need
const UNMEASURED = new Set(['waiting', 'verified', 'kept', 'failed', 'cancelled']) // a share would say nothing

export function actsOf({ state, id }) {
  return BUTTONS[state].filter((act) => (act in SCOPES ? mayDo(SCOPES[act]) && id : true))
}

const BRIEF = { verified: 'verifiedBrief' } // for rows of one line

export function statusOf({ state, why, size, hashed, retryAt, finishedAt }, isBrief) {
  switch (state) {
    case 'hashing':
      return text(state, { percent: sayPercent(hashed / size) })
    case 'retrying':
      return text(state, { why, time: sayTime((retryAt - performance.now()) / 1000) })
    case 'failed':
      return text(state, { why })
    case 'kept':
      return text(state, { moment: sayMoment(finishedAt) })
    default:
      return text((isBrief && BRIEF[state]) || state)
  }
}

export function figuresOf({ state, size, stored, sent, rate, contentType }) {
  if (state === 'verified' && contentType) return `${sayBytes(size)} · ${contentType}`
  if (UNMEASURED.has(state)) return sayBytes(size)
  const speed = state === 'uploading' ? rate.perSecond : 0
  return [sayProgress(stored, size), ...saySpeed(speed, (size - sent) / speed)].join(' · ')
}
