// tus 1.0.0 as the page needs it. The page keeps only the id of an upload, not its URL, so every request goes to the
// page's own origin, even if a proxy has given the server another host or scheme.

import { buildReprDigest, parseReprDigest } from './digest.js'
import { Refused, request } from './request.js'
import { buildAuthorization, withToken } from './token.js'

const MEDIA_TYPE = 'application/offset+octet-stream'
const PROGRESS_WAIT = 10_000 // ms
const endpoint = new URL(document.body.dataset.endpoint, location)

export const uploadUrl = (id) => `${endpoint.href.replace(/\/$/, '')}/${encodeURIComponent(id)}`
export const watchUrl = (id) => `${location.href.replace(/#.*/, '')}#watch=${id}`
export const eventsUrl = (id) => withToken(`${uploadUrl(id)}/progress`)

// Has a link lead to the file: to where others find it, or to this server. The token is in the link only while it is
// followed, so it is not copied with the link.
export function leadToFile(link, id, url) {
  link.href = url ?? uploadUrl(id)
  link.onclick = link.onauxclick = () => {
    if (url) return
    link.href = withToken(uploadUrl(id))
    setTimeout(() => (link.href = uploadUrl(id)))
  }
}

function encode(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''))
}

function readStored(header) {
  return { offset: Number(header('Upload-Offset')), sha256: parseReprDigest(header('Repr-Digest')) }
}

const writeMetadata = (pairs) =>
  Object.entries(pairs).filter(([, value]) => value).map(([key, value]) => `${key} ${encode(value)}`).join(',')

// With a `body`, all of a small file, the same request sends it. `promised` is its SHA-256, and `key` the Idempotency-Key.
export async function create({ name, path, type, size }, { body = null, promised, key, signal }) {
  const metadata = writeMetadata({ filename: name, filetype: type, relativePath: path })
  const headers = { 'Upload-Length': size, 'Upload-Metadata': metadata }
  if (body) {
    Object.assign(headers, { 'Content-Type': MEDIA_TYPE, 'Repr-Digest': buildReprDigest(promised), 'Idempotency-Key': key })
  }
  const header = await request('POST', endpoint, { headers, body, signal })
  return { id: header('Location').split('/').pop(), ...readStored(header) }
}

export async function inspect(id, signal) {
  const header = await request('HEAD', uploadUrl(id), { signal })
  return { length: Number(header('Upload-Length')), ...readStored(header) }
}

// `promised` is the SHA-256 of the whole file: the server compares the file with it before it publishes the file.
export async function append(id, { offset, body, promised, signal, onSent }) {
  const headers = { 'Upload-Offset': offset, 'Content-Type': MEDIA_TYPE }
  if (promised) headers['Repr-Digest'] = buildReprDigest(promised)
  return readStored(await request('PATCH', uploadUrl(id), { headers, body, signal, onSent }))
}

export async function terminate(id) {
  await request('DELETE', uploadUrl(id), {})
}

// Returns the current progress message; null if the server does not know the upload. Throws Refused for other refusals.
export async function fetchProgress(id) {
  const signal = AbortSignal.timeout(PROGRESS_WAIT)
  const headers = { Accept: 'application/json', ...buildAuthorization() }
  const answer = await fetch(`${uploadUrl(id)}/progress`, { headers, signal })
  if (answer.ok) return answer.json()
  if (answer.status === 404) return null
  throw new Refused(answer.status, await answer.json().catch(() => ({})))
}

// Returns why an upload has failed, as `{code, title}`; null if it has not, or if that can't be found out.
export async function fetchFailure(id) {
  try {
    return (await fetchProgress(id))?.error ?? null
  } catch {
    return null
  }
}
