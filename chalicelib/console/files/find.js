// Find records by id, employee and period.
import { query } from './api.js'
import { criteriaForm, filterOf } from './criteria.js'
import { csvButton } from './csv.js'
import { h, table } from './dom.js'
import { instant, localInstant, number } from './format.js'
import { pages, queried } from './pages.js'
import { session } from './session.js'
import { t } from './words.js'

const COLUMNS = ['id', 'employeeId', 'employerId', 'includedAt', 'utcOffsetMinutes', 'status', 'attempts', 'integratedAt']
const CSV_COLUMNS = [...COLUMNS, 'deviceId', 'latitude', 'longitude', 'accuracyMeters', 'createdAt']

export function findView(parameters, signal) {
  if (parameters.get('id')) {
    location.replace(`#/record/${parameters.get('id').toLowerCase()}`)
    return h('div', {})
  }
  const names = session.isOperator ? ['id', 'employee', 'employer', 'from', 'until', 'status']
    : ['id', 'employee', 'from', 'until', 'status']
  const options = { filter: filterOf(parameters), orderby: 'includedAt desc' }
  const path = query('PointRecords', { select: COLUMNS.join(), ...options })
  return h('div', {}, criteriaForm(names, parameters, '#/find', t('search')), pages(queried(path, parameters, signal), recordTable, 'noneFound',
    csvButton('records', query('PointRecords', { select: CSV_COLUMNS.join(), ...options }), CSV_COLUMNS, signal)))
}

/** Return a table of records, each with a link to its story. */
function recordTable(rows) {
  return table(t('records'), [
    ['punch', 'time'], ['employee', 'number'],
    ...(session.isOperator ? [['employer', 'number']] : []),
    ['status'], ['attempts', 'number'], ['deliveredAt', 'time'],
  ], rows.map((each) => [
    h('a', { href: `#/record/${each.id}` }, localInstant(each.includedAt, each.utcOffsetMinutes)),
    String(each.employeeId),
    ...(session.isOperator ? [String(each.employerId)] : []),
    badge(each.status), number(each.attempts), instant(each.integratedAt),
  ]))
}

/** Return a status in words, with its colour. */
export const badge = (status) => h('span', { class: `badge ${status}` }, t(status))
