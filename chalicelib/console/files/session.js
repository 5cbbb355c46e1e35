// Holds the token of the person who is signed in: in memory only, so that closing the tab forgets it.
//
// It comes from the fragment of the link that `make run` prints, from a form, or from the issuer by OpenID Connect
// (authorization code with PKCE: RFC 7636, RFC 9700). Only the verifier of a sign-in under way is in sessionStorage.
import { TIMEOUT_MS } from './api.js'
import { t } from './words.js'

const PENDING = 'punch-clock-sign-in'

/** Tells of `changed`: somebody has signed in, or out. */
export const session = Object.assign(new EventTarget(), {
  config: null,
  message: '',
  token: () => state.token,
  isSignedIn: () => state.token !== '',
  name: () => nameIn(state.token),
  signIn(token) { set({ token, refreshToken: '' }, '') },
  signOut() { set({ token: '', refreshToken: '' }, '') },
  expire(message) { if (state.token) set({ token: '', refreshToken: '' }, message) },
  refresh,
})

let state = { token: '', refreshToken: '' }

function set(next, message) {
  state = next
  session.message = message
  session.dispatchEvent(new Event('changed'))
}

/** Take a token out of the address, and sign in with it; return whether there was one. */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1))
  if (!fragment.has('token')) return false
  history.replaceState(null, '', location.pathname)
  session.signIn(fragment.get('token'))
  return true
}

/** Sign in with what the address has: a token, or the issuer's answer to a sign-in. */
export async function begin(config) {
  session.config = config
  const answer = new URLSearchParams(location.search)
  const pending = takePending()
  if (!takeToken() && (answer.has('code') || answer.has('error'))) {
    history.replaceState(null, '', `${location.pathname}${pending?.hash ?? ''}`)
    try {
      await finish(answer, pending)
    } catch (error) {
      set({ token: '', refreshToken: '' }, error.message)
    }
  }
}

/** Return, and forget, what was kept for the issuer's answer; null if nothing was. */
function takePending() {
  try {
    const text = sessionStorage.getItem(PENDING)
    sessionStorage.removeItem(PENDING)
    return JSON.parse(text)
  } catch {
    return null // a browser that stores nothing
  }
}

/** Go to the issuer to sign in. */
export async function goToIssuer() {
  const { issuer, clientId, scope } = session.config
  const { authorization_endpoint: endpoint } = await discover(issuer)
  const [verifier, sent] = [random(), random()]
  const challenge = base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)))
  try {
    sessionStorage.setItem(PENDING, JSON.stringify({ verifier, state: sent, hash: location.hash }))
  } catch {
    throw new Error(t('storageBlocked'))
  }
  const url = new URL(endpoint)
  const options = {
    response_type: 'code', client_id: clientId, redirect_uri: here(), scope, state: sent,
    code_challenge: challenge, code_challenge_method: 'S256',
  }
  for (const [name, value] of Object.entries(options)) url.searchParams.set(name, value)
  location.assign(url)
}

async function finish(answer, pending) {
  const { issuer, clientId } = session.config
  if (answer.has('error')) throw new Error(answer.get('error_description') ?? answer.get('error'))
  if (!pending || answer.get('state') !== pending.state) throw new Error(t('signInBroken'))
  if (answer.has('iss') && answer.get('iss').replace(/\/$/, '') !== issuer) throw new Error(t('signInBroken'))
  set(await fetchTokens({
    grant_type: 'authorization_code', code: answer.get('code'), redirect_uri: here(), client_id: clientId,
    code_verifier: pending.verifier,
  }), '')
}

/** Get a new token if the issuer has given the means to; return whether there is one. Throw if it does not answer. */
async function refresh() {
  const before = state
  if (!before.refreshToken) return false
  before.renewal ??= fetchTokens({
    grant_type: 'refresh_token', refresh_token: before.refreshToken, client_id: session.config.clientId,
  }).finally(() => { before.renewal = null })
  try {
    const next = await before.renewal
    if (state === before) state = next // else somebody has signed out, or in, meanwhile
    return state === next
  } catch (error) {
    if (error.isRefusal) return false
    throw error
  }
}

/** Return the tokens of a grant. An error has `isRefusal` if the issuer refuses it, and not only now. */
async function fetchTokens(parameters) {
  const { issuer } = session.config
  const { token_endpoint: endpoint } = await discover(issuer)
  const options = { method: 'POST', credentials: 'omit', body: new URLSearchParams(parameters), signal: inTime() }
  const [response, text] = await fetch(endpoint, options).then(async (each) => [each, await each.text()])
    .catch(() => { throw new Error(t('issuerAway', { issuer })) })
  const answer = objectOf(text)
  if (!response.ok) {
    throw Object.assign(new Error(answer.error_description ?? answer.error ?? t('signInBroken')), {
      isRefusal: response.status < 500 && response.status !== 429 })
  }
  // An access token that is no JWT is for the issuer itself. The service reads JWTs.
  const token = [answer.access_token, answer.id_token].find((each) => each?.split('.').length === 3)
  if (!token) throw new Error(t('signInBroken'))
  return { token, refreshToken: answer.refresh_token ?? parameters.refresh_token ?? '' }
}

let metadata = null
async function discover(issuer) {
  metadata ??= await fetch(`${issuer}/.well-known/openid-configuration`, { credentials: 'omit', signal: inTime() })
    .then((response) => (response.ok ? response.json() : null)).catch(() => null)
  if (!metadata) throw new Error(t('issuerAway', { issuer }))
  return metadata
}

const inTime = () => AbortSignal.timeout(TIMEOUT_MS)
const here = () => `${location.origin}${location.pathname}`
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const base64url = (bytes) => (
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''))

function objectOf(text) {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {} // no answer of an issuer
  }
}

function claims(token) {
  try {
    const [, payload] = token.split('.')
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (each) => each.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {}
  } catch {
    return {}
  }
}

function nameIn(token) {
  const { name, preferred_username: user, email, sub } = claims(token)
  return String(name ?? user ?? email ?? sub ?? '')
}
