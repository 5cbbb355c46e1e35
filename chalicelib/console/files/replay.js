// Replay parked records that a filter selects: first their number, then the reason, then the replay.
import { actionForm, inSteps } from './action.js'
import { page, query } from './api.js'
import { field, fill, h, problemBox, say, table } from './dom.js'
import { instant, localInstant, number } from './format.js'
import { t } from './words.js'

const SHOWN = 20
const parked = (filter) => `status eq 'REJECTED' and (${filter})`

export function replayView(parameters, signal) {
  const problem = problemBox()
  const filter = h('input', {
    value: parameters.get('filter') ?? 'true', required: true, maxlength: '4000', spellcheck: 'false', autocomplete: 'off' })
  const found = h('div', { class: 'stack' })
  const form = h('form', { class: 'criteria', role: 'search', onsubmit(event) { event.preventDefault(); countThem() } },
    field(t('filter'), filter, { hint: t('filterHint'), wide: true }),
    h('div', { class: 'field' }, h('button', { class: 'main' }, t('countParked'))))
  let counted = 0
  countThem()

  async function countThem() {
    const turn = counted += 1 // an answer to an earlier question is ignored
    const text = filter.value.trim() || 'true'
    problem.show(null)
    fill(found, h('p', {}, t('loading')))
    try {
      const { rows, count } = await page(query('PointRecords', {
        filter: parked(text), orderby: 'updatedAt desc', top: SHOWN, count: 'true',
        select: 'id,employeeId,employerId,includedAt,utcOffsetMinutes,updatedAt',
        expand: 'logs($select=log,httpStatus,createdAt;$orderby=createdAt desc;$top=1)',
      }), { signal })
      if (turn === counted) fill(found, count ? offer(text, count, rows) : h('p', { class: 'empty' }, t('noParked')))
    } catch (error) {
      if (signal.aborted || turn !== counted) return
      fill(found)
      problem.show(error)
    }
  }

  function offer(text, count, rows) {
    const progress = h('progress', { max: String(count), value: 0, hidden: true, 'aria-label': t('replay') })
    const said = h('p', { role: 'status' })
    const stop = h('button', { type: 'button', hidden: true }, t('stop'))
    const state = { replayed: 0, cursor: null }
    const action = actionForm(t('replay'), t('replayNow', { n: number(count) }), [], run)
    const start = action.querySelector('button.main')
    const matching = h('p', { class: 'figure-line', role: 'status' }, t('parkedMatch', { n: number(count) }))

    async function run(comment) {
      let isStopped = false
      stop.onclick = () => {
        isStopped = stop.disabled = true
        say(said, t('stopping'))
      }
      progress.hidden = stop.hidden = stop.disabled = false
      try {
        const rest = await inSteps('replay', { filter: text, comment }, signal, (answer, next) => {
          state.replayed += answer.replayed
          state.cursor = next
          progress.value = state.replayed
          say(said, t('replaying', { n: number(state.replayed), all: number(Math.max(count, state.replayed)) }))
          return !isStopped
        }, state.cursor)
        if (rest) {
          say(said, t('stopped', { n: number(state.replayed) }))
          say(start, t('goOn'))
          return
        }
        start.hidden = true
        progress.value = count
        fill(said, t('replayed', { n: number(state.replayed) }), ' ', h('a', { href: '#/now' }, t('now')))
      } catch (error) {
        say(said, t('atLeast', { n: number(state.replayed) }))
        say(start, t('goOn'))
        countAgain().catch(() => {}) // the error itself is shown
        throw error
      } finally {
        stop.hidden = true
      }
    }

    async function countAgain() {
      const left = await page(query('PointRecords', { filter: parked(text), top: 0, count: 'true' }), { signal })
      say(matching, t('parkedMatch', { n: number(left.count) }))
    }

    return [matching, parkedTable(rows), action,
      h('div', { class: 'row' }, stop, progress), said]
  }

  return h('div', { class: 'stack' }, h('p', {}, t('replayLead')), form, problem, found)
}

function parkedTable(rows) {
  return table(t('parkedStage'), [
    ['punch', 'time'], ['employee', 'number'], ['employer', 'number'],
    ['parkedStage', 'time'], ['lastAnswer', 'text'],
  ], rows.map((each) => [
    h('a', { href: `#/record/${each.id}` }, localInstant(each.includedAt, each.utcOffsetMinutes)),
    String(each.employeeId), String(each.employerId), instant(each.updatedAt), each.logs[0]?.log ?? '',
  ]))
}
