// The functions of the console that need no browser: `node --test`. FILES is the directory of its files.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'

globalThis.localStorage ??= { getItem: () => 'en', setItem() {} }
const load = (name) => import(path.join(process.env.FILES, name))
const { setLanguage, t } = await load('words.js')
setLanguage('en')
const { diagnose } = await load('diagnosis.js')
const { csvOf } = await load('csv.js')
const { faultIn, filterOf } = await load('criteria.js')
const { outagesOf, Runs } = await load('runs.js')
const { duration, fieldInstant, localInstant } = await load('format.js')
const { draftOf } = await load('quarantine.js')

const HEALTHY = {
  buffer: { status: 'ok', waiting: 0, oldestAgeSeconds: null },
  replica: { status: 'ok', waiting: {}, parked: 0, quarantined: 0, oldestAgeSeconds: null,
    lastMinute: { accepted: 0, replicated: 0, delivered: 0 }, failingSince: null, lastFailure: null, lastParked: null },
}
const keys = (buffer, replica) => diagnose({
  buffer: { ...HEALTHY.buffer, ...buffer }, replica: { ...HEALTHY.replica, ...replica } }).map(({ key }) => key)

test('a healthy service has no finding', () => assert.deepEqual(keys({}, {}), []))

test('each fault has its sentence, the worst first', () => {
  const failing = (httpStatus) => ({
    waiting: { ERROR: 3 }, failingSince: '2026-11-28T08:12:00Z', lastFailure: { httpStatus, log: 'x' } })
  assert.deepEqual(keys({}, failing(401)), ['credentialsRefused'])
  assert.deepEqual(keys({}, failing(503)), ['legacyAnswers'])
  assert.deepEqual(keys({}, failing(null)), ['legacyAway'])
  assert.deepEqual(keys({}, { ...failing(503), waiting: {} }), [])
  assert.deepEqual(keys({ status: 'unavailable', reason: 'x' }, { parked: 2, quarantined: 1 }),
    ['bufferAway', 'parked', 'quarantined'])
  assert.deepEqual(diagnose({ buffer: HEALTHY.buffer, replica: { status: 'unavailable', reason: 'x' } })
    .map(({ key, level }) => [key, level]), [['postgresAway', 'bad']])
  assert.deepEqual(keys({ oldestAgeSeconds: 600 }, {}), ['notReplicated'])
  assert.deepEqual(keys({}, { waiting: { AWAITING: 9 }, oldestAgeSeconds: 600 }), ['notIntegrated'])
  const busy = { accepted: 9, replicated: 9, delivered: 9 }
  assert.deepEqual(keys({}, { waiting: { AWAITING: 9 }, oldestAgeSeconds: 900, lastMinute: busy }), ['backlog'])
})

test('CSV quotes what must be quoted and disarms formulas', () => {
  assert.equal(csvOf(['a', 'b'], [{ a: 'x,"y"\n', b: null }, { a: '=1+1', b: -5 }, { a: '9007199254740993', b: '' }]),
    'a,b\r\n"x,""y""\n",\r\n\'=1+1,-5\r\n9007199254740993,\r\n')
})

test('criteria become a filter, and wrong ones are named', () => {
  const of = (text) => new URLSearchParams(text)
  assert.equal(filterOf(of('employee=7&employer=121&status=ERROR')),
    "employeeId eq 7 and employerId eq 121 and status eq 'ERROR'")
  assert.match(filterOf(of('from=2026-11-22T08:00')), /^includedAt ge 2026-11-2\dT\d\d:00:00\.000Z$/)
  assert.equal(filterOf(of("status=x' or 'a' eq 'a")), "status eq 'x'' or ''a'' eq ''a'")
  for (const [text, name] of [['employee=0', 'employee'], ['employer=1 or true', 'employer'],
    ['employee=9223372036854775808', 'employee'], ['id=7', 'id'],
    ['from=20261-12-01T08:00', 'from'], ['from=2026-12-01T08:00&until=20261-12-01T08:00', 'until'],
    ['from=2026-01-02T00:00&until=2026-01-01T00:00', 'until']]) {
    assert.equal(faultIn(of(text))[0], name)
  }
  assert.equal(faultIn(of('employee=9223372036854775807&id=01a222e5-ae39-8a59-bf43-5e39ad1d6dc8')), null)
})

test('an outage is from the first failed call to the next delivery, whatever lies between', () => {
  const point = (ok, bad, no = 0) => ({ ok, bad, no })
  const points = new Map([[0, point(5, 0)], [2, point(0, 3)], [8, point(0, 1)], [10, point(0, 0, 2)], [14, point(4, 0)]])
  assert.deepEqual(outagesOf(points, 2, 100), [[2, 14]])
  points.delete(14)
  assert.deepEqual(outagesOf(points, 2, 20), [[2, 20]]) // still under way
  assert.deepEqual(outagesOf(new Map([[0, point(0, 0, 9)]]), 2, 100), []) // refusals may be about the records
})

test('a point of each period is at the start of its step of time', () => {
  const at = Date.UTC(2026, 10, 28, 13, 47, 33) / 1_000
  const rows = {
    '5m': { hour: 13, minute: 47, second: 16 }, '1h': { hour: 13, minute: 47, second: 1 },
    '6h': { hour: 13, minute: 23 }, '24h': { hour: 13, minute: 4 }, '7d': { hour: 13 },
  }
  for (const [range, row] of Object.entries(rows)) {
    const runs = new Runs(range)
    const { bucket } = runs.range
    assert.equal(runs.secondsOf({ day: '2026-11-28', ...row }), Math.floor(at / bucket) * bucket)
    assert.ok(runs.range.s / bucket <= 200)
  }
})

test('instants and durations are written for people', () => {
  assert.deepEqual([0.42, 59, 200, 7_500, 187_200, null].map(duration),
    ['0.4 s', '59 s', '3 min 20 s', '2 h 5 min', '2 d 4 h', '–'])
  assert.deepEqual(['', '20261-12-01T08:00', 'x'].map(fieldInstant), ['', '', ''])
  assert.equal(localInstant('2026-11-22T01:30:00Z', -180), '11/21/2026 22:30:00')
})

test('an item of the quarantine is offered with what a punch may have, and with all digits', () => {
  const item = (record) => ({ item: JSON.stringify({ id: { S: 'x' }, record: { S: record } }) })
  assert.deepEqual(JSON.parse(draftOf(item('{"employeeId": 7, "createdAt": "x"}'))), { employeeId: 7 })
  assert.equal(draftOf(item('junk')), 'junk')
  assert.equal(draftOf({ item: 'no JSON' }), 'no JSON')
  const long = '{"employeeId":9007199254740993}'
  assert.equal(draftOf(item(long)), long)
})

test('punches that stay in the buffer are not blamed on Postgres alone', () => {
  assert.match(t('notReplicated', { age: '3 min' }), /wait in the buffer for 3 min: .*Postgres and the journal/)
  setLanguage('pt')
  assert.match(t('notReplicated', { age: '3 min' }), /Postgres e o diário \(journal\)/)
  setLanguage('en')
})

test('both languages have every text', () => {
  setLanguage('pt')
  assert.equal(t('awaySince', { at: '8:12' }).includes('8:12'), true)
  assert.equal(t('now'), 'Agora')
  setLanguage('en')
})
