// The quarantine: look at an item, correct its JSON, and release it as a record.
import { actionForm } from './action.js'
import { operate } from './api.js'
import { field, fill, h, say, table } from './dom.js'
import { instant } from './format.js'
import { listed, pages } from './pages.js'
import { t } from './words.js'

const FIELDS = ['employeeId', 'employerId', 'includedAt', 'deviceId', 'latitude', 'longitude', 'accuracyMeters']

export function quarantineView(parameters, signal) {
  const bench = h('div', {})
  const done = h('p', { role: 'status', class: 'done' })
  const list = pages(listed('quarantine', 'items', signal), (items) => table(t('quarantine'), [
    ['since', 'time'], ['item', 'text'], ['reason', 'text'], [''],
  ], items.map((each) => [
    instant(each.quarantinedAt), each.itemId, each.reason,
    h('button', { onclick: () => correct(each), 'aria-label': `${t('correct')} ${each.itemId}` }, t('correct')),
  ])), 'emptyQuarantine')

  function correct(item) {
    say(done, '')
    const text = h('textarea', { rows: '11', spellcheck: 'false', class: 'code', oninput: check, value: draftOf(item) })
    const verdict = h('p', { class: 'note', role: 'status' })
    const form = actionForm(`${t('correct')} ${item.itemId}`, t('release'), [
      h('h2', {}, item.itemId), h('p', { class: 'cause' }, item.reason),
      field(t('corrected'), text, { hint: t('correctHint'), wide: true }), verdict,
    ], release, () => fill(bench))
    fill(bench, form)
    form.append(h('details', {}, h('summary', {}, t('raw')), h('pre', { tabindex: '0' }, item.item),
      item.isCut ? h('p', { class: 'note' }, t('cutText')) : null))
    check()
    text.focus()
    form.scrollIntoView({ block: 'nearest' })

    function check() {
      const { error } = parsed(text.value)
      text.setAttribute('aria-invalid', String(Boolean(error)))
      say(verdict, error ? t('notJson', { reason: error }) : t('isJson'))
      return !error
    }

    async function release(why) {
      if (!check()) return text.focus()
      // The text itself: a number that JavaScript reads and writes again may lose digits.
      const command = `{"quarantineId":${item.id},"comment":${JSON.stringify(why)},"record":${text.value}}`
      const { id, written } = await operate('release', command, { signal })
      fill(bench)
      fill(done, `${t(written ? 'released' : 'existed')} `, h('a', { href: `#/record/${id}` }, id))
      return list.reload()
    }
  }

  return h('div', { class: 'stack' }, h('p', {}, t('quarantineLead')), done, bench, list)
}

/** Return the record of a text, or the error of its JSON. */
function parsed(text) {
  try {
    return { record: JSON.parse(text) }
  } catch (error) {
    return { error: error.message }
  }
}

/** Return what can be read of an item as the JSON of a punch, to be corrected. */
export function draftOf({ item }) {
  try {
    const stored = JSON.parse(item)
    const text = stored.record?.S ?? item
    const record = parsed(text).record
    if (/\d{16}/.test(text)) return text // to keep all digits
    if (record === null || typeof record !== 'object' || Array.isArray(record)) return text
    const kept = Object.entries(record).filter(([name]) => FIELDS.includes(name))
    return JSON.stringify(kept.length ? Object.fromEntries(kept) : record, null, 2)
  } catch {
    return item
  }
}
