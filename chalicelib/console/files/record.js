// One record: what it is, and its story from the phone to the legacy.
import { query, request } from './api.js'
import { fill, h, problemBox } from './dom.js'
import { badge } from './find.js'
import { duration, instant, localInstant, number } from './format.js'
import { poll } from './poll.js'
import { session } from './session.js'
import { t } from './words.js'

const WAITING = ['AWAITING', 'INTEGRATING', 'ERROR']
const EVERY_MS = 3_000
const LOGS = 'attempt,status,log,httpStatus,latencyMs,createdAt'

export function recordView(parameters, signal, text) {
  const id = text.replaceAll(/[^\da-f-]/gi, '') // all that an id has
  const problem = problemBox()
  const content = h('div', {}, h('p', {}, t('loading')))
  let shown = ''
  const stop = poll(signal, async () => {
    const record = await read(id, signal)
    problem.show(null)
    const text = JSON.stringify(record)
    if (text !== shown) fill(content, detailsOf(record), storyOf(record))
    shown = text
    if (!WAITING.includes(record.status)) stop() // nothing more happens to it
  }, EVERY_MS, (error) => {
    problem.show(error)
    if (!shown) fill(content)
    if (error.status >= 400 && error.status < 500 && error.status !== 429) stop() // a 429 passes
  })
  return h('div', {}, problem, content)
}

async function read(id, signal) {
  const record = await request(`odata/PointRecords(${encodeURIComponent(id)})`, { signal })
  const { value } = await request(
    query(`PointRecords(${encodeURIComponent(id)})/logs`, { select: LOGS, orderby: 'createdAt,attempt', top: 500 }), { signal })
  return { ...record, logs: value }
}

function detailsOf(record) {
  const place = record.latitude === null || record.longitude === null ? null
    : `${number(record.latitude, 5)}, ${number(record.longitude, 5)} ± ${number(record.accuracyMeters ?? 0)} m`
  const rows = [
    [t('status'), badge(record.status)],
    [t('punch'), localInstant(record.includedAt, record.utcOffsetMinutes)],
    [t('employee'), String(record.employeeId)], [t('employer'), String(record.employerId)],
    [t('attempts'), number(record.attempts)],
    [t('device'), record.deviceId], [t('position'), place],
    [t('recordId'), h('code', {}, record.id)],
  ]
  return h('dl', { class: 'details' }, rows.filter(([, value]) => value !== null && value !== undefined).map(
    ([name, value]) => h('div', { class: name === t('recordId') ? 'broad' : null }, h('dt', {}, name), h('dd', {}, value))))
}

function storyOf(record) {
  const steps = [
    { at: record.includedAt, title: t('punched'), more: localInstant(record.includedAt, record.utcOffsetMinutes) },
    { at: record.createdAt, title: t('accepted'), more: t('acceptedMore') },
  ]
  if (record.replicatedAt) steps.push({ at: record.replicatedAt, title: t('replicated'), more: t('replicatedMore') })
  else steps.push({ title: t('notYetReplicated'), state: 'future' })
  for (const each of record.logs) {
    if (each.attempt === 0 && !each.log) continue // the row of its arrival
    steps.push({ at: each.createdAt, state: each.status, ...stepOf(each) })
  }
  if (record.status === 'REJECTED') {
    const to = `#/replay?filter=${encodeURIComponent(`id eq ${record.id}`)}`
    steps.push({ title: t('parkedEnd'), state: 'future',
      link: session.isOperator ? h('a', { href: to }, t('replayThis')) : null })
  } else if (record.status === 'ERROR') {
    steps.push({ at: record.nextAttemptAt, title: t('nextAttempt'), state: 'future' })
  }
  let before = null
  return h('section', {}, h('h2', {}, t('story')), h('ol', { class: 'story' }, steps.map((each) => {
    const since = before && each.at ? (Date.parse(each.at) - before) / 1_000 : null
    if (each.at) before = Date.parse(each.at)
    return h('li', { class: each.state ?? '' },
      h('div', { class: 'when' }, each.at ? h('time', { datetime: each.at }, instant(each.at)) : '',
        since !== null && since >= 0 ? h('small', {}, t('after', { age: duration(since) })) : null),
      h('div', {}, h('strong', {}, each.title), each.more ? h('p', {}, each.more) : null, each.link))
  })))
}

function stepOf({ attempt, status, log, httpStatus, latencyMs }) {
  const isInLog = !httpStatus || log?.startsWith(`HTTP ${httpStatus}`)
  const facts = [!isInLog && `HTTP ${httpStatus}`, latencyMs !== null && `${number(latencyMs)} ms`].filter(Boolean)
  const title = attempt ? t('attempt', { n: attempt, status: t(status) }) : t('note')
  return { title, more: [facts.join(', '), log].filter(Boolean).join(' — ') }
}
