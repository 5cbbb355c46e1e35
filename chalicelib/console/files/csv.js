// Downloads the rows of a query as CSV (RFC 4180), page by page.
import { all } from './api.js'
import { h, say } from './dom.js'
import { number } from './format.js'
import { t } from './words.js'

const MOST_ROWS = 100_000

/** Return a button that downloads all rows of a query, and says how far it is. */
export function csvButton(name, path, columns, signal) {
  const progress = h('span', { role: 'status', class: 'note' })
  const button = h('button', {
    async onclick() {
      button.disabled = true
      try {
        const onPage = (n) => say(progress, t('csvRunning', { n: number(n) }))
        const rows = await all(path, { size: 1_000, most: MOST_ROWS, signal, onPage })
        save(`${name}.csv`, csvOf(columns, rows))
        const isCut = rows.length >= MOST_ROWS
        say(progress, t(isCut ? 'csvCut' : 'csvDone', { n: number(rows.length) }))
      } catch (error) {
        if (!signal.aborted) say(progress, error.message)
      }
      button.disabled = false
    },
  }, t('csv'))
  return h('span', { class: 'row' }, button, progress)
}

/** Return rows as CSV, with a line of names. */
export function csvOf(columns, rows) {
  const lines = [columns, ...rows.map((row) => columns.map((name) => row[name]))]
  return lines.map((line) => `${line.map(cell).join(',')}\r\n`).join('')
}

function cell(value) {
  if (value === null || value === undefined) return ''
  // A spreadsheet would calculate a text that begins like a formula.
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function save(name, text) {
  // With the mark, Excel reads it as UTF-8.
  const url = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv;charset=utf-8' }))
  h('a', { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
