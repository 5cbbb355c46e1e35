// The start of the console: who is signed in decides the views, and the address which of them is shown.
import { request, ROOT, service, TIMEOUT_MS, use } from './api.js'
import { daysView } from './days.js'
import { fill, h } from './dom.js'
import { findView } from './find.js'
import { instant } from './format.js'
import { keysView } from './keys.js'
import { limitView } from './limit.js'
import { nowView } from './now.js'
import { quarantineView } from './quarantine.js'
import { reconcileView } from './reconcile.js'
import { recordView } from './record.js'
import { replayView } from './replay.js'
import { begin, session, takeToken } from './session.js'
import { signInView } from './sign_in.js'
import { language, languages, setLanguage, t } from './words.js'

const VIEWS = {
  now: nowView, limit: limitView, find: findView, record: recordView, replay: replayView,
  quarantine: quarantineView, reconcile: reconcileView, keys: keysView, days: daysView,
}
// Each is a route, which the stage may turn off.
const ACTIONS = ['replay', 'quarantine', 'reconcile', 'keys']
const OPERATORS_TABS = ['now', 'limit', 'find', ...ACTIONS]
const EMPLOYERS_TABS = ['find', 'days']

const root = document.getElementById('app')
const main = h('main', { id: 'main', tabindex: '-1' })
const away = h('div', { class: 'away', role: 'alert', hidden: true })
let view = null // its abort ends the view that is shown

use(session)
session.addEventListener('changed', start)
service.addEventListener('away', showAway)
service.addEventListener('back', showAway)
addEventListener('hashchange', () => { if (!takeToken() && session.isSignedIn()) show(true) })
open()

async function open() {
  try {
    const options = { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) }
    const response = await fetch(new URL('console/config.json', ROOT), options)
    if (!response.ok) throw new Error((await response.json()).error.message)
    await begin(await response.json())
  } catch (error) {
    const isAway = error instanceof TypeError || error instanceof DOMException // no connection, or the timeout
    fill(root, h('main', { class: 'sign-in' }, h('h1', {}, t('title')),
      h('p', { role: 'alert', class: 'problem' }, isAway ? t('unreachable') : error.message),
      h('button', { class: 'main', onclick: () => location.reload() }, t('tryNow'))))
    return
  }
  if (!session.isSignedIn()) start()
}

/** Show the views of the user who is signed in; else the way to sign in. */
async function start() {
  view?.abort()
  view = null
  document.documentElement.lang = language()
  if (!session.isSignedIn()) {
    fill(root, header([]), signInView())
    document.title = `${t('signIn')} · ${t('title')}`
    return
  }
  try {
    const health = await request('health')
    if (!session.isSignedIn()) return
    session.isOperator = 'buffer' in health
  } catch (error) {
    if (!session.isSignedIn()) return
    fill(root, header([]), h('main', { class: 'sign-in' }, h('p', { role: 'alert', class: 'problem' }, error.message),
      h('button', { class: 'main', onclick: start }, t('tryNow'))))
    return
  }
  draw()
}

function draw(why) {
  document.documentElement.lang = language()
  fill(root, h('a', { class: 'skip', href: '#main', onclick: skip }, t('skip')),
    header(session.isOperator ? OPERATORS_TABS : EMPLOYERS_TABS), away, main)
  show(false, why)
}

function skip(event) {
  event.preventDefault() // the fragment is the address of the view
  main.focus()
}

/** Show the view of the address. `why` tells the view that is shown why it ends. */
function show(moveFocus, why) {
  const tabs = session.isOperator ? OPERATORS_TABS : EMPLOYERS_TABS
  const [path, parameters] = location.hash.replace(/^#\/?/, '').split('?')
  const [name, id] = path.split('/')
  const isKnown = tabs.includes(name) || (name === 'record' && id)
  const shown = isKnown ? name : tabs[0]
  view?.abort(why)
  view = new AbortController()
  const isOff = ACTIONS.includes(shown) && !session.config.operatorRoutes
  const element = isOff ? h('p', { class: 'empty' }, t('routesOff'))
    : VIEWS[shown](new URLSearchParams(isKnown ? parameters : ''), view.signal, id)
  const title = h('h1', { tabindex: '-1' }, t(titleOf(shown)))
  fill(main, title, element)
  document.title = `${t(titleOf(shown))} · ${t('title')}`
  for (const each of document.querySelectorAll('header nav a')) {
    const isCurrent = each.dataset.view === (shown === 'record' ? 'find' : shown)
    if (isCurrent) each.setAttribute('aria-current', 'page')
    else each.removeAttribute('aria-current')
  }
  if (moveFocus) title.focus({ preventScroll: true })
}

const titleOf = (name) => (name === 'find' && !session.isOperator ? 'records' : name)

function header(tabs) {
  const languageChoice = h('select', { 'aria-label': t('language'), onchange(event) {
    setLanguage(event.target.value)
    if (view) draw('language')
    else start()
    document.querySelector('header select').focus()
  } }, languages.map((each) => h('option', { value: each, selected: each === language() }, each.toUpperCase())))
  return h('header', {},
    h('span', { class: 'brand' }, h('img', { src: new URL('icon.svg', import.meta.url), alt: '', width: '22', height: '22' }),
      t('title')),
    tabs.length ? h('nav', { 'aria-label': t('title') }, tabs.map((each) => (
      h('a', { href: `#/${each}`, 'data-view': each }, t(titleOf(each)))))) : null,
    h('span', { class: 'who' }, session.isSignedIn() ? h('span', {}, session.name()) : null, languageChoice,
      session.isSignedIn() ? h('button', { class: 'quiet', onclick: () => session.signOut() }, t('signOut')) : null))
}

function showAway() {
  away.hidden = !service.awaySince
  fill(away, service.awaySince && [h('span', {}, t('awaySince', { at: instant(service.awaySince.toISOString()) })), ' ',
    h('button', { onclick: () => dispatchEvent(new Event('retry-now')) }, t('tryNow'))])
}
