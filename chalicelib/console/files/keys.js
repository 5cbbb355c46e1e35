// Access keys of reports: list them, make one, which is shown once, and revoke one.
import { actionForm } from './action.js'
import { operate } from './api.js'
import { field, fill, h, say, table } from './dom.js'
import { instant } from './format.js'
import { listed, pages } from './pages.js'
import { t } from './words.js'

let made = null // the key that is shown. It outlives a change of language, and nothing else.

const ID = { inputmode: 'numeric', pattern: '[1-9][0-9]*', maxlength: '19', size: '12' }

export function keysView(parameters, signal) {
  const done = h('p', { role: 'status', class: 'done' })
  const bench = h('div', {})
  const list = pages(listed('access-keys', 'keys', signal), (keys) => keyTable(keys, revoke), 'noKeys')
  const input = (attributes) => h('input', { autocomplete: 'off', required: true, ...attributes })
  const name = input({ maxlength: '100' })
  const employer = input(ID)
  const employee = input({ ...ID, required: false, placeholder: t('allOfThem') })
  const days = input({ type: 'number', min: '1', max: '730', value: '365' })
  const close = () => {
    made = null
    fill(bench)
  }
  signal.addEventListener('abort', () => { if (signal.reason !== 'language') made = null })

  async function make(comment) {
    close()
    say(done, '')
    const command = { name: name.value.trim(), days: Number(days.value), comment }
    // The ids as they are: a number of JavaScript may lose digits.
    const ids = `"employerId":${employer.value}${employee.value && `,"employeeId":${employee.value}`}`
    try {
      made = await operate('access-keys', `{${ids},${JSON.stringify(command).slice(1)}`, { signal })
      show(made)
      name.value = employer.value = employee.value = '' // so that the next press makes no other key
    } catch (error) {
      throw /^4/.test(error.status) ? error : new Error(`${error.message} ${t('keyLost')}`)
    } finally {
      list.reload()
    }
  }

  function show({ name: title, key, expiresAt }) {
    const secret = h('input', { class: 'code', readonly: true, value: key })
    const said = h('span', { role: 'status' })
    fill(bench, h('section', { class: 'panel stack', 'aria-label': title }, h('h2', {}, title),
      h('p', { class: 'verdict warn', role: 'alert' }, t('keyWarning', { at: instant(expiresAt) })),
      field(t('key'), secret, { wide: true }),
      h('div', { class: 'row' }, h('button', { class: 'main', onclick: copy }, t('copy')), h('button', { onclick: close }, t('close')), said)))
    secret.select()

    async function copy() {
      secret.select()
      // A page without TLS has no clipboard.
      say(said, t(await navigator.clipboard?.writeText(key).then(() => 'copied', () => 0) || 'copyByHand'))
    }
  }

  function revoke({ id, name: title }) {
    close()
    say(done, '')
    const parts = [h('h2', {}, title), h('p', {}, t('revokeLead'))]
    fill(bench, actionForm(`${t('revoke')} ${title}`, t('revoke'), parts, async (comment) => {
      await operate('access-keys', { revoke: id, comment }, { signal })
      close()
      say(done, t('keyRevoked', { name: title }))
      list.reload()
    }, close))
    bench.querySelector('input').focus()
  }

  if (made) show(made)
  return h('div', { class: 'stack' }, h('p', {}, t('keysLead')),
    actionForm(t('makeKey'), t('makeKey'), h('div', { class: 'criteria' }, field(t('report'), name),
      field(t('employer'), employer), field(t('employee'), employee), field(t('days'), days)), make), bench, done, list)
}

function keyTable(keys, revoke) {
  return table(t('keys'), [
    ['report', 'text'], ['employer', 'number'], ['employee', 'number'],
    ['role'], ['until', 'time'], ['madeBy', 'text'], [''],
  ], keys.map((each) => [
    each.name, String(each.employerId), String(each.employeeId ?? t('allOfThem')), t(each.role), instant(each.expiresAt),
    `${each.createdBy}, ${instant(each.createdAt)}`,
    each.revokedAt ? t('revokedBy', { who: each.revokedBy, at: instant(each.revokedAt) })
      : each.isValid ? h('button', { onclick: () => revoke(each), 'aria-label': `${t('revoke')} ${each.name}` }, t('revoke'))
        : t('expired'),
  ]))
}
