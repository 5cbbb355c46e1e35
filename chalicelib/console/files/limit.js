// The limit: a live plot of the calls to the legacy, their latency and what they brought.
import { now } from './api.js'
import { h, fill, say } from './dom.js'
import { duration, instant, number } from './format.js'
import { poll } from './poll.js'
import { RANGES, Runs } from './runs.js'
import { t } from './words.js'

const FASTEST_MS = 2_000
const SLOWEST_MS = 60_000

export function limitView(parameters, signal) {
  const range = parameters.get('range') in RANGES ? parameters.get('range') : '5m'
  const summary = h('p', { class: 'summary' }, t('loading'))
  const totals = h('p', { class: 'note' })
  const charts = h('div', { class: 'charts' })
  const outages = h('ul', { class: 'outages' })
  const element = h('div', {},
    h('nav', { class: 'ranges', 'aria-label': t('range') }, Object.keys(RANGES).map((each) => (
      h('a', { href: `#/limit?range=${each}`, 'aria-current': each === range ? 'true' : null }, t(`range${each}`))))),
    summary, charts, outages, totals)
  const runs = new Runs(range)
  const { bucket } = RANGES[range]
  let plots = []
  let latest = null

  const draw = () => {
    if (!latest) return
    plots.forEach((each) => each.destroy())
    fill(charts)
    plots = latest.isEmpty ? [] : plotsIn(charts, latest)
    if (latest.isEmpty) fill(charts, h('p', { class: 'empty' }, t('noRuns')))
  }
  poll(signal, async () => {
    const hadPlots = plots.length > 0
    latest = await runs.update(now() / 1_000, signal)
    if (hadPlots && !latest.isEmpty) plots.forEach((each, index) => each.setData(dataOf(latest, index)))
    else draw()
    plots.forEach((each) => { each.outages = latest.outages })
    say(summary, latest.isEmpty ? '' : summaryOf(latest))
    say(totals, `${totalsOf(latest)} ${t('bucket', { age: duration(bucket) })}.`)
    fill(outages, latest.outages.slice(-5).map(([from, until]) => h('li', {},
      `${t('outageBand')}: ${instant(iso(from))} – ${instant(iso(until))} (${duration(until - from)})`)))
  }, Math.min(SLOWEST_MS, Math.max(FASTEST_MS, bucket * 1_000 / 2)), (error) => say(summary, error.message))

  const resized = new ResizeObserver(() => plots.forEach((each) => each.setSize(sizeIn(charts))))
  resized.observe(charts)
  const dark = matchMedia('(prefers-color-scheme: dark)')
  dark.addEventListener('change', draw)
  signal.onabort = () => {
    resized.disconnect()
    dark.removeEventListener('change', draw)
    plots.forEach((each) => each.destroy())
  }
  return element
}

const iso = (seconds) => new Date(seconds * 1_000).toISOString()

function summaryOf({ columns }) {
  const last = (name) => columns[name].findLast((each) => each !== null) ?? 0
  const recent = (name) => columns[name].at(-2) ?? 0
  return t('limitSummary', {
    limit: number(last('limit')), open: number(last('open')), p50: number(last('p50')), p95: number(last('p95')),
    ok: number(recent('ok'), 1), bad: number(recent('bad'), 1) })
}

function totalsOf({ sums, outages }) {
  const outS = outages.reduce((sum, [from, until]) => sum + until - from, 0)
  return t('totals', { ok: number(sums.ok), bad: number(sums.bad), no: number(sums.no), out: duration(outS) })
}

const LINES = [
  ['limitTitle', [['limit', 'limitLine', '--blue', { step: true, dots: true }], ['open', 'openLine', '--gray', { dots: true }]]],
  ['latencyTitle', [['p50', 'p50', '--blue', { dots: true }], ['p95', 'p95', '--amber', { dots: true }]]],
  ['rateTitle', [['ok', 'deliveredRate', '--green'], ['bad', 'failedLine', '--red'], ['no', 'refusedLine', '--amber'],
    ['probe', 'probeLine', '--red', { points: true }]]],
]

const dataOf = ({ columns }, index) => [columns.x, ...LINES[index][1].map(([name]) => columns[name])]
const sizeIn = (box) => ({ width: Math.max(240, box.clientWidth - 2), height: 160 })

function plotsIn(box, latest) {
  const style = getComputedStyle(document.documentElement)
  const color = (name) => style.getPropertyValue(name).trim()
  const axis = { stroke: color('--muted'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false },
    font: '11px system-ui' }
  return LINES.map(([title, lines], index) => {
    const holder = h('figure', { 'aria-label': t(title) }, h('figcaption', {}, t(title)))
    box.append(holder)
    const options = {
      ...sizeIn(box),
      padding: [null, 26, null, null],
      cursor: { sync: { key: 'limit' }, y: false, points: { size: 6 } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.08)] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((each) => instant(iso(each), { seconds: latest.bucket < 20 })), space: 100, size: 28 },
        { ...axis, size: 46, values: (_, ticks) => ticks.map((each) => number(each, 1)) }],
      series: [{ label: '', value: (_, at) => (at ? instant(iso(at)) : '–') },
        ...lines.map(([, label, name, more = {}]) => lineOf(t(label), color(name), more))],
      hooks: { drawClear: [(plot) => shade(plot, color('--band'))] },
    }
    const plot = new globalThis.uPlot(options, dataOf(latest, index), holder)
    plot.outages = latest.outages // before uPlot draws, in a microtask
    return plot
  })
}

function lineOf(label, stroke, { step, points, dots }) {
  const shape = points ? { paths: () => null, points: { show: true, size: 6, fill: stroke } }
    : { points: { show: Boolean(dots), size: 3, fill: stroke } }
  return {
    label, stroke, width: 1.5, spanGaps: Boolean(step), ...shape,
    ...(step ? { paths: globalThis.uPlot.paths.stepped({ align: 1 }) } : {}),
    value: (_, value) => (value === null || value === undefined ? '–' : number(value, 1)),
  }
}

/** Shade the outages behind the lines. */
function shade(plot, color) {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.fillStyle = color
  for (const [from, until] of plot.outages ?? []) {
    const left = Math.max(bbox.left, plot.valToPos(from, 'x', true))
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(until, 'x', true))
    if (right > left) ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height)
  }
  ctx.restore()
}
