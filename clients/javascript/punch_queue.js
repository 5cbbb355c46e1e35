// A queue of punches for a web app. It stores each punch before it sends anything, and keeps it until the service
// has it: docs/phones.md. Sending a punch twice is harmless, since employer, employee and instant are its key.
import { isAccepted, postPunches, within } from './punch_request.js'
import { exclusively, PunchStorage } from './punch_storage.js'

/** Codes of errors that nothing cures: the punch itself is at fault. */
export const REFUSED = new Set(['Malformed', 'TooLarge', 'TooOld'])
/** Codes of errors that another token may cure. Every other error, known or not, may pass with time. */
export const NEEDS_TOKEN = new Set(['Forbidden', 'Unauthenticated'])

const MAX_BATCH = 100
const MAX_BYTES = 65_536
const DEFAULTS = { name: 'punches', timeoutMs: 20_000, firstDelayMs: 1_000, maxDelayMs: 300_000, longestMs: 3_600_000 }

/** Return the device's time with its offset from UTC, such as 2026-11-22T08:00:00.000-03:00. */
export function localInstant(now = new Date()) {
  const minutes = -now.getTimezoneOffset()
  const wallClock = new Date(now.getTime() + minutes * 60_000).toISOString().replace('Z', '')
  const offset = new Date(Math.abs(minutes) * 60_000).toISOString().slice(11, 16)
  return `${wallClock}${minutes < 0 ? '-' : '+'}${offset}`
}

/**
 * Events: `accepted`, `refused` and `waiting` have the entry as `detail`, `failed` has why a request failed.
 *
 * @param url where to send punches: https://…/point-record
 * @param token a function that returns the token or its promise. It is given the token that was just rejected, or null.
 * @param name queues of one name share their punches. Give each signed-in person another. The rest: docs/phones.md.
 */
export class PunchQueue extends EventTarget {
  /** The service's clock minus the device's in ms, by the last answer; null before the first. */
  clockOffsetMs = null
  #options
  #storage
  #flushing = null
  #timer
  #closing = new AbortController()
  #rejectedToken = null
  #isOffline = false
  #failures = 0 // requests that failed, one after another
  #batchSize = MAX_BATCH
  // By performance.now(), because people correct the clocks of devices. Only in memory: a new tab tries at once.
  #notBefore = 0
  #waits = new Map() // by key: no request with this punch before
  #suspects = new Map() // by key: when the punch last failed. It goes last from then on, and delays no others.

  constructor({ storage, ...options }) {
    super()
    this.#options = { ...DEFAULTS, ...options }
    this.#storage = storage ?? new PunchStorage(this.#options.name)
    const { signal } = this.#closing
    globalThis.addEventListener?.('online', this.#cameOnline, { signal })
    globalThis.document?.addEventListener('visibilitychange', this.#wake, { signal })
    this.#wake()
  }

  /** Store a punch, then send it in the background. Resolve once it is stored: `durable` if on disk. */
  async punch({ includedAt = localInstant(), ...fields }) {
    const at = includedAt instanceof Date ? localInstant(includedAt) : includedAt
    const punch = JSON.parse(JSON.stringify({ ...fields, includedAt: at })) // throws what could never be sent
    const key = `${punch.employerId}/${punch.employeeId}/${punch.includedAt}`
    const durable = await this.#storage.put({ key, punch, state: 'pending' })
    if (this.#waits.get(key) === Infinity) this.#waits.delete(key) // It was accepted before. Another wait holds.
    this.#wake()
    return { key, punch, durable }
  }

  /** Return the punches that the service may not have yet. `error` is why one waits. */
  pending = async () => (await this.#storage.list()).filter(({ state }) => state === 'pending')

  /** Return the punches that the service refuses for good, each with its `error`. */
  refused = async () => (await this.#storage.list()).filter(({ state }) => state === 'refused')

  /** Remove a refused punch, after a person has seen it. A pending one stays: it may be stored already. */
  async discard(key) {
    if ((await this.refused()).some((each) => each.key === key)) await this.#storage.remove([key])
  }

  /** Send what is due, one tab after another. Resolve when nothing is due or a request has failed. */
  flush() {
    const send = async () => { while (!this.#closing.signal.aborted && await this.#sendBatch()); }
    this.#flushing ??= exclusively(`send ${this.#options.name}`, send).catch((error) => { this.#failed([], error) })
      .finally(() => { this.#flushing = null; return this.#schedule() })
    return this.#flushing
  }

  /** Stop sending. What is stored stays. */
  close() {
    this.#closing.abort()
    clearTimeout(this.#timer)
  }

  #emit = (type, detail) => this.dispatchEvent(new CustomEvent(type, { detail }))
  #jitterMs = (ceilingMs) => Math.random() * ceilingMs
  #dueAt = ({ key }) => Math.max(this.#notBefore, this.#waits.get(key) ?? 0)
  #wake = () => { this.flush() }

  /** The phones of a hall come online together, so each waits at random. A Retry-After still holds. */
  #cameOnline = () => {
    if (this.#isOffline) this.#notBefore = performance.now() + this.#jitterMs(2_000)
    this.#schedule()
  }

  /** Set the timer for the next request; without a punch, for those that a dead tab may leave. */
  async #schedule() {
    const delayMs = Math.min(...(await this.pending().catch(() => [])).map(this.#dueAt)) - performance.now()
    clearTimeout(this.#timer)
    if (this.#closing.signal.aborted) return
    this.#timer = setTimeout(this.#wake, Math.min(delayMs, this.#options.maxDelayMs))
  }

  /** Send one batch. Return whether to go on. */
  async #sendBatch() {
    const { url, timeoutMs } = this.#options
    const now = performance.now()
    const batch = this.#fitting((await this.pending()).filter((entry) => this.#dueAt(entry) <= now))
    if (!batch.length) return false
    let token, answer
    this.#isOffline = true
    try {
      token = await within(timeoutMs, this.#options.token(this.#rejectedToken))
      answer = await postPunches(url, token, batch.map(({ punch }) => punch), timeoutMs)
    } catch (error) { // No token, no network, or no answer in time: the service may have the punches or not.
      return this.#failed(batch, error)
    }
    this.#isOffline = false
    this.clockOffsetMs = answer.clockOffsetMs ?? this.clockOffsetMs
    if (answer.results) return this.#settle(batch, answer.results)
    const { error, retryAfterMs } = answer
    if (REFUSED.has(error.code)) {
      if (batch.length === 1) return this.#settle(batch, [answer])
      this.#batchSize = Math.ceil(batch.length / 2) // One punch is at fault for all: find it.
      return true
    }
    if (error.code === 'Unauthenticated') {
      const isFirst = this.#rejectedToken === null
      this.#rejectedToken = token
      if (isFirst) return true
    }
    return this.#failed(batch, error, retryAfterMs)
  }

  /** Return the entries of the next request: as many as it may have, in items and in bytes. */
  #fitting(entries) {
    let bytes = 1
    const failedAt = ({ key }) => this.#suspects.get(key) ?? 0
    entries.sort((a, b) => failedAt(a) - failedAt(b))
    return entries.slice(0, this.#batchSize).filter(({ punch }, index) => {
      bytes += new TextEncoder().encode(JSON.stringify(punch)).length + 1
      return index === 0 || bytes <= MAX_BYTES
    })
  }

  /** Act on the result of each punch of a batch. */
  async #settle(batch, results) {
    const accepted = []
    const failed = []
    for (const [index, entry] of batch.entries()) {
      const error = results[index]?.error ?? { message: 'The answer is not about this punch.' }
      if (isAccepted(results[index], entry.punch)) accepted.push(entry)
      else if (REFUSED.has(error.code)) {
        await this.#storage.put({ ...entry, error, state: 'refused' })
        this.#emit('refused', { ...entry, error })
      } else if (error.code === 'InTheFuture' || NEEDS_TOKEN.has(error.code)) {
        this.#waits.set(entry.key, performance.now() + this.#waitMs(entry.punch, error))
        await this.#storage.put({ ...entry, error })
        this.#emit('waiting', { ...entry, error })
      } else failed.push({ ...entry, error })
    }
    for (const { key } of accepted) this.#waits.set(key, Infinity) // In case that it cannot be removed.
    await this.#storage.remove(accepted.map(({ key }) => key))
    for (const entry of accepted) this.#emit('accepted', entry)
    if (failed.length) return this.#failed(batch, failed[0].error, 0, failed)
    this.#failures = 0
    this.#rejectedToken = null
    this.#batchSize = Math.min(MAX_BATCH, this.#batchSize * 2)
    return true
  }

  /** A punch waits until its instant has come by the service's clock; one that needs a token, for a while. */
  #waitMs(punch, { code }) {
    const { firstDelayMs, maxDelayMs, longestMs } = this.#options
    if (code !== 'InTheFuture') return maxDelayMs
    const aheadMs = Date.parse(punch.includedAt) - Date.now() - this.clockOffsetMs
    return Math.min(Math.max(aheadMs, firstDelayMs) + this.#jitterMs(firstDelayMs), longestMs)
  }

  /** Wait before the next request: after the Retry-After, exponential backoff with full jitter. */
  #failed(batch, error, retryAfterMs = 0, suspects = batch.length === 1 ? batch : []) {
    for (const { key } of suspects) this.#suspects.set(key, performance.now())
    const { firstDelayMs, maxDelayMs, longestMs } = this.#options
    const backoffMs = this.#jitterMs(Math.min(maxDelayMs, firstDelayMs * 2 ** this.#failures))
    this.#notBefore = performance.now() + Math.min(retryAfterMs, longestMs) + backoffMs
    this.#failures += 1
    this.#batchSize = Math.ceil(batch.length / 2) || 1
    this.#emit('failed', error)
    return false
  }
}
