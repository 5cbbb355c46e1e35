// Reads how the integrator's calls went, thinned by the service to some 150 points, and finds outages. It draws nothing.
import { all, query } from './api.js'

const PARTS = { day: 'date(at)', hour: 'hour(at)', minute: 'minute(at)', second: 'second(at)' }
/** The periods: their length, the length of a point, and the parts of an instant that a point is grouped by. */
export const RANGES = {
  '5m': { s: 300, bucket: 2, parts: ['day', 'hour', 'minute', ['second', 2]] },
  '1h': { s: 3_600, bucket: 20, parts: ['day', 'hour', 'minute', ['second', 20]] },
  '6h': { s: 21_600, bucket: 120, parts: ['day', 'hour', ['minute', 2]] },
  '24h': { s: 86_400, bucket: 600, parts: ['day', 'hour', ['minute', 10]] },
  '7d': { s: 604_800, bucket: 3_600, parts: ['day', 'hour'] },
}

/** The points of a period, kept from one poll to the next, so that only new ones are asked for. */
export class Runs {
  constructor(range) {
    this.range = RANGES[range]
    this.points = new Map()
  }

  /** Read what is new up to now (in seconds); the last point may have grown. */
  async update(nowS, signal) {
    const { s, bucket } = this.range
    const first = Math.floor((nowS - s) / bucket) * bucket
    const from = this.points.size ? Math.max(...this.points.keys()) : first
    for (const row of await all(this.path(from), { size: 1_000, signal })) {
      const at = this.secondsOf(row)
      const { day, hour, minute, second, ...values } = row
      const read = Object.entries(values).map(([name, value]) => [name, value === null ? null : Number(value)])
      if (at >= from) this.points.set(at, Object.fromEntries(read))
    }
    for (const at of this.points.keys()) if (at < first) this.points.delete(at)
    return this.series(first, nowS)
  }

  /** Return the start of a point, in seconds, from the parts of its instant. */
  secondsOf({ day, hour, minute = 0, second = 0 }) {
    const step = (name) => this.range.parts.find((each) => each[0] === name)?.[1] ?? 1
    return Date.parse(`${day}T00:00:00Z`) / 1_000
      + hour * 3_600 + minute * step('minute') * 60 + second * step('second')
  }

  path(since) {
    const { parts } = this.range
    const computed = parts.map((part) => {
      const [name, step] = [part].flat()
      return `${PARTS[name]}${step ? ` div ${step}` : ''} as ${name}`
    })
    const names = parts.map((part) => [part].flat()[0])
    const sums = [
      'delivered with sum as ok', 'failed with sum as bad', 'rejected with sum as no',
      'maxOpenRequests with average as limit', 'openRequests with average as open',
      'latencyP50Ms with average as p50', 'latencyP95Ms with average as p95',
    ]
    const from = new Date(since * 1_000).toISOString()
    return query('IntegrationRuns', {
      apply: `filter(at ge ${from})/compute(${computed})/groupby((${names}),aggregate(${sums}))` })
  }

  /** Return the columns to plot, with a point for each step of time, the sums, and the outages. */
  series(first, nowS) {
    const { bucket } = this.range
    const columns = { x: [], limit: [], open: [], p50: [], p95: [], ok: [], bad: [], no: [], probe: [] }
    const sums = { ok: 0, bad: 0, no: 0 }
    for (let at = first; at <= nowS; at += bucket) {
      const point = this.points.get(at)
      columns.x.push(at)
      for (const name of ['limit', 'open', 'p50', 'p95']) columns[name].push(point?.[name] ?? null)
      for (const name of ['ok', 'bad', 'no']) {
        columns[name].push((point?.[name] ?? 0) / bucket)
        sums[name] += point?.[name] ?? 0
      }
      columns.probe.push(isFailing(point) ? point.bad / bucket : null)
    }
    return { columns, sums, bucket, outages: outagesOf(this.points, bucket, nowS), isEmpty: !this.points.size }
  }
}

// Refusals alone are no outage: they may be about the records.
const isFailing = (point) => Boolean(point) && point.ok === 0 && point.bad > 0

/** Return the instants, in seconds, between which calls failed and none delivered its record. */
export function outagesOf(points, bucket, nowS) {
  const outages = []
  let begun = null
  for (const at of [...points.keys()].sort((one, other) => one - other)) {
    const fails = isFailing(points.get(at))
    if (fails) begun ??= at
    if (points.get(at).ok && begun !== null) {
      outages.push([begun, at])
      begun = null
    }
  }
  // The last probe may be seconds ago, because probes become rarer. After a minute, no run is under way.
  if (begun !== null) outages.push([begun, Math.min(nowS, Math.max(...points.keys()) + Math.max(bucket, 60))])
  return outages
}
