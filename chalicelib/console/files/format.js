// Writes numbers, durations and instants for people, and reads the instants that they enter.
import { language, t } from './words.js'

const made = new Map()
function cached(kind, options) {
  const key = `${language()} ${kind.name} ${JSON.stringify(options)}`
  if (!made.has(key)) made.set(key, new kind(language(), options))
  return made.get(key)
}

export const number = (value, digits = 0) => (
  cached(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value))

/** Return a count; "about" in front of one that the service has estimated. */
export const count = (value, isEstimated = false) => (isEstimated ? t('about', { n: number(value) }) : number(value))

/** Return a duration in its two largest units: 4 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–'
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${seconds < 10 ? number(Math.max(0, seconds), 1) : whole} s`
  const units = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]]
  const first = units.findIndex(([, size]) => whole >= size)
  const [[name, size], next] = [units[first], units[first + 1]]
  const rest = next ? Math.floor((whole % size) / next[1]) : 0
  return `${Math.floor(whole / size)} ${name}${rest ? ` ${rest} ${next[0]}` : ''}`
}

/** Return an instant in the time zone of this browser; only its time if it is of today. */
export function instant(text, { seconds = true } = {}) {
  if (!text) return '–'
  const when = new Date(text)
  const time = { hour: '2-digit', minute: '2-digit', ...(seconds ? { second: '2-digit' } : {}) }
  const isToday = when.toDateString() === new Date().toDateString()
  return cached(Intl.DateTimeFormat, isToday ? time : { day: '2-digit', month: '2-digit', year: 'numeric', ...time })
    .format(when)
}

/** Return date and time of a punch as the employee saw them, in the offset of the device. */
export function localInstant(text, offsetMinutes) {
  const shifted = new Date(Date.parse(text) + offsetMinutes * 60_000)
  return `${localDay(shifted.toISOString())} ${shifted.toISOString().slice(11, 19)}`
}

/** Return the date YYYY-MM-DD as the language writes it. */
export function localDay(day) {
  return cached(Intl.DateTimeFormat, { day: '2-digit', month: '2-digit', year: 'numeric', timeZone: 'UTC' })
    .format(new Date(`${day.slice(0, 10)}T00:00:00Z`))
}

/** The attributes of a field for an instant. Without a last one, browsers take years of more than four digits. */
export const INSTANT = { type: 'datetime-local', max: '9999-12-31T23:59' }

/** Return whether the text of a field is an instant. */
export const isInstant = (value) => !Number.isNaN(Date.parse(value))

/** Return the instant of a datetime-local field in RFC 3339; '' for one that has none. */
export const fieldInstant = (value) => (isInstant(value) ? new Date(value).toISOString() : '')

/** Return an instant in the form of a datetime-local field. */
export function fieldValue(milliseconds) {
  const local = new Date(milliseconds - new Date(milliseconds).getTimezoneOffset() * 60_000)
  return local.toISOString().slice(0, 16)
}
