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

  async function show(start) {
    problem.show(null)
    try {
      const part = await load(start)
      rows = start ? [...rows, ...part.rows] : part.rows
      fill(shown, rows.length ? [tableOf(rows), h('div', { class: 'row' },
        h('span', { role: 'status' }, t('shown', { n: number(rows.length) })),
        part.next && h('button', { onclick: (event) => { event.target.disabled = true; show(part.next) } }, t('more')), more)] : h('p', { class: 'empty' }, t(empty)))
    } catch (error) {
      problem.show(error)
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
