// One request of tus 1.0.0: its answer, or an error whose `passing` says whether trying again may help.

import { sayRefused } from './grant.js'
import { language, text } from './text.js'
import { buildAuthorization } from './token.js'

const PATIENCE = 30_000 // ms without any progress while a request goes out
const ANSWER_WITHIN = 120_000 // ms from the last byte of a body to the answer: a whole file may be verified
const PASSING = new Set([408, 409, 423, 425, 429])
const REASONS = { 404: 'unknown', 410: 'gone', 423: 'busy', 460: 'mismatch', 507: 'full' }
const REASONS_OF_CODES = {
  'checksum-mismatch': 'mismatch',
  infected: 'virus',
  'too-large': 'fileTooLarge',
  'type-not-allowed': 'typeRefused',
}
const ALWAYS = new Set(['unknown', 'gone', 'mismatch']) // says more to people than what the server says

export class Unreachable extends Error {
  passing = true

  constructor() {
    super(text(navigator.onLine ? 'unreachable' : 'offline'))
  }
}

// Returns why the server refuses something. It gives its own reasons in English, often more precisely.
export function sayReason(status, code, own) {
  const key = REASONS_OF_CODES[code] ?? REASONS[status]
  if (own && language === 'en' && !ALWAYS.has(key)) return own.replace(/\.$/, '')
  return key ? text(key) : own?.replace(/\.$/, '') || text('answered', { status })
}

export class Refused extends Error {
  constructor(status, { title, detail, code } = {}, retryAfter = 0) {
    super(sayRefused(status, code, detail ?? '') ?? sayReason(status, code, detail || title))
    this.status = status
    this.passing = PASSING.has(status) || status >= 500
    this.retryAfter = Number(retryAfter) || 0 // it may be a date
  }
}

function problemOf(xhr) {
  try {
    return JSON.parse(xhr.responseText)
  } catch {
    return {} // the answer of a proxy, or to HEAD
  }
}

// Resolves to a function that reads the headers of the answer. Calls `onSent` with how many bytes of the body went out.
export function request(method, url, { headers = {}, body = null, signal, onSent = () => {} }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    let patience
    const drop = () => xhr.abort()
    const wait = (time) => {
      clearTimeout(patience)
      patience = setTimeout(drop, time)
    }
    xhr.open(method, url)
    for (const [name, value] of Object.entries({ 'Tus-Resumable': '1.0.0', ...buildAuthorization(), ...headers })) {
      xhr.setRequestHeader(name, value)
    }
    xhr.upload.onprogress = ({ loaded, total }) => {
      wait(loaded < total ? PATIENCE : ANSWER_WITHIN)
      onSent(loaded)
    }
    xhr.onload = () => {
      if (xhr.status >= 200 && xhr.status < 300) resolve((name) => xhr.getResponseHeader(name))
      else reject(new Refused(xhr.status, problemOf(xhr), xhr.getResponseHeader('Retry-After')))
    }
    xhr.onerror = xhr.onabort = () => reject(new Unreachable())
    xhr.onloadend = () => {
      clearTimeout(patience)
      signal?.removeEventListener('abort', drop)
      removeEventListener('offline', drop)
    }
    signal?.addEventListener('abort', drop)
    addEventListener('offline', drop)
    wait(PATIENCE)
    xhr.send(body)
  })
}
