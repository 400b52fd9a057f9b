// What this server and a link allow, in words: before anything is sent, for a file that would be refused, and for refusals.

import { sayChoice, sayMoment, text } from './text.js'
import { granted, isDamaged } from './token.js'
import { sayBytes } from './units.js'

const { dataset } = document.body
const needsToken = 'needsToken' in dataset
const FAMILIES = { image: 'image', audio: 'sound', video: 'sound' } // some formats are for sound as well as for videos
const NAMES = { 'image/*': 'images', 'audio/*': 'sound', 'video/*': 'videos', 'text/plain': 'plainText' }
const ANY = new Set(['*/*', 'application/octet-stream'])

const sayType = (type) => (NAMES[type] ? text(NAMES[type]) : type === 'application/pdf' ? 'PDF' : type)
const sayTypes = (types) => sayChoice(types.map(sayType))
const hasExpired = ({ until }) => until < Date.now()
const smallest = (...sizes) => Math.min(...sizes.map((size) => Number(size) || Infinity))

// Returns the types that both the server and the link accept, as far as the page can tell; null for all.
export function acceptedTypes() {
  const own = dataset.types ? dataset.types.split(',') : null
  return granted()?.types ?? own
}

function sayLimits(grant) {
  const most = smallest(dataset.maxSize, grant?.maxSize)
  const types = acceptedTypes()
  return [
    most < Infinity && text('limitSize', { size: sayBytes(most) }),
    types && text('limitTypes', { types: sayTypes(types) }),
    grant?.quota !== undefined && text('linkQuota', { size: sayBytes(grant.quota) }),
  ].filter(Boolean)
}

function sayCount({ maxUploads, until }) {
  const moment = sayMoment(until)
  return maxUploads === undefined ? text('linkAnyFiles', { moment }) : text('linkFiles', { count: maxUploads, moment })
}

// Returns why no files can be sent at all; an empty text if they can.
export function sayClosed() {
  const grant = granted()
  if (isDamaged()) return `${text('linkDamaged')}.`
  if (!grant) return needsToken ? `${text('linkNeeded')}.` : ''
  return grant.allows(grant.upload === undefined ? 'create' : 'append') ? '' : text('linkNotForUploading')
}

// Returns what can be sent, or what is wrong with the link; an empty text where there are no limits.
export function sayGrant() {
  const grant = granted()
  const closed = sayClosed()
  if (closed) return closed
  if (!grant) return sayLimits(null).join(' ')
  const moment = sayMoment(grant.until)
  if (hasExpired(grant)) return text('linkWasValid', { moment })
  if (grant.upload !== undefined) return text('linkUpload', { moment })
  return [sayCount(grant), ...sayLimits(grant)].join(' ')
}

// Only for pictures, sound and videos does the type that a browser takes from a file's name say enough. All other types
// are judged by the server, from the bytes.
function hasWrongType({ type }, types) {
  const family = FAMILIES[type.split('/')[0]]
  return family && !types.some((one) => ANY.has(one) || FAMILIES[one.split('/')[0]] === family)
}

// Returns why the server would refuse a file; an empty text if that can't be told before it is sent.
export function sayTooMuch(file) {
  const { name, size, type } = file
  const [ofLink, ofServer, types] = [smallest(granted()?.maxSize), smallest(dataset.maxSize), acceptedTypes()]
  if (size > ofLink) return text('tooLargeForLink', { name, size: sayBytes(ofLink) })
  if (size > ofServer) return text('tooLarge', { name, size: sayBytes(ofServer) })
  if (types && hasWrongType(file, types)) return text('wrongType', { name, type, types: sayTypes(types) })
  return ''
}

// Returns what a refusal means for somebody with a link; null if the answer itself says it better.
export function sayRefused(status, code, detail) {
  const grant = granted()
  if (!grant) return status === 401 && needsToken ? text('linkNeeded') : null
  if (status === 401) return text(hasExpired(grant) ? 'linkExpired' : 'linkInvalid')
  if (status === 403) return text('linkForbids')
  if (code !== 'quota-exceeded') return null
  const isCount = grant.maxUploads !== undefined && detail.includes('token') // otherwise it is about bytes
  return isCount ? text('linkUsedUp', { count: grant.maxUploads }) : text('linkNoRoom', { detail: detail.replace(/\.$/, '') })
}
