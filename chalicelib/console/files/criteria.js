// The form that chooses records, its place in the address, and the OData filter that it makes.
import { literal } from './api.js'
import { field, h, problemBox } from './dom.js'
import { fieldInstant, INSTANT, isInstant } from './format.js'
import { t } from './words.js'

export const STATUSES = ['AWAITING', 'INTEGRATING', 'INTEGRATED', 'ERROR', 'REJECTED']
const UUID = /^[\da-f]{8}-?([\da-f]{4}-?){3}[\da-f]{12}$/i

/**
 * Return the form of so many fields (of id, employee, employer, from, until, status). To submit it goes to `to` with
 * the fields as parameters.
 */
export function criteriaForm(names, parameters, to, label) {
  const problem = problemBox()
  const controls = Object.fromEntries(names.map((name) => [name, controlOf(name, parameters.get(name) ?? '')]))
  const labels = { id: 'recordId', employee: 'employee', employer: 'employer', from: 'from', until: 'until', status: 'status' }
  return h('form', { class: 'criteria', role: 'search', onsubmit: submit },
    names.map((name) => field(t(labels[name]), controls[name], { wide: name === 'id' })),
    h('div', { class: 'field' }, h('button', { class: 'main' }, label)), problem)

  function submit(event) {
    event.preventDefault()
    const chosen = new URLSearchParams()
    for (const [name, control] of Object.entries(controls)) if (control.value.trim()) chosen.set(name, control.value.trim())
    const wrong = faultIn(chosen)
    problem.show(wrong && { message: `${t(labels[wrong[0]])}: ${t(wrong[1])}` })
    for (const [name, control] of Object.entries(controls)) control.setAttribute('aria-invalid', String(wrong?.[0] === name))
    if (wrong) return controls[wrong[0]].focus()
    const address = `${to}?${chosen}`
    if (location.hash === address) dispatchEvent(new HashChangeEvent('hashchange'))
    else location.hash = address
  }
}

function controlOf(name, value) {
  if (name === 'status') {
    return h('select', { value }, h('option', { value: '' }, t('any')),
      STATUSES.map((each) => h('option', { value: each, selected: each === value }, t(each))))
  }
  if (['from', 'until'].includes(name)) return h('input', { ...INSTANT, value })
  const isId = name === 'id'
  return h('input', { value, inputmode: isId ? null : 'numeric', autocomplete: 'off', spellcheck: 'false', size: isId ? 38 : 12 })
}

/** Return the name of the first wrong parameter and the words of its fault; null if all are right. */
export function faultIn(parameters) {
  for (const name of ['employee', 'employer']) {
    const value = parameters.get(name)
    if (value && !(/^[1-9]\d{0,18}$/.test(value) && BigInt(value) < 2n ** 63n)) return [name, 'wrongId']
  }
  if (parameters.get('id') && !UUID.test(parameters.get('id'))) return ['id', 'wrongUuid']
  const [from, until] = [parameters.get('from'), parameters.get('until')]
  for (const [name, value] of [['from', from], ['until', until]]) if (value && !isInstant(value)) return [name, 'wrongInstant']
  if (from && until && new Date(from) >= new Date(until)) return ['until', 'wrongPeriod']
  return null
}

/** Throw what is wrong with the parameters, if anything is. */
export function check(parameters) {
  const wrong = faultIn(parameters)
  if (wrong) throw new Error(t(wrong[1]))
}

/** Return the filter of the parameters; '' if they select all. */
export function filterOf(parameters) {
  const conditions = []
  const add = (name, condition) => { if (parameters.get(name)) conditions.push(condition(parameters.get(name))) }
  add('employee', (value) => `employeeId eq ${value}`)
  add('employer', (value) => `employerId eq ${value}`)
  add('from', (value) => `includedAt ge ${fieldInstant(value)}`)
  add('until', (value) => `includedAt lt ${fieldInstant(value)}`)
  add('status', (value) => `status eq ${literal(value)}`)
  return conditions.join(' and ')
}
