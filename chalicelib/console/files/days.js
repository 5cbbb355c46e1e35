// Days: the punches of each employee on each local day.
import { page, query } from './api.js'
import { criteriaForm, faultIn, filterOf } from './criteria.js'
import { csvButton } from './csv.js'
import { fill, h, problemBox, table } from './dom.js'
import { fieldValue, localDay, number } from './format.js'
import { t } from './words.js'

const PAGE = 100
const DEFAULT_DAYS = 7
const COLUMNS = ['employeeId', 'localDate', 'first', 'last', 'punches']

export function daysView(parameters) {
  const control = new AbortController()
  const chosen = new URLSearchParams(parameters)
  if (![...chosen.keys()].length) chosen.set('from', `${fieldValue(Date.now() - DEFAULT_DAYS * 86_400_000).slice(0, 10)}T00:00`)
  const problem = problemBox()
  const results = h('div', {}, h('p', {}, t('loading')))
  const rows = []
  const filter = filterOf(chosen)
  const steps = [
    filter ? `filter(${filter})/` : '',
    'groupby((employeeId,localDate),aggregate(localTime with min as first,localTime with max as last,$count as punches))',
  ]
  const path = query('PointRecords', { apply: steps.join(''), orderby: 'localDate desc,employeeId' })
  const wrong = faultIn(chosen)
  if (wrong) {
    problem.show({ message: t(wrong[1]) })
    fill(results)
  } else show(path)

  async function show(next) {
    try {
      const part = await page(next, { size: PAGE, signal: control.signal })
      rows.push(...part.rows)
      draw(part.next)
    } catch (error) {
      if (control.signal.aborted) return
      fill(results)
      problem.show(error)
    }
  }

  function draw(next) {
    if (!rows.length) return fill(results, h('p', { class: 'empty' }, t('noDays')))
    return fill(results, table(t('days'), [
      { title: t('day'), class: 'time' }, { title: t('employee'), number: true }, { title: t('first'), class: 'time' },
      { title: t('last'), class: 'time' }, { title: t('punches'), number: true },
    ], rows.map((each) => [
      localDay(each.localDate), String(each.employeeId), each.first.slice(0, 8), each.last.slice(0, 8), number(Number(each.punches)),
    ])), h('div', { class: 'row' }, h('span', { role: 'status' }, t('shown', { n: number(rows.length) })),
      next ? h('button', { onclick: (event) => { event.target.disabled = true; show(next) } }, t('more')) : null,
      csvButton('days', path, COLUMNS, control.signal)))
  }

  return {
    element: h('div', {}, h('p', {}, t('daysLead')),
      criteriaForm(['employee', 'from', 'until'], chosen, '#/days', t('search')), problem, results),
    stop: () => control.abort(),
  }
}
