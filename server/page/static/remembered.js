// Which uploads are unfinished, beyond a reload or a crash of the tab: one entry of localStorage each, so that several
// tabs don't write over each other. A file is known again by its name, size, type and time.

const PREFIX = `onward ${location.pathname} `

const keyOf = ({ name, size, type, lastModified }) => PREFIX + JSON.stringify([name, size, type, lastModified])

export const same = (one, other) => keyOf(one) === keyOf(other)

// Where a browser keeps nothing, an upload is still resumed as long as the page is open.
function attempt(act) {
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
    .map(([name, size, type, lastModified]) => ({ name, size, type, lastModified }))
}

// One tab at a time sends a file. Browsers have such locks on https and localhost, unless they are to keep nothing of this
// site; elsewhere two tabs would take the upload over from each other, slowly but without harm.
async function held() {
  try {
    return (await navigator.locks.query()).held
  } catch {
    return null
  }
}

export async function alone(file, act) {
  if (!(await held())) return act()
  return navigator.locks.request(keyOf(file), { ifAvailable: true }, (lock) => {
    if (!lock) throw new Error('Another tab is uploading this file')
    return act()
  })
}

export async function elsewhere() {
  const locks = (await held()) ?? []
  return (file) => locks.some(({ name }) => name === keyOf(file))
}
