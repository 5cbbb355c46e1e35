// Lists that grow page by page.
import { operate, page } from './api.js'
import { check } from './criteria.js'
import { fill, h, problemBox } from './dom.js'
import { number } from './format.js'
import { t } from './words.js'

const PAGE = 100

/**
 * Return a list, and `reload()` for it. `load(next)` returns a page: its `rows`, and `next`, which is null for the last
 * one. `tableOf(rows)` shows all rows, `empty` names the words for none, and `more` stands below.
 */
export function pages(load, tableOf, empty, more) {
  const problem = problemBox()
  const shown = h('div', {}, h('p', {}, t('loading')))
  let rows = []

  /** Show the first page, or one more, for which a button was pressed. */
  async function show(start, pressed) {
    problem.show(null)
    if (pressed) pressed.disabled = true
    try {
      const part = await load(start)
      rows = start ? [...rows, ...part.rows] : part.rows
      const button = part.next && h('button', { onclick: () => show(part.next, button) }, t('more'))
      const { activeElement } = document // none, since a disabled button has no focus, unless the user has moved on
      const isFree = activeElement === document.body || shown.contains(activeElement)
      fill(shown, rows.length ? [tableOf(rows), h('div', { class: 'row' },
        h('span', { role: 'status' }, t('shown', { n: number(rows.length) })),
        button, more)] : h('p', { class: 'empty' }, t(empty)))
      if (pressed && isFree) (button ?? shown.querySelector('.scroll')).focus()
    } catch (error) {
      problem.show(error)
      if (pressed) pressed.disabled = false
      if (!rows.length) fill(shown)
    }
  }

  show()
  return Object.assign(h('div', {}, problem, shown), { reload: () => show() })
}

/** Return how `pages` loads the answer to a query, unless its parameters are wrong. */
export const queried = (path, parameters, signal) => async (next) => {
  check(parameters)
  return page(next ?? path, { size: PAGE, signal })
}

/** Return how `pages` loads what a command lists under `member`, the latest first. */
export const listed = (name, member, signal) => async (before) => {
  const rows = (await operate(name, before ? { before } : {}, { signal }))[member]
  return { rows, next: rows.length === PAGE ? rows.at(-1).id : null }
}
