// One file on its way to the server: how much of it is stored, and how it resumes after an interruption.

import { Digest, readSmall, Unreadable } from './digest.js'
import { finishedIdOf, keepFinished } from './finished.js'
import { aborted, delay, pause } from './backoff.js'
import { Rate } from './rate.js'
import { alone, forget, idOf, remember, whenFree } from './unfinished.js'
import { text } from './text.js'
import { granted } from './token.js'
import { append, create, fetchFailure, fetchProgress, inspect, terminate } from './tus.js'

const MOST = Number(document.body.dataset.maxRequest) || Infinity // bytes that the server takes in one request
const SMALLEST = Math.min(2 ** 20, MOST) // bytes of the smallest slice; each request sends one slice
const LARGEST = Math.min(2 ** 25, MOST)
const QUICK = 1000 // ms: a slice that took less is followed by a larger one
const LONG = 4000
const SMALL = Math.min(2 ** 18, MOST) // bytes of a file that is sent with the request that creates the upload
const LAST_TRY = 8
const LOOK = 1500 // ms between two looks at what another tab uploads
const REMOVED = 410
const GONE = new Set([403, 404, REMOVED])
const DENIED = new Set([401, 403]) // the upload is still there: with another link it can be resumed

export const BUSY = new Set(['starting', 'uploading', 'hashing', 'verifying', 'retrying'])
export const IDLE = new Set(['left', 'paused', 'verified', 'kept', 'failed', 'cancelled'])
export const isSmall = ({ size, id }) => size <= SMALL && !id

const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('-')

class StillVerifying extends Error {
  passing = true

  constructor() {
    super(text('stillVerifying'))
  }
}

class Differs extends Error {
  constructor() {
    super(text('differs'))
  }
}

class OtherFile extends Error {
  constructor() {
    super(text('linkOtherFile'))
  }
}

export class Transfer {
  state = 'waiting'
  why = ''
  stored = 0
  sent = 0
  sha256 = ''
  contentType = null // what the server has recognised; known once the file is verified, like `url`
  url = null // where others find the file, if the server tells that
  isDescribed = false // whether the server was asked for them
  retryAt = 0
  rate = new Rate()
  changed = () => {}
  freed = () => {} // called when another tab uploads the file no more
  #slice = SMALLEST
  #digest = null
  #stop = new AbortController()
  #wake = new AbortController() // ends the wait for the next try
  #key = null // of the creation of a small file: if its answer is lost, the same creation finds the same upload
  #known = false // whether the server has confirmed the upload since the page was opened

  // `about` describes the file (chosen.js); after a reload it has no `file`.
  constructor(about) {
    this.about = about
    this.file = about.file ?? null
    this.id = idOf(about) ?? granted()?.upload ?? null
  }

  get size() {
    return this.about.size
  }

  become(state, why = '') {
    this.state = state
    this.why = why
    this.changed(this)
  }

  // Asks the server for its offset, then sends until the end, a pause or a failure.
  async run() {
    const { signal } = (this.#stop = new AbortController())
    this.sha256 = ''
    this.contentType = this.url = null
    this.isDescribed = false
    this.become('starting')
    try {
      if (!(await alone(this.about, () => this.#persist(signal)))) this.#followOtherTab(signal)
    } catch (fault) {
      await this.#explain(fault)
      if (!signal.aborted) this.#fail(fault)
    }
  }

  // The answer that said why the server gave the upload up may have been lost; then a later one is only 410.
  async #explain(fault) {
    const failure = fault.status === REMOVED && this.id ? await fetchFailure(this.id) : null
    if (failure) fault.message = failure.title
  }

  // Shows what another tab does with the file, and is `freed` when that tab has ended.
  async #followOtherTab(signal) {
    this.become('elsewhere')
    const looks = setInterval(() => this.#lookAtOtherTab(), LOOK)
    await whenFree(this.about, signal)
    clearInterval(looks)
    if (signal.aborted) return
    this.id = idOf(this.about) ?? finishedIdOf(this.about) ?? this.id
    this.freed(this)
  }

  async #lookAtOtherTab() {
    this.id ??= idOf(this.about)
    const message = this.id && (await fetchProgress(this.id).catch(() => null))
    if (message && this.state === 'elsewhere') this.#store(message.uploadedBytes)
  }

  pause() {
    this.#halt()
    this.become('paused')
  }

  // Ends the wait for the next try.
  tryNow() {
    this.#wake.abort()
  }

  // Stops what is under way; the upload stays on the server.
  leave() {
    this.#halt()
  }

  async cancel() {
    const { id } = this
    this.#halt()
    this.#forgetUpload()
    this.become('cancelled')
    for (let tries = 1; id && tries <= LAST_TRY; tries++) {
      try {
        return await terminate(id)
      } catch (fault) {
        if (!fault.passing) return // it has ended already
        await pause(delay(tries, fault.retryAfter))
      }
    }
  }

  #halt() {
    this.#stop.abort()
    this.sent = this.stored
  }

  // Forgets the upload: the next run begins a new one.
  #forgetUpload() {
    forget(this.about)
    this.#digest?.stop()
    this.#digest = this.#key = this.id = null
    this.#known = false
    this.stored = this.sent = 0
  }

  #fail(fault) {
    const { stored } = this
    this.#stop.abort()
    if ((fault.status && !DENIED.has(fault.status)) || fault instanceof Differs) this.#forgetUpload()
    this.#digest?.stop()
    this.#digest = null
    this.stored = this.sent = stored
    this.become('failed', fault.message)
  }

  async #persist(signal) {
    for (let tries = 0; ; ) {
      const before = this.stored
      try {
        return await this.#attempt(signal)
      } catch (fault) {
        if (signal.aborted) return
        if (!fault.passing) throw fault
        await this.#checkReadable()
        signal.throwIfAborted()
        tries = this.stored > before ? 1 : tries + 1
        const time = delay(tries, fault.retryAfter)
        this.retryAt = performance.now() + time
        this.sent = this.stored
        this.#wake = new AbortController()
        this.become('retrying', fault.message)
        await pause(time, signal, this.#wake.signal)
      }
    }
  }

  async #attempt(signal) {
    signal.throwIfAborted()
    if (isSmall(this)) return this.#sendSmall(signal)
    if (this.#digest?.isBroken ?? true) this.#digest = new Digest(this.file)
    this.rate.clear()
    let stated = await this.#locate(signal)
    while (this.stored < this.size) stated = await this.#append(signal)
    const ours = await this.#hashed(signal)
    this.#compare(stated, ours)
  }

  // Sends a small file with the request that creates its upload.
  async #sendSmall(signal) {
    const { bytes, hex } = await readSmall(this.file)
    signal.throwIfAborted()
    this.#key ??= newKey()
    this.become('uploading')
    const { id, offset, sha256 } = await create(this.about, { body: bytes, promised: hex, key: this.#key, signal })
    this.#created(id, offset)
    if (offset < this.size) return this.#attempt(signal)
    this.#compare(sha256, hex)
  }

  #created(id, offset) {
    if (offset < this.size || !this.size) remember(this.about, id)
    this.id = id
    this.#known = true
    this.#store(offset)
  }

  #compare(stated, ours) {
    if (!stated) throw new StillVerifying()
    if (stated !== ours) throw new Differs()
    keepFinished(this.about, this.id)
    forget(this.about)
    this.sha256 = ours
    this.become('verified')
  }

  // Asks what only a progress message tells about a finished file; without an answer the file is shown without it.
  async describe() {
    this.isDescribed = true
    const message = await fetchProgress(this.id).catch(() => null)
    if (!message || this.state !== 'verified') return
    this.contentType = message.contentType
    this.url = message.url
    this.changed(this)
  }

  async #locate(signal) {
    const isGiven = this.id === granted()?.upload // by a link for this one upload; it creates no other
    if (this.id) {
      try {
        const { offset, length, sha256 } = await inspect(this.id, signal)
        if (length === this.size) {
          this.#store(offset)
          this.#known = true
          return sha256
        }
      } catch (fault) {
        const isForgotten = !this.#known && !isGiven && GONE.has(fault.status) // a remembered upload that ended long ago
        if (!isForgotten) throw fault
      }
    }
    if (isGiven) throw new OtherFile()
    const { id, offset, sha256 } = await create(this.about, { signal })
    this.#created(id, offset)
    return sha256
  }

  async #append(signal) {
    const from = this.stored
    const body = this.file.slice(from, from + this.#slice)
    const isLast = from + body.size === this.size
    const promised = isLast ? await this.#hashed(signal) : null
    this.become('uploading')
    const began = performance.now()
    const onSent = (count) => {
      this.sent = from + count
      this.rate.note(this.sent)
      this.become(this.sent === this.size ? 'verifying' : 'uploading')
    }
    const { offset, sha256 } = await append(this.id, { offset: from, body, promised, signal, onSent })
    const took = performance.now() - began
    if (took < QUICK) this.#slice = Math.min(LARGEST, this.#slice * 2)
    if (took > LONG) this.#slice = Math.max(SMALLEST, this.#slice / 2)
    this.#store(offset)
    return sha256
  }

  #store(offset) {
    this.stored = this.sent = offset
    this.rate.note(offset)
    this.changed(this)
  }

  // Returns the SHA-256 of the file; shows the state `hashing` while it is not ready.
  #hashed(signal) {
    if (this.#digest.hashed < this.size) this.become('hashing')
    return Promise.race([this.#digest.hex, aborted(signal)])
  }

  get hashed() {
    return this.#digest?.hashed ?? 0
  }

  // A file that can't be read fails like a server that can't be reached, so it is read once here.
  async #checkReadable() {
    try {
      await this.file.slice(this.stored, this.stored + 1).arrayBuffer()
    } catch {
      throw new Unreadable()
    }
  }
}
