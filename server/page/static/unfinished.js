// Unfinished uploads, kept over a reload or a crash of the tab. Each has an entry of its own in localStorage, so that
// several tabs don't overwrite each other. A file is recognized by its name with its folders, its size, type and time. The
// uploads of a link are those of its owner: a new link of the same owner finds them again.

import { granted } from './token.js'

const PREFIX = `onward ${location.pathname} `

const owned = () => [granted()?.owner].filter((owner) => owner !== undefined)

export const keyOf = ({ name, path, size, type, lastModified }) =>
  PREFIX + JSON.stringify([path || name, size, type, lastModified, ...owned()])

export const same = (one, other) => keyOf(one) === keyOf(other)

// If the browser keeps nothing of this site, an upload can still be resumed as long as the page is open.
export function attempt(act) {
  try {
    return act()
  } catch {
    return null
  }
}

export function idOf(file) {
  return attempt(() => localStorage.getItem(keyOf(file)))
}

export function remember(file, id) {
  attempt(() => localStorage.setItem(keyOf(file), id))
}

export function forget(file) {
  attempt(() => localStorage.removeItem(keyOf(file)))
}

export function unfinished() {
  const keys = attempt(() => Object.keys(localStorage)) ?? []
  return keys
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => JSON.parse(key.slice(PREFIX.length)))
    .filter(([, , , , owner]) => owner === granted()?.owner)
    .map(([path, size, type, lastModified]) => ({
      name: path.split('/').pop(),
      path: path.includes('/') ? path : '',
      size,
      type,
      lastModified,
    }))
}

// Only one tab at a time sends a file. Browsers have locks on https and localhost, unless they keep nothing of this site.
// Without locks, two tabs that send the same file take it over from each other, which is slow but harmless.
async function held() {
  try {
    return (await navigator.locks.query()).held
  } catch {
    return null
  }
}

let hasLocks = null // a promise

// Acts, unless another tab uploads the file; returns whether it acted.
export async function alone(file, act) {
  hasLocks ??= held().then(Boolean)
  if (!(await hasLocks)) {
    await act()
    return true
  }
  return navigator.locks.request(keyOf(file), { ifAvailable: true }, async (lock) => {
    if (lock) await act()
    return Boolean(lock)
  })
}

// Resolves when no other tab uploads the file any more, or at the signal.
export const whenFree = (file, signal) => navigator.locks.request(keyOf(file), { signal }, () => {}).catch(() => {})

export async function elsewhere() {
  const locks = (await held()) ?? []
  return (file) => locks.some(({ name }) => name === keyOf(file))
}
