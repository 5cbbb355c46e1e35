// Find records by id, employee and period.
import { page, query } from './api.js'
import { criteriaForm, faultIn, filterOf } from './criteria.js'
import { csvButton } from './csv.js'
import { fill, h, problemBox, table } from './dom.js'
import { instant, localInstant, number } from './format.js'
import { session } from './session.js'
import { t } from './words.js'

const PAGE = 50
const COLUMNS = ['id', 'employeeId', 'employerId', 'includedAt', 'utcOffsetMinutes', 'status', 'attempts', 'integratedAt']
const CSV_COLUMNS = [...COLUMNS, 'deviceId', 'latitude', 'longitude', 'accuracyMeters', 'createdAt']

export function findView(parameters) {
  if (parameters.get('id')) {
    location.replace(`#/record/${parameters.get('id').toLowerCase()}`)
    return { element: h('div', {}), stop() {} }
  }
  const control = new AbortController()
  const names = session.isOperator ? ['id', 'employee', 'employer', 'from', 'until', 'status']
    : ['id', 'employee', 'from', 'until', 'status']
  const problem = problemBox()
  const results = h('div', { 'aria-busy': 'true' }, h('p', {}, t('loading')))
  const rows = []

  const options = { filter: filterOf(parameters), orderby: 'includedAt desc' }
  const wrong = faultIn(parameters)
  if (wrong) {
    problem.show({ message: t(wrong[1]) })
    fill(results)
  } else show(query('PointRecords', { select: COLUMNS.join(), ...options }))

  async function show(path) {
    try {
      const part = await page(path, { size: PAGE, signal: control.signal })
      rows.push(...part.rows)
      draw(part.next)
    } catch (error) {
      if (control.signal.aborted) return
      problem.show(error)
      results.removeAttribute('aria-busy')
      fill(results)
    }
  }

  function draw(next) {
    results.removeAttribute('aria-busy')
    if (!rows.length) return fill(results, h('p', { class: 'empty' }, t('noneFound')))
    return fill(results, recordTable(rows),
      h('div', { class: 'row' }, h('span', { role: 'status' }, t('shown', { n: number(rows.length) })),
        next ? h('button', { onclick: (event) => { event.target.disabled = true; show(next) } }, t('more')) : null,
        csvButton('records', query('PointRecords', { select: CSV_COLUMNS.join(), ...options }), CSV_COLUMNS, control.signal)))
  }

  return {
    element: h('div', {}, criteriaForm(names, parameters, '#/find', t('search')), problem, results),
    stop: () => control.abort(),
  }
}

/** Return a table of records, each with a link to its story. */
export function recordTable(rows) {
  return table(t('records'), [
    { title: t('punch'), class: 'time' }, { title: t('employee'), number: true },
    ...(session.isOperator ? [{ title: t('employer'), number: true }] : []),
    { title: t('status') }, { title: t('attempts'), number: true }, { title: t('deliveredAt'), class: 'time' },
  ], rows.map((each) => [
    h('a', { href: `#/record/${each.id}` }, localInstant(each.includedAt, each.utcOffsetMinutes)),
    String(each.employeeId),
    ...(session.isOperator ? [String(each.employerId)] : []),
    badge(each.status), number(each.attempts), instant(each.integratedAt),
  ]))
}

/** Return a status in words, with its colour. */
export const badge = (status) => h('span', { class: `badge ${status}` }, t(status))
