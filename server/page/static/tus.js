// tus 1.0.0 as the page needs it. An upload is known by its id alone, so that every request goes to the page's own
// origin, whatever host and scheme a proxy has told the server.

import { buildReprDigest, parseReprDigest } from './digest.js'
import { request } from './request.js'

const LOOK_WAIT = 10_000 // milliseconds
const endpoint = new URL(document.body.dataset.endpoint, location)

export const uploadUrl = (id) => `${endpoint.href.replace(/\/$/, '')}/${id}`
export const watchUrl = (id) => `${location.href.replace(/#.*/, '')}#watch=${id}`

function encode(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''))
}

function told(header) {
  return { offset: Number(header('Upload-Offset')), sha256: parseReprDigest(header('Repr-Digest')) }
}

export async function create({ name, type, size }, signal) {
  const metadata = [`filename ${encode(name)}`, ...(type ? [`filetype ${encode(type)}`] : [])]
  const headers = { 'Upload-Length': size, 'Upload-Metadata': metadata.join(',') }
  const header = await request('POST', endpoint, { headers, signal })
  return { id: header('Location').split('/').pop(), ...told(header) }
}

export async function inspect(id, signal) {
  const header = await request('HEAD', uploadUrl(id), { signal })
  return { length: Number(header('Upload-Length')), ...told(header) }
}

// `promised` is the SHA-256 of the whole file: the server holds the file against it before it publishes it.
export async function append(id, { offset, body, promised, signal, onSent }) {
  const headers = { 'Upload-Offset': offset, 'Content-Type': 'application/offset+octet-stream' }
  if (promised) headers['Repr-Digest'] = buildReprDigest(promised)
  return told(await request('PATCH', uploadUrl(id), { headers, body, signal, onSent }))
}

export async function terminate(id) {
  await request('DELETE', uploadUrl(id), {})
}

// Gives what a watcher is told at first, null of an upload that the server does not know.
export async function look(id) {
  const signal = AbortSignal.timeout(LOOK_WAIT)
  const answer = await fetch(`${uploadUrl(id)}/progress`, { headers: { Accept: 'application/json' }, signal })
  if (answer.ok) return answer.json()
  if (answer.status === 404) return null
  throw new Error(`The server answered ${answer.status}`)
}
