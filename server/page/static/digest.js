// The SHA-256 of a file, computed in a worker, and the header that states one (RFC 9530).

import { Unreachable } from './request.js'
import { Sha256, toHex } from './sha256.js'
import { text } from './text.js'

export class Unreadable extends Error {
  constructor() {
    super(text('unreadable'))
  }
}

// Returns the bytes of a small file and their SHA-256: a worker would take longer to start than this takes.
export async function readSmall(file) {
  const buffer = await file.arrayBuffer().catch(() => {
    throw new Unreadable()
  })
  const bytes = new Uint8Array(buffer)
  return { bytes, hex: toHex(new Sha256().update(bytes).digest()) }
}

export class Digest {
  hashed = 0
  isBroken = false
  #worker = new Worker(new URL('./hash_worker.js', import.meta.url), { type: 'module' })

  constructor(file) {
    this.hex = new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data: { hashed, hex, unreadable } }) => {
        if (hashed !== undefined) this.hashed = hashed
        if (hex) resolve(hex)
        if (unreadable) reject(new Unreadable())
        if (hex || unreadable) this.stop()
      }
      this.#worker.onerror = (event) => {
        this.isBroken = true
        // An ErrorEvent is an error in the worker's code; any other event means that the code could not be loaded.
        reject(event instanceof ErrorEvent ? new Error(text('cannotHash')) : new Unreachable())
      }
      this.#worker.postMessage(file)
    })
    this.hex.catch(() => {}) // the transfer that waits for it handles the error
  }

  stop() {
    this.#worker.terminate()
  }
}

export function buildReprDigest(hex) {
  return `sha-256=:${btoa(hex.replace(/../g, (pair) => String.fromCharCode(parseInt(pair, 16))))}:`
}

export function parseReprDigest(value) {
  const found = /sha-256=:([^:]*):/.exec(value ?? '')
  return found && toHex(Uint8Array.from(atob(found[1]), (c) => c.charCodeAt(0)))
}
