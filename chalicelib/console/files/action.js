// What the actions of an operator share: the reason that each needs, and steps that continue until all is done.
import { operate } from './api.js'
import { field, h } from './dom.js'
import { session } from './session.js'
import { t } from './words.js'

/** Return the field of the reason, and `value()`: the reason, or null after saying that one is needed. */
export function commentField(problem) {
  const control = h('input', { maxlength: '200', autocomplete: 'off', 'aria-required': 'true' })
  const element = field(t('comment'), control, { hint: t('commentHint'), wide: true })
  return {
    element,
    value() {
      const text = control.value.trim()
      if (text) return text
      problem.show({ message: t('commentNeeded') })
      control.focus()
      return null
    },
  }
}

/** Run a command in steps, each continuing at the cursor of the last; `onStep` sees each answer. */
export async function inSteps(name, command, signal, onStep, cursor = null) {
  let next = cursor
  do {
    const answer = await operate(name, next ? { ...command, cursor: next } : command, { signal })
    next = answer.more ? answer.cursor : null
    onStep(answer, next)
  } while (next)
}

/** Return what stands in place of an action that the stage has turned off; null if it has not. */
export const turnedOff = () => (session.config.operatorRoutes ? null : h('p', { class: 'empty' }, t('routesOff')))
