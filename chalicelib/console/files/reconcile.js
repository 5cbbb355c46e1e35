// Reconcile a period: prove that every accepted punch is in a store.
import { actionForm, inSteps } from './action.js'
import { now } from './api.js'
import { field, fill, h, say, table } from './dom.js'
import { fieldInstant, fieldValue, INSTANT, instant, number } from './format.js'
import { t } from './words.js'

const COUNTS = { acceptedCount: 'accepted', inBuffer: 'inBuffer', inPostgres: 'inPostgres', inQuarantine: 'inQuarantine',
  missing: 'missing', unlogged: 'unlogged' }
const DEFAULT_MS = 2 * 3_600_000
const MOST_IDS = 500

export function reconcileView(parameters, signal) {
  const since = h('input', { ...INSTANT, required: true, value: fieldValue(now() - DEFAULT_MS) })
  const until = h('input', { ...INSTANT, required: true, value: fieldValue(now() + 60_000) })
  const result = h('div', {})
  const progress = h('progress', { max: '1', value: 0, hidden: true, 'aria-label': t('reconcile') })
  const said = h('p', { role: 'status', class: 'note' })

  async function run(comment) {
    const period = { since: fieldInstant(since.value), until: fieldInstant(until.value) }
    if (!period.since || !period.until) throw new Error(t('wrongInstant'))
    if (period.since >= period.until) throw new Error(t('wrongPeriod'))
    const sums = Object.fromEntries(Object.values(COUNTS).map((name) => [name, 0]))
    const ids = { missing: [], unlogged: [] }
    progress.hidden = false
    fill(result)
    const [from, to] = [Date.parse(period.since), Math.min(now(), Date.parse(period.until))]
    try {
      await inSteps('reconcile', { ...period, comment }, signal, (answer) => {
        for (const name of Object.keys(sums)) sums[name] += answer[name]
        for (const name of Object.keys(ids)) ids[name] = [...ids[name], ...answer[`${name}Ids`]].slice(0, MOST_IDS)
        progress.value = Math.min(1, (Date.parse(answer.reached) - from) / Math.max(1, to - from))
        say(said, t('reconciling', { at: instant(answer.reached) }))
      })
      fill(result, verdictOf(sums, ids))
    } finally {
      progress.hidden = true
    }
  }

  return h('div', { class: 'stack' }, h('p', {}, t('reconcileLead')),
    actionForm(t('reconcile'), t('reconcileNow'), h('div', { class: 'criteria' }, field(t('from'), since), field(t('until'), until)), run),
    progress, said, result)
}

function verdictOf(sums, ids) {
  const isProven = !sums.missing && !sums.unlogged
  const level = !isProven ? 'bad' : sums.accepted ? 'good' : 'warn' // Without a line of the log, nothing is proven.
  const list = (all) => h('ul', {}, all.map((id) => h('li', {}, h('a', { href: `#/record/${id}` }, id))))
  return h('div', { class: 'stack' },
    h('div', { class: `verdict ${level}`, role: 'status' },
      isProven ? h('p', {}, t(sums.accepted ? 'proven' : 'noEvidence')) : null,
      sums.missing ? [h('p', {}, t('missingFound', { n: number(sums.missing) })), list(ids.missing)] : null,
      sums.unlogged ? [h('p', {}, t('unloggedFound', { n: number(sums.unlogged) })), list(ids.unlogged)] : null),
    table(t('reconcile'), Object.keys(COUNTS).map((name) => [name, 'number']),
      [Object.values(COUNTS).map((name) => number(sums[name]))]))
}
