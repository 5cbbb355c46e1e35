// The quarantine: look at an item, correct its JSON, and release it as a record.
import { commentField, turnedOff } from './action.js'
import { operate } from './api.js'
import { field, fill, h, problemBox, say, table } from './dom.js'
import { instant } from './format.js'
import { t } from './words.js'

const PAGE = 100
const FIELDS = ['employeeId', 'employerId', 'includedAt', 'deviceId', 'latitude', 'longitude', 'accuracyMeters']

export function quarantineView() {
  const off = turnedOff()
  if (off) return { element: off, stop() {} }
  const control = new AbortController()
  const { signal } = control
  const problem = problemBox()
  const list = h('div', {}, h('p', {}, t('loading')))
  const bench = h('div', {})
  const done = h('p', { role: 'status', class: 'done' })
  let items = []
  load()

  async function load(before) {
    try {
      const answer = await operate('quarantine', before ? { before } : {}, { signal })
      items = before ? [...items, ...answer.items] : answer.items
      draw(answer.items.length === PAGE)
    } catch (error) {
      if (signal.aborted) return
      fill(list)
      problem.show(error)
    }
  }

  function draw(hasMore) {
    if (!items.length) return fill(list, h('p', { class: 'empty' }, t('emptyQuarantine')))
    return fill(list, table(t('quarantine'), [
      { title: t('since'), class: 'time' }, { title: t('item'), class: 'text' }, { title: t('reason'), class: 'text' }, { title: '' },
    ], items.map((each) => [
      instant(each.quarantinedAt), each.itemId, each.reason,
      h('button', { onclick: () => correct(each), 'aria-label': `${t('correct')} ${each.itemId}` }, t('correct')),
    ])), hasMore ? h('button', { onclick: () => load(items.at(-1).id) }, t('more')) : null)
  }

  function correct(item) {
    say(done, '')
    const wrong = problemBox()
    const comment = commentField(wrong)
    const text = h('textarea', { rows: '11', spellcheck: 'false', class: 'code', oninput: check, value: draftOf(item) })
    const verdict = h('p', { class: 'note', role: 'status' })
    const form = h('form', { class: 'panel stack', onsubmit: submit, 'aria-label': `${t('correct')} ${item.itemId}` },
      h('h2', {}, item.itemId), h('p', { class: 'cause' }, item.reason),
      field(t('corrected'), text, { hint: t('correctHint'), wide: true }), verdict, comment.element, wrong,
      h('div', { class: 'row' }, h('button', { class: 'main' }, t('release')),
        h('button', { type: 'button', onclick: () => fill(bench) }, t('close'))),
      h('details', {}, h('summary', {}, t('raw')), h('pre', { tabindex: '0' }, item.item),
        item.isCut ? h('p', { class: 'note' }, t('cutText')) : null))
    fill(bench, form)
    check()
    text.focus()
    form.scrollIntoView({ block: 'nearest' })

    function check() {
      const { error } = parsed(text.value)
      text.toggleAttribute('aria-invalid', Boolean(error))
      say(verdict, error ? t('notJson', { reason: error }) : t('isJson'))
      return !error
    }

    async function submit(event) {
      event.preventDefault()
      wrong.show(null)
      if (!check()) return text.focus()
      const why = comment.value()
      if (!why) return undefined
      const button = form.querySelector('button.main')
      button.disabled = true
      try {
        // The text itself: a number that JavaScript reads and writes again may lose digits.
        const command = `{"quarantineId":${item.id},"comment":${JSON.stringify(why)},"record":${text.value}}`
        const { id, written } = await operate('release', command, { signal })
        fill(bench)
        items = items.filter((each) => each !== item)
        draw(false)
        fill(done, `${t(written ? 'released' : 'existed')} `, h('a', { href: `#/record/${id}` }, id))
      } catch (error) {
        if (!signal.aborted) wrong.show(error)
      }
      button.disabled = false
      return undefined
    }
  }

  return {
    element: h('div', { class: 'stack' }, h('p', {}, t('quarantineLead')), problem, done, bench, list),
    stop: () => control.abort(),
  }
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
