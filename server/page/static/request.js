// One request of tus 1.0.0: its answer, or an error whose `passing` says whether trying again may help.

import { sayRefused } from './grant.js'
import { buildAuthorization } from './token.js'

const PATIENCE = 30_000 // ms without any progress while a request goes out
const ANSWER_WITHIN = 120_000 // ms from the last byte of a body to the answer: a whole file may be verified
const PASSING = new Set([408, 409, 423, 425, 429])
const SENTENCES = {
  404: 'The server does not know this upload',
  410: 'The server has removed this upload',
  460: 'Checksum mismatch: the server received different bytes and discarded them',
}

// For answers without a body, as to HEAD.
const TITLES = {
  423: 'The server asks to wait',
}

export class Unreachable extends Error {
  passing = true

  constructor() {
    super(navigator.onLine ? 'The server can’t be reached' : 'This device is offline')
  }
}

export class Refused extends Error {
  constructor(status, { title = TITLES[status] ?? `The server answered ${status}`, detail, code } = {}, retryAfter = 0) {
    const reason = (detail || title).replace(/\.$/, '') // the detail says the same more precisely
    super(sayRefused(status, code, reason) ?? SENTENCES[status] ?? reason)
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
