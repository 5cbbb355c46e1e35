// Makes elements. Texts become text nodes, never HTML, so that nothing in a record is markup.
import { t } from './words.js'

/** Return an element: h('a', { href, class, onclick }, 'text', child, …). null, false and undefined are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (name === 'value') element.value = value
    else element.setAttribute(name, value === true ? '' : value)
  }
  add(element, children)
  return element
}

function add(element, children) {
  element.append(...children.flat(9).filter((each) => each !== null && each !== undefined && each !== false))
}

/** Replace the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren()
  add(element, children)
  return element
}

/** Make the children of an element equal to these, in place: focus and selection stay. For children without handlers. */
export function patch(element, ...children) {
  morph(element, fill(element.cloneNode(false), ...children))
}

function morph(element, next) {
  for (const { name } of [...element.attributes]) if (!next.hasAttribute(name)) element.removeAttribute(name)
  for (const { name, value } of next.attributes) if (element.getAttribute(name) !== value) element.setAttribute(name, value)
  const [present, wanted] = [[...element.childNodes], [...next.childNodes]]
  for (const [index, node] of wanted.entries()) {
    const there = present[index]
    if (!there) element.append(node)
    else if (there.nodeName !== node.nodeName) there.replaceWith(node)
    else if (node.nodeType !== Node.TEXT_NODE) morph(there, node)
    else if (there.data !== node.data) there.data = node.data
  }
  for (const surplus of present.slice(wanted.length)) surplus.remove()
}

/** Set the text of an element if it differs, so that a screen reader announces changes only. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

let fields = 0
/** Return a labelled field. The control gets an id; `hint` describes it. */
export function field(label, control, { hint, wide } = {}) {
  control.id = `field-${fields += 1}`
  const note = hint && h('small', { id: `${control.id}-hint` }, hint)
  if (note) control.setAttribute('aria-describedby', note.id)
  return h('div', { class: wide ? 'field wide' : 'field' }, h('label', { for: control.id }, label), control, note)
}

/**
 * Return a table in a box that scrolls by itself, so that the page never does. A column is the key of its title, and its
 * class. Cells are texts or elements.
 */
export function table(caption, columns, rows) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', {},
      h('caption', { class: 'unseen' }, caption),
      h('thead', {}, h('tr', {}, columns.map(([title, kind]) => h('th', { scope: 'col', class: kind }, t(title))))),
      h('tbody', {}, rows.map((row) => h('tr', {}, columns.map(([, kind], index) => h('td', { class: kind }, row[index] ?? '–')))))))
}

/** Return an element that says what went wrong, and `show(error)` for it. */
export function problemBox() {
  const box = h('div', { role: 'alert', class: 'problem', hidden: true })
  return Object.assign(box, {
    show(error) {
      box.hidden = !error
      if (!error) return fill(box)
      const details = (error.details ?? []).map((each) => h('li', {}, `${each.target}: ${each.message}`))
      return fill(box, h('p', {}, error.message), details.length ? h('ul', {}, details) : null)
    },
  })
}
