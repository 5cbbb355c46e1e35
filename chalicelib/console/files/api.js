// Sends the requests of the page, with the token of the session, and reads the errors of the service.
import { t } from './words.js'

// This file is ROOT/console/VERSION/api.js, under any prefix of the stage.
export const ROOT = new URL('../../', import.meta.url)
/** How long an answer may take, its body included. */
export const TIMEOUT_MS = 35_000

/** An error of a request. `code` is the service's; Unreachable if no answer came. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = 'Unreachable', target, details = [], retryAfter = 0 } = {}) {
    super(message)
    Object.assign(this, { status, code, target, details, retryAfter })
  }
}

/** Tells whether the service answers: the events `away` and `back`. */
export const service = Object.assign(new EventTarget(), { awaySince: null })
let session
let clockOffsetMs = 0 // the service's clock minus that of this device, by the last answer

/** Return the present by the clock of the service, in milliseconds. */
export const now = () => Date.now() + clockOffsetMs

/** Use this session from now on: `token()`, `refresh()`, which throws what may pass, and `expire(message)`. */
export function use(newSession) {
  session = newSession
}

/** Send a request and return its JSON. `path` is relative to the root of the service, or a whole URL of it. */
export async function request(path, { method = 'GET', body, headers = {}, signal } = {}) {
  const url = new URL(path, ROOT)
  if (url.origin !== ROOT.origin) throw new ApiError(`${url.origin} is not the service.`)
  const options = {
    method,
    cache: 'no-store',
    credentials: 'omit',
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
    // An Int64 may be beyond the numbers of JavaScript: as text it keeps all of its digits.
    headers: { Accept: 'application/json;IEEE754Compatible=true', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
  }
  let response = await send(url, options, signal)
  if (response.status === 401 && await session.refresh()) response = await send(url, options, signal)
  if (response.ok) return response.status === 204 ? null : json(response)
  const error = errorOf(response)
  if (response.status === 401) session.expire(error.message)
  throw error
}

/** Return the answer with its body as `text`. The network may stop in the middle of a body, too. */
async function send(url, options, signal) {
  const control = new AbortController()
  const abort = () => control.abort()
  const timer = setTimeout(abort, TIMEOUT_MS)
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  try {
    const authorization = { Authorization: `Bearer ${session.token()}` }
    const response = await fetch(url, {
      ...options, signal: control.signal, headers: { ...options.headers, ...authorization } })
    const answeredAt = Date.parse(response.headers.get('Date'))
    if (answeredAt) clockOffsetMs = answeredAt - Date.now()
    const text = await response.text()
    if ([502, 504].includes(response.status)) tellAway() // A gateway answers for a service that is away.
    else tellBack()
    return { ok: response.ok, status: response.status, headers: response.headers, text }
  } catch (error) {
    if (signal?.aborted) throw error
    tellAway()
    throw new ApiError(t('unreachable'))
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

function json(response) {
  try {
    return JSON.parse(response.text, exact)
  } catch {
    throw new ApiError(t('unreadable'), { status: response.status, code: 'Unreadable' })
  }
}

// A number that JavaScript would round stays the text that it is.
const exact = (_, value, context) => (
  typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER ? context?.source ?? value : value)

function errorOf(response) {
  const retryAfter = Number(response.headers.get('Retry-After')) || 0
  try {
    const { error: { code, message, target, details } } = JSON.parse(response.text)
    return new ApiError(message, { status: response.status, code, target, details, retryAfter })
  } catch {
    return new ApiError(t('answered', { status: response.status }), { status: response.status, code: '', retryAfter })
  }
}

function tellAway() {
  if (service.awaySince) return
  service.awaySince = new Date()
  service.dispatchEvent(new Event('away'))
}

function tellBack() {
  if (!service.awaySince) return
  service.awaySince = null
  service.dispatchEvent(new Event('back'))
}

/** Return the path of an OData query; options that are empty are left out. */
export function query(resource, options = {}) {
  const pairs = Object.entries(options).filter(([, value]) => value !== undefined && value !== '')
  return `odata/${resource}?${pairs.map(([name, value]) => `$${name}=${encodeURIComponent(value)}`).join('&')}`
}

/** Return one page of a query: `rows`, `next` (its path, or null) and `count`. */
export async function page(path, { size, signal } = {}) {
  const headers = size ? { Prefer: `maxpagesize=${size}` } : {}
  const result = await request(path, { headers, signal })
  // The link starts with PUBLIC_URL, which may be another address of the stage than that of this page.
  const link = result['@odata.nextLink']
  const next = link ? path.split('?')[0] + new URL(link, ROOT).search : null
  return { rows: result.value, next, count: Number(result['@odata.count'] ?? NaN) }
}

/** Return all rows of a query, page by page. */
export async function all(path, options = {}) {
  const rows = []
  for (let next = path; next;) {
    const part = await page(next, options)
    rows.push(...part.rows)
    options.onPage?.(rows.length)
    next = rows.length >= (options.most ?? Infinity) ? null : part.next
  }
  return rows
}

/** Run the command of an operator: POST /operations/NAME. The command is an object, or JSON text. */
export const operate = (name, command, options = {}) => (
  request(`operations/${name}`, { method: 'POST', body: command, ...options }))

/** Return a text as a literal of OData. */
export const literal = (text) => `'${String(text).replaceAll("'", "''")}'`
