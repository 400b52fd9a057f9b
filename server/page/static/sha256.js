// SHA-256 of a file block by block (FIPS 180-4). Web Crypto can hash only bytes that are all in memory.

const BLOCK = 64
const LENGTH_AT = 56

const PRIMES = [2]
for (let n = 3; PRIMES.length < 64; n += 2) {
  if (PRIMES.every((prime) => n % prime)) PRIMES.push(n)
}
const fraction = (x) => ((x % 1) * 2 ** 32) | 0
const ROUNDS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)))
const START = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)))

const words = new Int32Array(BLOCK)

function schedule(bytes, at) {
  for (let t = 0; t < 16; t++, at += 4) {
    words[t] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]
  }
  for (let t = 16; t < 64; t++) {
    const x = words[t - 15]
    const y = words[t - 2]
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    words[t] = (words[t - 16] + s0 + words[t - 7] + s1) | 0
  }
}

function compress(state, bytes, at) {
  schedule(bytes, at)
  let a = state[0]
  let b = state[1]
  let c = state[2]
  let d = state[3]
  let e = state[4]
  let f = state[5]
  let g = state[6]
  let h = state[7]
  for (let t = 0; t < 64; t++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const one = (h + s1 + (g ^ (e & (f ^ g))) + ROUNDS[t] + words[t]) | 0
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const two = (s0 + ((a & b) | (c & (a | b)))) | 0
    h = g
    g = f
    f = e
    e = (d + one) | 0
    d = c
    c = b
    b = a
    a = (one + two) | 0
  }
  state[0] += a
  state[1] += b
  state[2] += c
  state[3] += d
  state[4] += e
  state[5] += f
  state[6] += g
  state[7] += h
}

export class Sha256 {
  #state = START.slice()
  #rest = new Uint8Array(BLOCK)
  #waiting = 0
  #count = 0

  update(bytes) {
    this.#count += bytes.length
    let at = 0
    if (this.#waiting) {
      at = Math.min(BLOCK - this.#waiting, bytes.length)
      this.#rest.set(bytes.subarray(0, at), this.#waiting)
      this.#waiting += at
      if (this.#waiting < BLOCK) return this
      compress(this.#state, this.#rest, 0)
    }
    for (; at + BLOCK <= bytes.length; at += BLOCK) compress(this.#state, bytes, at)
    this.#rest.set(bytes.subarray(at))
    this.#waiting = bytes.length - at
    return this
  }

  // Returns the 32 bytes; nothing can be added afterwards.
  digest() {
    const count = this.#count
    const padding = new Uint8Array(((this.#waiting < LENGTH_AT ? 0 : BLOCK) + BLOCK) - this.#waiting)
    padding[0] = 0x80
    const length = new DataView(padding.buffer, padding.length - 8)
    length.setUint32(0, Math.floor(count / 2 ** 29))
    length.setUint32(4, (count % 2 ** 29) * 8)
    this.update(padding)
    const out = new DataView(new ArrayBuffer(32))
    this.#state.forEach((word, i) => out.setInt32(4 * i, word))
    return new Uint8Array(out.buffer)
  }
}

export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
