// Days: the punches of each employee on each local day.
import { now, query } from './api.js'
import { criteriaForm, filterOf } from './criteria.js'
import { csvButton } from './csv.js'
import { h, table } from './dom.js'
import { fieldValue, localDay, number } from './format.js'
import { pages, queried } from './pages.js'
import { t } from './words.js'

const DEFAULT_DAYS = 7
const COLUMNS = ['employeeId', 'localDate', 'first', 'last', 'punches']

export function daysView(parameters, signal) {
  const chosen = new URLSearchParams(parameters)
  if (![...chosen.keys()].length) chosen.set('from', `${fieldValue(now() - DEFAULT_DAYS * 86_400_000).slice(0, 10)}T00:00`)
  const filter = filterOf(chosen)
  const steps = [
    filter ? `filter(${filter})/` : '',
    'groupby((employeeId,localDate),aggregate(localTime with min as first,localTime with max as last,$count as punches))',
  ]
  const path = query('PointRecords', { apply: steps.join(''), orderby: 'localDate desc,employeeId' })
  return h('div', {}, h('p', {}, t('daysLead')), criteriaForm(['employee', 'from', 'until'], chosen, '#/days', t('search')),
    pages(queried(path, chosen, signal), dayTable, 'noDays', csvButton('days', path, COLUMNS, signal)))
}

const dayTable = (rows) => table(t('days'), [
  ['day', 'time'], ['employee', 'number'], ['first', 'time'],
  ['last', 'time'], ['punches', 'number'],
], rows.map((each) => [
  localDay(each.localDate), String(each.employeeId), each.first.slice(0, 8), each.last.slice(0, 8), number(Number(each.punches)),
]))
