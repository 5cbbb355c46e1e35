// What the actions of an operator share: the reason that each needs, and steps that continue until all is done.
import { operate } from './api.js'
import { field, h, problemBox } from './dom.js'
import { t } from './words.js'

/** Return a form with a field for the reason. `act(reason)` acts, and what it throws is shown; `close` adds a button. */
export function actionForm(label, button, parts, act, close) {
  const problem = problemBox()
  const comment = h('input', { maxlength: '200', autocomplete: 'off', 'aria-required': 'true' })
  const start = h('button', { class: 'main' }, button)
  return h('form', { class: 'panel stack', 'aria-label': label, async onsubmit(event) {
    event.preventDefault()
    const reason = comment.value.trim()
    problem.show(reason ? null : { message: t('commentNeeded') })
    if (!reason) return comment.focus()
    start.disabled = true
    try {
      await act(reason)
    } catch (error) {
      problem.show(error)
    }
    start.disabled = false
    return undefined
  } }, parts, field(t('comment'), comment, { hint: t('commentHint'), wide: true }), problem, h('div', { class: 'row' }, start,
    close && h('button', { type: 'button', onclick: close }, t('close'))))
}

/**
 * Run a command in steps, each continuing at the cursor of the last. `onStep` sees each answer, and ends the loop with
 * false. Return the cursor of the next step; null after the last one. To abort a request would not stop its step.
 */
export async function inSteps(name, command, signal, onStep, cursor = null) {
  let next = cursor
  do {
    const answer = await operate(name, next ? { ...command, cursor: next } : command, { signal })
    next = answer.more ? answer.cursor : null
    if (onStep(answer, next) === false) break
  } while (next)
  return next
}
