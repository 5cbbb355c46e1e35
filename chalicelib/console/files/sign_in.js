// Asks for a token: from the issuer of the stage, or pasted.
import { field, h, problemBox } from './dom.js'
import { goToIssuer, session } from './session.js'
import { t } from './words.js'

/** Return the view of somebody who is not signed in. */
export function signInView() {
  const { config } = session
  const problem = problemBox()
  const token = h('textarea', { rows: '4', autocomplete: 'off', spellcheck: 'false', required: true })
  const form = h('form', { class: 'stack', onsubmit: submit },
    field(t('token'), token, { hint: t('tokenHint') }), h('div', {}, h('button', { class: 'main' }, t('signIn'))))
  if (session.message) problem.show({ message: session.message })

  function submit(event) {
    event.preventDefault()
    const text = token.value.trim().replace(/^Bearer\s+/i, '')
    if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) session.signIn(text)
    else { problem.show({ message: t('noToken') }); token.focus() }
  }

  async function toIssuer() {
    try {
      await goToIssuer()
    } catch (error) {
      problem.show(error)
    }
  }

  return h('main', { class: 'sign-in', id: 'main', tabindex: '-1' }, h('h1', {}, t('signIn')), problem,
    config.issuer
      ? [h('p', {}, h('button', { class: 'main', onclick: toIssuer }, t('signInAt', { issuer: new URL(config.issuer).host }))),
        h('details', {}, h('summary', {}, t('tokenInstead')), form)]
      : form)
}
