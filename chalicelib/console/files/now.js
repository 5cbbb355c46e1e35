// Now: how many punches are where, how old they are, and in a sentence what is wrong.
import { request } from './api.js'
import { diagnose } from './diagnosis.js'
import { h, patch, say } from './dom.js'
import { count, duration, instant, number } from './format.js'
import { poll } from './poll.js'
import { t } from './words.js'

const EVERY_MS = 5_000

export function nowView(parameters, signal) {
  const verdict = h('div', { class: 'verdict' }, h('p', {}, t('loading')))
  const announced = h('p', { class: 'unseen', role: 'status' })
  const flow = h('dl', { class: 'flow' })
  const stages = h('dl', { class: 'stages' })
  const asOf = h('p', { class: 'note' })
  const element = h('div', {}, announced, verdict,
    h('section', {}, h('h2', {}, t('lastMinute')), flow), h('section', {}, h('h2', {}, t('stages')), stages), asOf)
  let last = ''

  poll(signal, async () => {
    const health = await request('health', { signal })
    const found = diagnose(health)
    showVerdict(found)
    patch(flow, flowOf(health))
    patch(stages, stagesOf(health))
    say(asOf, t('updated', { at: instant(new Date().toISOString()) }))
  }, EVERY_MS, (error) => {
    verdict.className = 'verdict bad'
    patch(verdict, h('p', {}, error.message))
    announce(error.message, error.message)
  })

  function showVerdict(found) {
    verdict.className = `verdict ${found[0]?.level ?? 'good'}`
    patch(verdict, found.length ? found.map((each) => h('div', { class: `finding ${each.level}` },
      h('p', {}, sentence(each), ' ', each.to ? h('a', { href: each.to }, t('lookThere')) : null),
      ['reason', 'cause'].filter((name) => each[name])
        .map((name) => h('p', { class: 'cause' }, `${t(name)}: ${each[name]}`))))
      : h('p', {}, t('allWell')))
    const faults = found.map(({ key, values }) => `${key} ${values.status ?? ''}`).join()
    announce(faults, found.map(sentence).join(' ') || t('allWell'))
  }

  /** Tell screen readers what is wrong when that changes; not each time that an age or a number does. */
  function announce(what, text) {
    if (what !== last || !announced.textContent) say(announced, text)
    last = what
  }

  return element
}

function sentence({ key, values: { at, age, n, status } }) {
  return t(key, {
    at: at && instant(at), age: duration(age), status, n: n === undefined ? undefined : number(n) })
}

function flowOf({ buffer, replica }) {
  const rates = replica.lastMinute
  const inBuffer = buffer.acceptedLastMinute ?? 0
  const value = (each) => (rates ? number(each) : t('unknown'))
  return [
    [t('acceptedRate'), value(rates?.accepted + inBuffer), 'accepted'],
    [t('replicatedRate'), value(rates?.replicated), 'replicated'],
    [t('deliveredRate'), value(rates?.delivered), 'delivered'],
  ].map(([name, text, id]) => h('div', { 'data-flow': id }, h('dt', {}, name), h('dd', {}, text)))
}

function stagesOf({ buffer, replica }) {
  const { waiting: { AWAITING = 0, ERROR = 0, INTEGRATING = 0 } = {}, estimated = [] } = replica
  const isAway = replica.status !== 'ok'
  const of = (name, value) => (isAway ? t('unknown') : count(value, estimated.includes(name)))
  const oldest = (seconds) => (seconds === null || seconds === undefined ? null : t('oldest', { age: duration(seconds) }))
  return [
    stage('buffer', buffer.status === 'ok' ? count(buffer.waiting, buffer.estimated) : t('unknown'),
      t('bufferHint'), oldest(buffer.oldestAgeSeconds)),
    stage('waiting', of('waiting', AWAITING + ERROR), t('waitingHint'),
      [oldest(replica.oldestAgeSeconds), ERROR ? t('retrying', { n: number(ERROR) }) : null].filter(Boolean).join(', ')),
    stage('inFlight', of('waiting', INTEGRATING), t('inFlightHint')),
    stage('delivered', of('delivered', replica.delivered), t('deliveredHint'),
      replica.lastDeliveredAt ? t('lastDelivery', { at: instant(replica.lastDeliveredAt) }) : null),
    stage('parkedStage', of('parked', replica.parked), t('parkedHint'), null, replica.parked ? '#/replay' : null),
    stage('quarantine', of('quarantined', replica.quarantined), t('quarantineHint'), null,
      replica.quarantined ? '#/quarantine' : null),
  ]
}

function stage(name, text, hint, more, to) {
  const attention = to ? 'stage attention' : 'stage'
  return h('div', { class: attention, 'data-stage': name },
    h('dt', {}, t(name)),
    h('dd', {}, h('span', { class: 'figure' }, to ? h('a', { href: to }, text) : text),
      h('span', { class: 'hint' }, hint), more ? h('span', { class: 'more' }, more) : null))
}
