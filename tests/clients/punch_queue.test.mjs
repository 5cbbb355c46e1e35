// The queue of clients/javascript on Node, against a server that answers as each test says: `node --test`.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { PunchQueue, localInstant } from '../../clients/javascript/punch_queue.js'

// Only a test of hanging servers has a short timeout: a busy machine may take seconds for anything.
const FAST = { timeoutMs: 60_000, firstDelayMs: 4, maxDelayMs: 40, longestMs: 5_000 }

/** Serve: `answer(punches, request, response, count)` returns what to send, or null if it has acted itself. */
async function serve(t, answer) {
  const requests = []
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    const punches = JSON.parse(body.toString())
    requests.push({ punches, bytes: body.length, token: request.headers.authorization, at: performance.now() })
    const sent = answer(punches, request, response, requests.length)
    if (!sent) return
    response.writeHead(sent.status ?? 207, { 'Content-Type': 'application/json', ...sent.headers })
    response.end(typeof sent.body === 'string' ? sent.body : JSON.stringify(sent.body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => { server.closeAllConnections(); server.close() })
  return { requests, url: `http://127.0.0.1:${server.address().port}/point-record` }
}

let names = 0
function queueTo(t, url, options = {}) {
  const queue = new PunchQueue({ url, token: () => 'first', name: `test ${names += 1}`, ...FAST, ...options })
  queue.events = []
  for (const type of ['accepted', 'refused', 'waiting', 'failed']) {
    queue.addEventListener(type, ({ detail }) => queue.events.push([type, detail]))
  }
  t.after(() => queue.close())
  return queue
}

const punchOf = (employeeId, fields = {}) => (
  { employeeId, employerId: 121, includedAt: '2026-11-22T08:00:00-03:00', ...fields })
const stored = (punch, status = 201) => ({
  status, record: { ...punch, id: 'x', includedAt: new Date(punch.includedAt).toISOString(), status: 'AWAITING' } })
const error = (code, status = 400) => ({ status, error: { code, message: `It is ${code}.` } })
const all = (punches) => ({ body: punches.map((punch) => stored(punch)) })
const employees = (entries) => entries.map(({ punch }) => punch.employeeId).sort((a, b) => a - b)

async function until(condition, what) {
  const deadline = performance.now() + 60_000
  while (!await condition()) {
    assert.ok(performance.now() < deadline, `did not happen: ${what}`)
    await sleep(3)
  }
}
const drained = (queue) => until(async () => (await queue.pending()).length === 0, 'an empty queue')

/** Answer with `first` once, then accept; return the queue and the requests after everything is accepted. */
async function acceptedAfter(t, first, options) {
  const server = await serve(t, (punches, request, response, count) => (
    count === 1 ? first(punches, request, response) : all(punches)))
  const queue = queueTo(t, server.url, options)
  await queue.punch(punchOf(7))
  await drained(queue)
  assert.deepEqual(await queue.refused(), [])
  assert.equal(queue.events.filter(([type]) => type === 'accepted').length, 1)
  return { queue, requests: server.requests }
}

describe('a queue of punches', { concurrency: 8 }, () => {
  for (const status of [200, 201]) {
    test(`a result ${status} removes the punch`, async (t) => {
      const server = await serve(t, (punches) => ({ body: punches.map((punch) => stored(punch, status)) }))
      const queue = queueTo(t, server.url)
      await queue.punch(punchOf(7, { deviceId: 'tablet' }))
      await drained(queue)
      assert.deepEqual(server.requests.map(({ token, punches }) => [token, punches]),
        [['Bearer first', [punchOf(7, { deviceId: 'tablet' })]]])
    })
  }

  /** A storage that has these punches already. */
  function storageOf(punches) {
    const entries = new Map(punches.map((punch, key) => [key, { key, punch, state: 'pending' }]))
    return {
      list: async () => [...entries.values()],
      put: async (entry) => Boolean(entries.set(entry.key, entry)),
      remove: async (keys) => keys.forEach((key) => entries.delete(key)),
    }
  }

  test('each result of a 207 decides about its own punch', async (t) => {
    const codes = { 1: 'Malformed', 2: 'TooOld', 3: 'InTheFuture', 4: 'Forbidden', 5: 'Unavailable', 6: 'New' }
    const server = await serve(t, (punches, request, response, count) => ({ body: punches.map((punch) => (
      count > 1 || !codes[punch.employeeId] ? stored(punch) : error(codes[punch.employeeId]))) }))
    const soon = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 1_000).toISOString()
    const punches = [1, 2, 3, 4, 5, 6, 7].map((id) => punchOf(id, id === 3 ? { includedAt: soon } : {}))
    const queue = queueTo(t, server.url, { maxDelayMs: 1_900, storage: storageOf(punches) })
    await drained(queue)
    const [first, second] = server.requests.map((each) => each.punches.map(({ employeeId }) => employeeId))
    assert.deepEqual([first, second.filter((id) => id > 4)], [[1, 2, 3, 4, 5, 6, 7], [5, 6]])
    assert.deepEqual(employees(await queue.refused()), [1, 2])
    const times = Object.fromEntries(server.requests.flatMap(({ at, punches: sent }) => (
      sent.map(({ employeeId }) => [employeeId, at - server.requests[0].at]))))
    assert.ok(times[4] >= 1_890, `another token is tried after maxDelayMs, not after ${times[4]} ms`)
    assert.ok(times[3] >= 900, `a punch of the future waits for its instant, not for ${times[3]} ms`)
    assert.deepEqual(queue.events.filter(([type]) => type === 'waiting').map(([, entry]) => entry.error.code),
      ['InTheFuture', 'Forbidden'])
    assert.equal(queue.events.filter(([type]) => type === 'accepted').length, 5)
  })

  for (const [code, status] of [['Malformed', 400], ['TooLarge', 413]]) {
    test(`${status} ${code} for a whole request finds the punch at fault`, async (t) => {
      const isAtFault = ({ employeeId }) => employeeId === 5
      const server = await serve(t, (punches) => (
        punches.some(isAtFault) ? { status, body: error(code) } : all(punches)))
      const queue = queueTo(t, server.url)
      await Promise.all([1, 2, 3, 4, 5, 6, 7].map((id) => queue.punch(punchOf(id))))
      await drained(queue)
      const [refused] = await queue.refused()
      assert.deepEqual([refused.punch, refused.error.code], [punchOf(5), code])
      assert.deepEqual(employees(queue.events.filter(([type]) => type === 'accepted').map(([, entry]) => entry)),
        [1, 2, 3, 4, 6, 7])
    })
  }

  test('a refused punch stays until it is discarded, and can be sent once more', async (t) => {
    let isCured = false
    const server = await serve(t, (punches) => ({ body: punches.map((punch) => (
      isCured ? stored(punch) : error('Malformed'))) }))
    const queue = queueTo(t, server.url)
    const [first, second] = [await queue.punch(punchOf(1)), await queue.punch(punchOf(2))]
    await until(async () => (await queue.refused()).length === 2, 'two refused')
    await queue.discard(first.key)
    isCured = true
    await queue.punch(second.punch)
    await drained(queue)
    assert.deepEqual([await queue.refused(), queue.events.at(-1)[0]], [[], 'accepted'])
  })

  test('a pending punch cannot be discarded', async (t) => {
    const server = await serve(t, () => ({ status: 503, body: error('Unavailable') }))
    const queue = queueTo(t, server.url)
    const { key } = await queue.punch(punchOf(1))
    await queue.discard(key)
    assert.deepEqual(employees(await queue.pending()), [1])
  })

  test('401 gets a new token at once', async (t) => {
    const rejected = []
    const token = (old) => { rejected.push(old); return old ? 'second' : 'first' }
    const { requests } = await acceptedAfter(t, () => ({ status: 401, body: error('Unauthenticated') }), { token })
    assert.deepEqual(requests.map((each) => each.token), ['Bearer first', 'Bearer second'])
    assert.deepEqual(rejected, [null, 'Bearer first'.slice(7)])
  })

  test('tokens that are rejected again and again slow the queue down', async (t) => {
    const rejected = []
    const server = await serve(t, (punches, request, response, count) => (
      count < 6 ? { status: 401, body: error('Unauthenticated') } : all(punches)))
    const token = async (old) => { rejected.push(old); return `token ${rejected.length}` }
    const queue = queueTo(t, server.url, { token })
    await queue.punch(punchOf(7))
    await drained(queue)
    assert.deepEqual(rejected, [null, 'token 1', 'token 2', 'token 3', 'token 4', 'token 5'])
    assert.equal(queue.events.filter(([type]) => type === 'failed').length, 4)
  })

  for (const token of [() => { throw new Error('signed out') }, async () => Promise.reject(new Error('offline')),
    () => new Promise(() => {})]) {
    test(`a token that cannot be had loses nothing: ${token}`, async (t) => {
      const server = await serve(t, all)
      let calls = 0
      const queue = queueTo(t, server.url, { timeoutMs: 500, token: () => ((calls += 1) < 3 ? token() : 'first') })
      await queue.punch(punchOf(7))
      await drained(queue)
      assert.equal(server.requests[0].token, 'Bearer first')
      assert.ok(calls >= 3)
    })
  }

  const inSeconds = () => ({ 'Retry-After': '1' })
  const asDate = () => ({ 'Retry-After': new Date(Date.now() + 2_000).toUTCString(), Date: new Date().toUTCString() })
  for (const [status, headers, body] of [
    [429, inSeconds, error('TooManyRequests')], [503, inSeconds, '<html>busy</html>'],
    [503, asDate, error('Unavailable')],
  ]) {
    test(`${status} ${headers.name} ${typeof body} is honoured, whatever the app does`, async (t) => {
      const server = await serve(t, (punches, request, response, count) => (
        count === 1 ? { status, headers: headers(), body } : all(punches)))
      const queue = queueTo(t, server.url)
      await queue.punch(punchOf(7))
      await until(() => queue.events.length, 'a refusal')
      await queue.flush()
      await queue.punch(punchOf(8))
      await drained(queue)
      const waited = server.requests[1].at - server.requests[0].at
      assert.ok(waited >= 990, `${waited} ms`)
    })
  }

  for (const [status, body] of [
    [500, error('InternalError')], [503, error('Unavailable')], [503, error('Misconfigured')], [502, 'Bad gateway'],
    [504, { message: 'Endpoint request timed out' }], [404, error('NotFound')], [403, { message: 'Forbidden' }],
    [400, error('Invalid')], [400, { error: 'text' }], [400, { error: null }], [415, error('UnsupportedMediaType')],
    [200, '<html>Log in to the Wi-Fi</html>'], [201, stored(punchOf(7)).record], [200, [stored(punchOf(7))]],
    [207, ''], [207, '[{'], [207, []], [207, {}], [207, 'null'], [207, '"a"'], [207, [null]], [207, [{ status: 201 }]],
    [207, [stored(punchOf(8))]], [207, [stored(punchOf(7, { employerId: 1 }))]], [207, [{ status: 201, record: null }]],
    [207, [stored(punchOf(7, { includedAt: '2026-11-22T08:00:00Z' }))]], [207, [stored(punchOf(7), 400)]],
    [207, [stored(punchOf(7)), stored(punchOf(7))]],
  ]) {
    test(`${status} ${JSON.stringify(body)} keeps the punch, which is sent again`, async (t) => {
      const { requests } = await acceptedAfter(t, () => ({ status, body }))
      assert.equal(requests.length, 2)
    })
  }

  for (const [what, act] of [
    ['that never comes', () => null],
    ['that breaks off in its head', (_, request) => { request.socket.end('HTTP/1.1 207 Mul') }],
    ['that is reset', (_, request) => { request.socket.resetAndDestroy() }],
    ['that breaks off in its body', (punches, request, response) => {
      const text = JSON.stringify([stored(punches[0])])
      response.writeHead(207, { 'Content-Length': text.length })
      response.write(text.slice(0, -1), () => request.socket.resetAndDestroy())
    }],
    ['that stops in its body', (_, request, response) => { response.writeHead(207).write('[') }],
    ['that redirects', (_, request, response) => { response.writeHead(307, { Location: '/elsewhere' }).end() }],
  ]) {
    test(`an answer ${what} keeps the punch, which is sent again`, async (t) => {
      const { requests } = await acceptedAfter(t, (...them) => { act(...them); return null }, { timeoutMs: 500 })
      assert.ok(requests.length >= 2)
      assert.deepEqual(requests[0].punches, requests[1].punches)
    })
  }

  test('one punch that makes each request fail does not hold up the others', async (t) => {
    const server = await serve(t, (punches) => (
      punches.some(({ employeeId }) => employeeId === 0) ? { status: 500, body: '' } : all(punches)))
    const queue = queueTo(t, server.url)
    await Promise.all(Array.from({ length: 30 }, (_, id) => queue.punch(punchOf(id))))
    await until(async () => (await queue.pending()).length === 1, 'only the one is left')
    assert.deepEqual(employees(await queue.pending()), [0])
  })

  for (const code of ['InternalError', 'Unavailable', 'New']) {
    test(`punches whose own results stay ${code} do not hold up the others, nor one another`, async (t) => {
      let cured = new Set()
      const server = await serve(t, (punches) => ({ body: punches.map((punch) => (
        punch.employeeId > 2 || cured.has(punch.employeeId) ? stored(punch) : error(code, 500))) }))
      const queue = queueTo(t, server.url)
      for (const id of [0, 1, 2]) await queue.punch(punchOf(id))
      await until(() => server.requests.length > 4, 'requests of one')
      for (const id of [3, 4, 5, 6, 7]) await queue.punch(punchOf(id))
      await until(async () => (await queue.pending()).length === 3, 'only the three are left')
      cured = new Set([1, 2])
      await until(async () => (await queue.pending()).length === 1, 'only the one is left')
      assert.deepEqual(employees(await queue.pending()), [0])
    })
  }

  test('a punch at a Date keeps its milliseconds, and has the offset of the device', async (t) => {
    const server = await serve(t, all)
    const queue = queueTo(t, server.url)
    const at = new Date('2026-11-22T11:00:00.250Z')
    const { key, punch } = await queue.punch(punchOf(7, { includedAt: at }))
    assert.deepEqual([key, punch.includedAt], [`121/7/${localInstant(at)}`, localInstant(at)])
    await drained(queue)
    await assert.rejects(queue.punch(punchOf(8, { includedAt: new Date('no date') })), RangeError)
    assert.deepEqual(await queue.pending(), [])
  })

  test('a punch that is no JSON is not stored', async (t) => {
    const server = await serve(t, all)
    const queue = queueTo(t, server.url)
    await assert.rejects(queue.punch(punchOf(2n ** 60n)), TypeError)
    await queue.punch(punchOf(7))
    await drained(queue)
    assert.deepEqual(queue.events.map(([type]) => type), ['accepted'])
  })

  test('a storage that throws slows the queue down, and is asked again', async (t) => {
    const server = await serve(t, (punches) => ({ body: punches.map(() => error('Malformed')) }))
    const storage = storageOf([punchOf(7)])
    const { list, put } = storage
    let lists = 0
    storage.list = async () => { if ((lists += 1) < 4) throw new Error('no list'); return list() }
    storage.put = async () => { throw new Error('no put') }
    const queue = queueTo(t, server.url, { storage, firstDelayMs: 200, maxDelayMs: 200 })
    await until(() => server.requests.length > 1, 'a second request')
    const before = server.requests.length
    await sleep(400)
    assert.ok(server.requests.length - before < 30, `${server.requests.length} requests`)
    storage.put = put
    await drained(queue)
    assert.deepEqual([employees(await queue.refused()), queue.events[0][1].message], [[7], 'no list'])
  })

  test('a punch that is told to wait before its slow storage has answered waits', async (t) => {
    const server = await serve(t, (punches) => ({ body: punches.map(() => error('InTheFuture')) }))
    const storage = storageOf([])
    const { put } = storage
    let isAnswered = false
    storage.put = async (entry) => {
      await put(entry)
      if (!entry.error) await until(() => isAnswered, 'a refusal')
      return true
    }
    const queue = queueTo(t, server.url, { storage })
    queue.addEventListener('waiting', () => { isAnswered = true })
    const punched = queue.punch(punchOf(7, { includedAt: new Date(Date.now() + 3_600_000).toISOString() }))
    await queue.flush()
    await punched
    await queue.flush()
    assert.equal(server.requests.length, 1)
  })

  test('requests stay within 100 punches and 64 KB', async (t) => {
    const server = await serve(t, all)
    const queue = queueTo(t, server.url)
    await Promise.all(Array.from({ length: 230 }, (_, id) => queue.punch(punchOf(id))))
    const deviceId = 'é'.repeat(2_000)
    await Promise.all(Array.from({ length: 40 }, (_, id) => queue.punch(punchOf(1_000 + id, { deviceId }))))
    await queue.punch(punchOf(5_000, { deviceId: 'x'.repeat(70_000) }))
    await drained(queue)
    assert.ok(server.requests.every(({ punches }) => punches.length <= 100))
    const batches = server.requests.filter(({ punches }) => punches.length > 1)
    assert.ok(batches.every(({ bytes }) => bytes <= 65_536))
    assert.ok(batches.some(({ bytes }) => bytes > 60_000))
    assert.equal(server.requests.reduce((sum, { punches }) => sum + punches.length, 0), 271)
  })

  test('one request is in flight at a time, however often flush is called', async (t) => {
    let inFlight = 0
    let most = 0
    const server = await serve(t, (punches, request, response) => {
      most = Math.max(most, inFlight += 1)
      setTimeout(() => { inFlight -= 1; response.writeHead(207).end(JSON.stringify(all(punches).body)) }, 15)
      return null
    })
    const queue = queueTo(t, server.url)
    await Promise.all(Array.from({ length: 20 }, (_, id) => queue.punch(punchOf(id)).then(() => queue.flush())))
    await drained(queue)
    assert.equal(most, 1)
  })

  test('the clock of the device is compared with the Date of each answer', async (t) => {
    const hour = 3_600_000
    const server = await serve(t, (punches) => (
      { ...all(punches), headers: { Date: new Date(Date.now() - hour).toUTCString() } }))
    const queue = queueTo(t, server.url)
    assert.equal(queue.clockOffsetMs, null)
    await queue.punch(punchOf(7))
    await drained(queue)
    assert.ok(Math.abs(queue.clockOffsetMs + hour) < 3_000, `${queue.clockOffsetMs}`)
  })

  test('a punch is stored with the time and the offset of the device, and without IndexedDB not durably', async (t) => {
    const server = await serve(t, all)
    const queue = queueTo(t, server.url)
    const { punch, durable } = await queue.punch({ employeeId: 7, employerId: 121 })
    assert.equal(durable, false)
    assert.ok(Math.abs(new Date(punch.includedAt) - Date.now()) < 5_000)
    await drained(queue)
  })

  test('the example of docs/phones.md works', async (t) => {
    const server = await serve(t, all)
    const document = await readFile(new URL('../../docs/phones.md', import.meta.url), 'utf8')
    const [, example] = /```js\n(.*?)```/s.exec(document)
    const shown = []
    globalThis.app = { person: { id: 7 }, session: { token: () => 'first' }, show: (...them) => shown.push(them) }
    const queueUrl = new URL('../../clients/javascript/punch_queue.js', import.meta.url)
    const module = example
      .replace("'./punch_queue.js'", JSON.stringify(queueUrl))
      .replace('https://api.example.com/point-record', server.url)
    const program = `const { person, session, show } = globalThis.app\n${module}\nexport { queue }`
    const { queue } = await import(`data:text/javascript,${encodeURIComponent(program)}`)
    t.after(() => queue.close())
    await until(() => shown.length === 2, 'stored and sent')
    assert.deepEqual(shown.map(([, text]) => text).sort(), ['leave this page open until it is sent', 'sent'])
  })

  test('the offset of an instant is that of its time zone', (t) => {
    const zone = process.env.TZ
    t.after(() => { process.env.TZ = zone ?? 'UTC' })
    const at = new Date('2026-11-22T11:00:00.250Z')
    for (const [name, text] of [
      ['America/Sao_Paulo', '2026-11-22T08:00:00.250-03:00'], ['Asia/Kathmandu', '2026-11-22T16:45:00.250+05:45'],
      ['America/St_Johns', '2026-11-22T07:30:00.250-03:30'], ['UTC', '2026-11-22T11:00:00.250+00:00'],
      ['Pacific/Kiritimati', '2026-11-23T01:00:00.250+14:00'],
    ]) {
      process.env.TZ = name
      assert.equal(localInstant(at), text)
    }
  })
})

for (const [what, retryAfter] of [
  ['of 0', () => '0'], ['of a past date', () => new Date(Date.now() - 3_600_000).toUTCString()],
  ['that is negative', () => '-3600'], ['that is no date', () => 'soon'],
]) {
  test(`a Retry-After ${what} leaves the backoff as it is`, async (t) => {
    t.mock.method(Math, 'random', () => 0.5)
    const server = await serve(t, (punches, request, response, count) => (
      count < 6 ? { status: 503, body: error('Unavailable'), headers: { 'Retry-After': retryAfter() } } : all(punches)))
    const queue = queueTo(t, server.url, { firstDelayMs: 20, maxDelayMs: 200 })
    await queue.punch(punchOf(7))
    await drained(queue)
    const waits = server.requests.slice(1).map(({ at }, index) => at - server.requests[index].at)
    assert.ok(waits.every((wait, index) => wait >= [10, 20, 40, 80, 100][index] - 1), `${waits}`)
  })
}

test('the waits of failed requests double up to their bound, at random below it', async (t) => {
  t.mock.method(Math, 'random', () => 0.5)
  const set = t.mock.method(globalThis, 'setTimeout')
  const server = await serve(t, (punches, request, response, count) => (
    count < 9 ? { status: 500, body: error('InternalError') } : all(punches)))
  const queue = queueTo(t, server.url, { firstDelayMs: 20, maxDelayMs: 200, timeoutMs: 60_000 })
  await queue.punch(punchOf(7))
  await drained(queue)
  const waits = server.requests.slice(1).map(({ at }, index) => at - server.requests[index].at)
  const expected = [10, 20, 40, 80, 100, 100, 100, 100]
  assert.ok(waits.every((wait, index) => wait >= expected[index] - 1), `${waits}`)
  const timers = set.mock.calls.map((call) => call.arguments).filter(([action]) => action.name === '#wake')
  const delays = timers.map(([, delay]) => delay).filter((delay) => delay < 200) // 200: nothing is pending
  assert.ok(Math.max(...delays) <= 100, `${delays}`)
})
