// A worker that hashes one file. It posts how far it is, and at the end the digest in hex, or that the file can't be read.

import { Sha256, toHex } from './sha256.js'

const BLOCK = 4 * 2 ** 20

onmessage = async ({ data: file }) => {
  const sha256 = new Sha256()
  try {
    for (let at = 0; at < file.size; at += BLOCK) {
      sha256.update(new Uint8Array(await file.slice(at, at + BLOCK).arrayBuffer()))
      postMessage({ hashed: Math.min(at + BLOCK, file.size) })
    }
    postMessage({ hex: toHex(sha256.digest()) })
  } catch {
    postMessage({ unreadable: true })
  }
}
