// The token of a link, `#token=…`. It is taken out of the address bar at once, is kept for this tab only, and is sent to
// this server only. What it allows is read from it here, but only the server can tell whether it is genuine.

const KEY = `onward token ${location.pathname}`
const USUAL = 'create append inspect download terminate watch' // the scope of a token that names none

let token = attempt(() => sessionStorage.getItem(KEY)) // where a browser keeps nothing, only this variable has it
let damaged = false // whether the last link was cut or changed, so that there was no token in it

function attempt(act) {
  try {
    return act()
  } catch {
    return null
  }
}

// Returns the claims of a token; throws an error if the text is no token, or if the page could not say what it allows.
function readClaims(text) {
  const [, payload] = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(text)
  const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
  const claims = JSON.parse(new TextDecoder().decode(bytes))
  const areTypes = (claims.onward?.types ?? []).every((type) => typeof type === 'string')
  if (!areTypes || Number.isNaN(Number(new Date(claims.exp * 1000)))) throw new TypeError()
  return claims
}

// Takes the token out of the address bar, and returns whether there was one. The other words after # stay.
export function takeToken() {
  const words = new URLSearchParams(location.hash.slice(1))
  const given = words.get('token')
  if (given === null) return false
  words.delete('token')
  history.replaceState(null, '', String(words) ? `#${words}` : location.pathname + location.search)
  damaged = attempt(() => readClaims(given)) === null
  if (damaged) return true
  token = given
  attempt(() => sessionStorage.setItem(KEY, token))
  return true
}

// Returns what the link allows; null without a link.
export function granted() {
  const claims = token && attempt(() => readClaims(token))
  if (!claims) return null
  const { sub, exp, scope = USUAL, onward } = claims
  const scopes = new Set(String(scope).split(' '))
  const allows = (name) => scopes.has(name) || scopes.has('admin')
  return { ...onward, owner: sub, until: new Date(exp * 1000), allows }
}

// Returns whether the link allows an act; without a link, and on a server that needs none, every act is tried.
export const mayDo = (name) => granted()?.allows(name) ?? true

export const isDamaged = () => damaged

export const buildAuthorization = () => (token ? { Authorization: `Bearer ${token}` } : {})

// For what can't send a header: an EventSource, and a download.
export const withToken = (url) => (token ? `${url}?token=${token}` : url)

takeToken()
