// What a link allows, in words: before anything is sent, for a file that the server would refuse, and for its refusals.

import { granted, isDamaged } from './token.js'
import { sayBytes } from './words.js'

const needsToken = 'needsToken' in document.body.dataset
const NO_LINK = 'This server can be used only through a link. Open the link that you were given'
const CUT = 'This link is damaged. Copy it again, from its beginning to its end'
const FAMILIES = { image: 'image', audio: 'sound', video: 'sound' } // some formats are for sound as well as for videos
const NAMES = { 'image/*': 'pictures', 'audio/*': 'sound', 'video/*': 'videos', 'application/pdf': 'PDF', 'text/plain': 'text' }
const ANY = new Set(['*/*', 'application/octet-stream'])

const sayTypes = (types) => types.map((type) => NAMES[type] ?? type).join(', ').replace(/, ([^,]*)$/, ' or $1')
const sayMoment = (moment) => moment.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' })
const hasExpired = ({ until }) => until < Date.now()

function sayCount({ maxUploads }) {
  if (maxUploads === undefined) return 'any number of files'
  return maxUploads === 1 ? '1 file' : `${maxUploads} files`
}

function sayLimits(grant) {
  const { maxUploads, maxSize, quota, types, until } = grant
  const size = maxSize === undefined ? '' : ` of at most ${sayBytes(maxSize)}${maxUploads === 1 ? '' : ' each'}`
  const kinds = types ? ` (${sayTypes(types)})` : ''
  const all = quota === undefined ? '' : ` All your files together may have ${sayBytes(quota)}.`
  return `This link is for ${sayCount(grant)}${size}${kinds}, until ${sayMoment(until)}.${all}`
}

// Returns why no files can be sent at all; an empty text if they can.
export function sayClosed() {
  const grant = granted()
  if (isDamaged()) return `${CUT}.`
  if (!grant) return needsToken ? `${NO_LINK}.` : ''
  return grant.allows(grant.upload === undefined ? 'create' : 'append') ? '' : 'This link is not for uploading.'
}

// Returns what the link allows, or what is wrong with it; an empty text where no link is needed.
export function sayGrant() {
  const grant = granted()
  const closed = sayClosed()
  if (closed || !grant) return closed
  if (hasExpired(grant)) return `This link was valid until ${sayMoment(grant.until)}. Ask for a new one.`
  if (grant.upload !== undefined) return `This link is for one upload that was begun, until ${sayMoment(grant.until)}.`
  return sayLimits(grant)
}

// Only for pictures, sound and videos does the type that a browser takes from a file's name say enough. All other types
// are judged by the server, from the bytes.
function hasWrongType({ type }, types) {
  const family = FAMILIES[type.split('/')[0]]
  return family && !types.some((one) => ANY.has(one) || FAMILIES[one.split('/')[0]] === family)
}

// Returns why the server would refuse a file; an empty text if that can't be told before it is sent.
export function sayTooMuch(file) {
  const { maxSize, types } = granted() ?? {}
  if (maxSize !== undefined && file.size > maxSize) return `“${file.name}” is too large. This link allows at most ${sayBytes(maxSize)}.`
  if (types && hasWrongType(file, types)) return `“${file.name}” is ${file.type}. This link is for ${sayTypes(types)}.`
  return ''
}

// Returns what a refusal means for somebody with a link; null if the answer itself says it better.
export function sayRefused(status, code, detail) {
  const grant = granted()
  if (!grant) return status === 401 && needsToken ? NO_LINK : null
  if (status === 401) return `${hasExpired(grant) ? 'This link has expired' : 'This link is not valid here'}. Ask for a new one`
  if (status === 403) return 'This link does not allow that'
  if (code !== 'quota-exceeded') return null
  const isCount = grant.maxUploads !== undefined && detail.includes('token') // otherwise it is about bytes
  return isCount ? `This link is used up: it was for ${sayCount(grant)}` : `There is no room for this file. ${detail}`
}
