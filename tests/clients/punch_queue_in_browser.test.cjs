// The queue of clients/javascript in a real browser, against a running service: `node --test`.
// The environment has the addresses. EXPECTED is where to write all punches, for the test to count in the stores.
const assert = require('node:assert/strict')
const { once } = require('node:events')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:http')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { startBrowser } = require('./browser.cjs')

const { PAGE, API, LENIENT_API, TOKEN, EXPECTED } = process.env
const EMPLOYER = 4711
const HOUR_MS = 3_600_000

const expected = []
let browser
let profile
let proxy

before(async () => {
  profile = mkdtempSync(path.join(tmpdir(), 'profile-'))
  browser = await startBrowser(profile)
  proxy = await startProxy()
})

after(async () => {
  await browser.close()
  await proxy.close()
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  writeFileSync(EXPECTED, JSON.stringify(expected))
})

/** A proxy before the service, whose `fault` says what it does to a POST. `sent` has the punches of each POST. */
async function startProxy() {
  const state = { fault: null, api: API, sent: [] }
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    if (request.method === 'POST') state.sent.push(JSON.parse(body.toString()))
    const fault = request.method === 'POST' && state.fault
    if (fault === 'hang before') return
    const { 'content-length': length, host, connection, ...headers } = request.headers
    const answer = await fetch(`${state.api}${request.url}`, {
      method: request.method, headers, body: body.length ? body : undefined })
    const text = await answer.text()
    if (fault === 'hang after') return
    const kept = [...answer.headers].filter(([name]) => !['connection', 'transfer-encoding'].includes(name))
    response.writeHead(answer.status, Object.fromEntries(kept))
    if (fault !== 'cut') response.end(text)
    else response.write(text.slice(0, 40), () => request.socket.resetAndDestroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  state.url = `http://127.0.0.1:${server.address().port}`
  state.close = () => { server.closeAllConnections(); server.close() }
  return state
}

let names = 0
const newName = () => `queue ${names += 1}`
let employees = 1_000_000
/** Return one punch of each of so many new employees. */
const newPunches = (count) => (
  Array.from({ length: count }, () => ({ employeeId: employees += 1, employerId: EMPLOYER })))

/** Open a page of the app with a queue; `clockMs` is how far the clock of the device is ahead. */
async function openApp({ name, page = PAGE, clockMs = 0, timeoutMs = 30_000, spoil = '' }) {
  const tab = await browser.context.newPage()
  await tab.addInitScript(`{
    const offsetMs = ${clockMs}
    const { now } = Date
    globalThis.Date = class extends Date {
      constructor(...parts) { super(...(parts.length ? parts : [now() + offsetMs])) }
      static now() { return now() + offsetMs }
    }
    ${spoil}
  }`)
  await tab.goto(`${page}/package.json`)
  await tab.evaluate(async ([options, token]) => {
    const { PunchQueue } = await import('/punch_queue.js')
    globalThis.queue = new PunchQueue({ ...options, token: () => token, firstDelayMs: 50, maxDelayMs: 400 })
    globalThis.accepted = []
    queue.addEventListener('accepted', ({ detail }) => accepted.push(detail.key))
  }, [{ name, url: `${proxy.url}/point-record`, timeoutMs }, TOKEN])
  return tab
}

/** Punch in a tab; return the stored punches. */
async function punchIn(tab, punches) {
  const stored = await tab.evaluate((all) => Promise.all(all.map((each) => queue.punch(each))), punches)
  expected.push(...stored.map(({ punch }) => punch))
  return stored
}

const pending = (tab) => tab.evaluate(async () => queue.pending())
const entries = (tab) => tab.evaluate(async () => [await queue.pending(), await queue.refused()].flat())
const accepted = (tab) => tab.evaluate(() => accepted.length)

async function until(condition, what, milliseconds = 40_000) {
  const deadline = performance.now() + milliseconds
  while (!await condition()) {
    assert.ok(performance.now() < deadline, `did not happen: ${what}`)
    await sleep(10)
  }
}
const isEmpty = (tab) => until(async () => (await entries(tab)).length === 0, 'an empty queue')

test('a page of an allowed origin stores, sends and forgets punches', async () => {
  const tab = await openApp({ name: newName() })
  const [first] = await punchIn(tab, newPunches(3))
  assert.equal(first.durable, true)
  assert.match(first.punch.includedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/)
  await isEmpty(tab)
  assert.equal(await accepted(tab), 3)
  assert.ok(Math.abs(await tab.evaluate(() => queue.clockOffsetMs)) < 5_000)
  await tab.close()
})

test('a page of an origin that is not allowed keeps its punches', async () => {
  const tab = await openApp({ name: newName(), page: PAGE.replace('127.0.0.1', 'localhost') })
  await tab.evaluate(() => { globalThis.failures = 0; queue.addEventListener('failed', () => { failures += 1 }) })
  await tab.evaluate((punch) => queue.punch(punch), { employeeId: 999_999, employerId: EMPLOYER })
  await until(() => tab.evaluate(() => failures > 0), 'a failure')
  assert.equal((await pending(tab)).length, 1)
  await tab.close()
})

test('punches made without a network are sent when it is back', async () => {
  const tab = await openApp({ name: newName() })
  await tab.context().setOffline(true)
  await punchIn(tab, newPunches(3))
  await sleep(100)
  assert.equal((await pending(tab)).length, 3)
  await tab.context().setOffline(false)
  await isEmpty(tab)
  await tab.close()
})

test('a network cut after the service has stored the punch doubles nothing', async () => {
  const tab = await openApp({ name: newName() })
  proxy.fault = 'cut'
  proxy.sent = []
  await punchIn(tab, newPunches(2))
  await until(() => proxy.sent.flat().length >= 3, 'the same punch sent again')
  assert.equal((await pending(tab)).length, 2)
  proxy.fault = null
  await isEmpty(tab)
  await tab.close()
})

test('a network cut while the request is in flight doubles nothing', async () => {
  const tab = await openApp({ name: newName(), timeoutMs: 1_000 })
  proxy.fault = 'hang after'
  proxy.sent = []
  await punchIn(tab, newPunches(2))
  await until(() => proxy.sent.length, 'a request')
  proxy.fault = null
  await tab.context().setOffline(true)
  await sleep(1_200)
  assert.equal((await pending(tab)).length, 2)
  await tab.context().setOffline(false)
  await isEmpty(tab)
  await tab.close()
})

test('a tab closed with a request in flight leaves its punches to the next one', async () => {
  const name = newName()
  const tab = await openApp({ name })
  proxy.fault = 'hang after'
  proxy.sent = []
  await punchIn(tab, newPunches(2))
  await until(() => proxy.sent.length, 'a request')
  await tab.close()
  proxy.fault = null
  const next = await openApp({ name })
  await isEmpty(next)
  await next.close()
})

test('a browser killed before or after the service has the punches loses and doubles nothing', async () => {
  for (const fault of ['hang before', 'hang after']) {
    const name = newName()
    proxy.fault = fault
    proxy.sent = []
    const tab = await openApp({ name })
    const stored = await punchIn(tab, newPunches(3))
    assert.ok(stored.every(({ durable }) => durable))
    if (fault === 'hang after') await until(() => proxy.sent.length, 'a request')
    await browser.kill()
    proxy.fault = null
    browser = await startBrowser(profile)
    const next = await openApp({ name })
    await isEmpty(next)
    await until(async () => await accepted(next) >= 3, 'all accepted')
    await next.close()
  }
})

test('two tabs send each punch once', async () => {
  const name = newName()
  const tabs = [await openApp({ name }), await openApp({ name })]
  proxy.sent = []
  await Promise.all(tabs.map((tab) => punchIn(tab, newPunches(20))))
  await Promise.all(tabs.map(isEmpty))
  const sent = proxy.sent.flat().map(({ employeeId }) => employeeId)
  assert.deepEqual([sent.length, new Set(sent).size], [40, 40])
  await Promise.all(tabs.map((tab) => tab.close()))
})

test('a clock that is slightly ahead makes a punch wait until its instant has come', async () => {
  const tab = await openApp({ name: newName(), clockMs: 4_000 })
  proxy.sent = []
  await punchIn(tab, newPunches(1))
  await until(async () => (await pending(tab))[0]?.error, 'a refusal')
  assert.equal((await pending(tab))[0].error.code, 'InTheFuture')
  await isEmpty(tab)
  assert.ok(proxy.sent.length <= 3, `${proxy.sent.length} requests`)
  await tab.close()
})

test('a clock an hour ahead is told, and its punch kept as it is until the service accepts it', async () => {
  const name = newName()
  const tab = await openApp({ name, clockMs: HOUR_MS })
  proxy.sent = []
  const [{ punch }] = await punchIn(tab, newPunches(1))
  await until(async () => (await pending(tab))[0]?.error, 'a refusal')
  await tab.evaluate(() => queue.flush())
  const [entry] = await pending(tab)
  assert.deepEqual([entry.error.code, entry.punch, proxy.sent.length], ['InTheFuture', punch, 1])
  const offsetMs = await tab.evaluate(() => queue.clockOffsetMs)
  assert.ok(Math.abs(offsetMs + HOUR_MS) < 10_000, `${offsetMs}`)
  await tab.close()
  proxy.api = LENIENT_API // An hour has passed: this service takes its instant.
  const later = await openApp({ name })
  await isEmpty(later)
  proxy.api = API
  await later.close()
})

test('a clock an hour behind is told, and its punch is stored as it is', async () => {
  const tab = await openApp({ name: newName(), clockMs: -HOUR_MS })
  await punchIn(tab, newPunches(1))
  await isEmpty(tab)
  const offsetMs = await tab.evaluate(() => queue.clockOffsetMs)
  assert.ok(Math.abs(offsetMs - HOUR_MS) < 10_000, `${offsetMs}`)
  await tab.close()
})

test('punches are sent, without haste, where the browser denies the page its locks', async () => {
  const tab = await openApp({ name: newName(), spoil: `LockManager.prototype.request = () => (
    Promise.reject(new DOMException('no', 'SecurityError')))` })
  proxy.fault = 'cut'
  proxy.sent = []
  await punchIn(tab, newPunches(2))
  await sleep(1_000)
  assert.ok(proxy.sent.length < 60, `${proxy.sent.length} requests`)
  proxy.fault = null
  await isEmpty(tab)
  await tab.close()
})

for (const [what, spoil] of [
  ['is missing', "Object.defineProperty(globalThis, 'indexedDB', { value: undefined })"],
  ['does not open', "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') }"],
  ['is full', "IDBObjectStore.prototype.put = () => { throw new DOMException('no', 'QuotaExceededError') }"],
]) {
  test(`punches are sent where IndexedDB ${what}, and said not to be durable`, async () => {
    const tab = await openApp({ name: newName(), spoil })
    const stored = await punchIn(tab, newPunches(2))
    assert.deepEqual(stored.map(({ durable }) => durable), [false, false])
    await isEmpty(tab)
    await tab.close()
  })
}
