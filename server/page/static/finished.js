// The last finished files, kept over a reload, so that their links are not lost. Like unfinished uploads they are those of
// the owner of a link. Each has an entry of its own in localStorage, named by the id of the upload.

import { attempt, same } from './unfinished.js'
import { granted } from './token.js'

const MOST = 20
const PREFIX = `onward finished ${location.pathname} `

function entries() {
  const keys = attempt(() => Object.keys(localStorage)) ?? []
  return keys
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => ({ id: key.slice(PREFIX.length), ...JSON.parse(localStorage.getItem(key)) }))
    .sort((one, other) => one.at - other.at)
}

export function dropFinished(id) {
  attempt(() => localStorage.removeItem(PREFIX + id))
}

export function keepFinished({ name, path, size, type, lastModified }, id) {
  const entry = { name, path, size, type, lastModified, owner: granted()?.owner, at: Date.now() }
  attempt(() => localStorage.setItem(PREFIX + id, JSON.stringify(entry)))
  for (const old of entries().slice(0, -MOST)) dropFinished(old.id)
}

// Returns the finished files, the newest first: what describes the file, `id`, and when it was finished, `at`.
export const finished = () => entries().filter(({ owner }) => owner === granted()?.owner).reverse()

export const finishedIdOf = (about) => finished().find((one) => same(one, about))?.id ?? null
