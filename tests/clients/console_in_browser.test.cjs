// The web console in a real browser, against a running service whose legacy is away: `node --test`.
// The environment has addresses and tokens. EXPECTED has what the stores hold.
const assert = require('node:assert/strict')
const { once } = require('node:events')
const { mkdtempSync, readFileSync, rmSync } = require('node:fs')
const { createServer } = require('node:http')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { startBrowser } = require('./browser.cjs')

const { API, SIGN_IN_API, LEGACY, OPERATOR, EMPLOYER, EXPIRED } = process.env
const EXPECTED = JSON.parse(process.env.EXPECTED)
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const VIEWS = ['now', 'limit', 'find', 'replay', 'quarantine', 'reconcile', 'keys']
const COMMENT = 'ticket 12'

let browser
let profile
let operator // a tab that is signed in as the operator
const problems = []

before(async () => {
  profile = mkdtempSync(path.join(tmpdir(), 'profile-'))
  browser = await startBrowser(profile)
  operator = await open(API, `#token=${OPERATOR}`)
})

after(async () => {
  await browser.close()
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
})

/** Open the console in a new tab. Errors on the browser's console are problems, unless the test expects them. */
async function open(api, fragment = '', { failuresAreExpected = false } = {}) {
  const tab = await browser.context.newPage()
  tab.setDefaultTimeout(20_000)
  if (!failuresAreExpected) {
    tab.on('console', (message) => { if (['error', 'warning'].includes(message.type())) problems.push(message.text()) })
  }
  tab.on('pageerror', (error) => problems.push(error.stack))
  await tab.goto(`${api}/console${fragment}`)
  return tab
}

async function go(tab, view) {
  await tab.evaluate((hash) => { location.hash = hash }, `#/${view}`)
  await tab.locator('main h1').waitFor()
}

async function until(condition, what, milliseconds = 25_000) {
  const deadline = performance.now() + milliseconds
  for (;;) {
    const value = await condition()
    if (value) return value
    assert.ok(performance.now() < deadline, `did not happen: ${what}`)
    await sleep(100)
  }
}

/** Return the faults that axe calls serious or critical. */
async function faultsIn(tab) {
  return tab.evaluate(async (source) => {
    // A policy without inline scripts forbids injected elements; the debugger may evaluate.
    if (!globalThis.axe) (0, globalThis.eval)(source) // eslint-disable-line no-eval
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] })
    return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(' ')}`)
  }, AXE).catch((error) => [String(error)])
}

const figure = async (tab, stage) => (
  Number((await tab.locator(`[data-stage=${stage}] .figure`).innerText()).replaceAll(/\D/g, '')))

const odata = async (query) => (
  (await fetch(`${API}/odata/${query}`, { headers: { Authorization: `Bearer ${OPERATOR}` } })).json())

test('the link signs in, and its token leaves the address', async () => {
  await operator.locator('[data-stage=delivered]').waitFor()
  assert.equal(operator.url(), `${API}/console`)
  assert.equal(await operator.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage })), '{}')
  await operator.evaluate((token) => { location.hash = `token=${token}` }, OPERATOR) // in the same tab
  await until(() => operator.url() === `${API}/console`, 'the token taken')
  await operator.locator('[data-stage=delivered]').waitFor()
})

test('Now has the numbers of the stores, and says what is wrong', async () => {
  assert.equal(await figure(operator, 'delivered'), EXPECTED.delivered)
  assert.equal(await figure(operator, 'parkedStage'), EXPECTED.parked)
  assert.equal(await figure(operator, 'quarantine'), EXPECTED.quarantined)
  const unfinished = ['buffer', 'waiting', 'inFlight'].map((stage) => figure(operator, stage))
  assert.equal((await Promise.all(unfinished)).reduce((sum, each) => sum + each, 0), EXPECTED.unfinished)
  const accepted = await operator.locator('[data-flow=accepted] dd').innerText()
  assert.ok(Number(accepted.replaceAll(/\D/g, '')) <= EXPECTED.accepted)
  const verdict = await operator.locator('.verdict').innerText()
  assert.match(verdict, new RegExp(`delivered nothing since .*HTTP 503.*Waiting records: ${EXPECTED.unfinished};`))
  assert.match(verdict, new RegExp(`Parked records: ${EXPECTED.parked}\\.`))
})

test('Limit plots the calls, and has the outage', async () => {
  await go(operator, 'limit?range=5m')
  await operator.locator('.charts canvas').nth(2).waitFor()
  const totals = await operator.locator('.note').last().innerText()
  assert.match(totals, new RegExp(`In this period: ${EXPECTED.delivered} delivered, .* refused`))
  await until(async () => await operator.locator('.outages li').count() === 1, 'an outage')
  for (const range of ['1h', '6h', '24h', '7d']) {
    await go(operator, `limit?range=${range}`)
    await operator.locator('.charts canvas').nth(2).waitFor()
    assert.match(await operator.locator('.note').last().innerText(), new RegExp(`period: ${EXPECTED.delivered} delivered`))
    await until(() => operator.evaluate(() => {
      const canvas = document.querySelector('.charts canvas')
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      return data.some((red, at) => at % 4 === 0 && red < 100 && data[at + 2] > 150 && data[at + 3] > 60) // blue
    }), `the limit of ${range}`, 3_000)
  }
})

test('the periods of the page are those of the service, whatever the clock of the device says', async () => {
  const tab = await browser.context.newPage()
  await tab.addInitScript(() => {
    const real = Date.now
    globalThis.Date = class extends Date {
      constructor(...parts) { super(...(parts.length ? parts : [real() + 600_000])) }
      static now() { return real() + 600_000 }
    }
  })
  await tab.goto(`${API}/console#token=${OPERATOR}`)
  await tab.locator('[data-stage=delivered]').waitFor()
  await go(tab, 'limit?range=5m')
  await tab.locator('.charts canvas').nth(2).waitFor()
  assert.match(await tab.locator('.note').last().innerText(), new RegExp(`period: ${EXPECTED.delivered} delivered`))
  await go(tab, 'reconcile')
  const until = await tab.getByLabel('Until').evaluate((field) => new Date(field.value).getTime())
  assert.ok(Math.abs(until - Date.now()) < 180_000, `${until - Date.now()} ms`)
  await tab.close()
})

test('Find has a record by employee, and its story', async () => {
  await go(operator, 'find')
  await operator.getByLabel('Employee').fill('0')
  await operator.getByRole('button', { name: 'Search' }).click()
  assert.match(await operator.locator('.problem:visible').innerText(), /Employee/)
  assert.deepEqual(await Promise.all(['Employee', 'Employer'].map((name) => (
    operator.getByLabel(name, { exact: true }).getAttribute('aria-invalid')))), ['true', 'false'])
  const { value: [parked] } = await odata("PointRecords?$filter=status eq 'REJECTED'&$top=1")
  await operator.getByLabel('Employee').fill(String(parked.employeeId))
  await operator.getByRole('button', { name: 'Search' }).click()
  const link = operator.locator('tbody a')
  await until(async () => await link.count() === 1, 'one record')
  await link.click()
  const story = operator.locator('.story')
  await story.waitFor()
  const text = await story.innerText()
  assert.match(text, /Accepted[^]*Replicated[^]*Attempt 1: parked[^]*HTTP 422[^]*Parked until/)
  assert.match(operator.url(), new RegExp(`#/record/${parked.id}$`))
})

test('a year of five digits is refused in words', async () => {
  for (const view of ['find', 'reconcile']) {
    await go(operator, view)
    assert.equal(await operator.getByLabel('From').getAttribute('max'), '9999-12-31T23:59')
  }
  for (const view of ['find', 'days']) { // as an address: the field does not let it through
    const tab = view === 'days' ? await open(API, `#token=${EMPLOYER}`) : operator
    if (tab !== operator) await tab.getByText('Shown: ').waitFor()
    await go(tab, `${view}?from=20261-12-01T08:00`)
    await tab.getByText('Enter a date and a time, up to the year 9999.').waitFor()
    if (tab !== operator) await tab.close()
  }
})

test("a record's page goes on after a 429", async () => {
  const tab = await open(API, `#token=${OPERATOR}`, { failuresAreExpected: true })
  await tab.locator('[data-stage=delivered]').waitFor()
  const { value: [{ id }] } = await odata("PointRecords?$filter=status eq 'REJECTED'&$top=1")
  await tab.route('**/odata/**', (route) => route.fulfill({
    status: 429, json: { error: { code: 'TooManyRequests', message: 'Too many requests.' } } }))
  await go(tab, `record/${id}`)
  await tab.getByText('Too many requests.').waitFor()
  await tab.unroute('**/odata/**')
  await tab.locator('.story').waitFor()
  await tab.close()
})

test('axe finds nothing serious, in both colour schemes, and no view scrolls sideways at 360 px', async () => {
  const { id } = (await odata('PointRecords?$top=1')).value[0]
  for (const [index, view] of [...VIEWS, `record/${id}`].entries()) {
    await operator.emulateMedia({ colorScheme: index % 2 ? 'dark' : 'light' })
    await go(operator, view)
    await operator.waitForLoadState('networkidle')
    assert.deepEqual(await faultsIn(operator), [], view)
    await operator.setViewportSize({ width: 360, height: 740 })
    const [content, window] = await operator.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
    assert.ok(content <= window, `${view} is ${content} px wide`)
    await operator.setViewportSize({ width: 1_200, height: 800 })
  }
})

test('Now keeps the focus, and announces what is wrong once', async () => {
  const tab = await open(API, `#token=${OPERATOR}`)
  const link = tab.locator('[data-stage=parkedStage] a')
  await link.focus()
  // One answer of the service, in which nothing changes but an age: the legacy can fail differently from poll to poll.
  let answer
  let minutes = 5
  await tab.route('**/health', async (route) => {
    answer ??= await (await route.fetch()).json()
    await route.fulfill({ json: { ...answer, buffer: { ...answer.buffer, oldestAgeSeconds: 60 * minutes } } })
  })
  const poll = async (words) => {
    await tab.evaluate(() => dispatchEvent(new Event('retry-now')))
    await until(async () => words.test(await tab.locator('.verdict').innerText()), `${words}`)
  }
  await poll(/wait in the buffer for 5 min/)
  const status = tab.locator('[role=status]')
  assert.match(await status.innerText(), /wait in the buffer for 5 min.*Parked records/)
  await tab.evaluate(() => {
    globalThis.announced = 0
    new MutationObserver(() => { globalThis.announced += 1 })
      .observe(document.querySelector('[role=status]'), { childList: true, characterData: true, subtree: true })
  })
  minutes = 6
  await poll(/for 6 min/)
  minutes = 7
  await poll(/for 7 min/)
  assert.equal(await tab.evaluate(() => globalThis.announced), 0)
  assert.ok(await link.evaluate((element) => element === document.activeElement))
  minutes = 0
  await tab.evaluate(() => dispatchEvent(new Event('retry-now')))
  await until(() => tab.evaluate(() => globalThis.announced === 1), 'an announcement')
  assert.doesNotMatch(await status.innerText(), /in the buffer/)
  await tab.close()
})

test('Show more keeps the focus, and can be pressed again after an error', async () => {
  const tab = await open(API, `#token=${OPERATOR}`, { failuresAreExpected: true })
  await tab.locator('[data-stage=delivered]').waitFor()
  await go(tab, 'find')
  const more = tab.getByRole('button', { name: 'Show more' })
  await tab.getByText('Shown: ').waitFor()
  await tab.route('**/odata/**', (route) => route.abort())
  await more.focus()
  await tab.keyboard.press('Enter')
  await tab.locator('.problem:visible').waitFor()
  await tab.unroute('**/odata/**')
  await more.click()
  await until(async () => await tab.locator('tbody tr').count() > 100, 'the second page')
  assert.ok(await tab.evaluate(() => document.activeElement.matches('button, .scroll')))
  await tab.close()
})

test('the page is used with the keyboard, and in Portuguese', async () => {
  await go(operator, 'now')
  await operator.locator('header nav a').first().focus()
  await operator.keyboard.press('Tab')
  await operator.keyboard.press('Tab')
  await operator.keyboard.press('Enter')
  await until(() => operator.url().endsWith('#/find'), 'the view of the third tab')
  await until(() => operator.evaluate(() => document.activeElement.tagName === 'H1'), 'focus on the heading')
  await operator.getByLabel('Language').selectOption('pt')
  await operator.getByRole('button', { name: 'Buscar' }).waitFor()
  assert.equal(await operator.evaluate(() => document.documentElement.lang), 'pt')
  await operator.getByLabel('Idioma').selectOption('en')
  await operator.getByRole('button', { name: 'Search' }).waitFor()
  assert.equal(await operator.evaluate(() => document.activeElement.tagName), 'SELECT')
})

test('Stop ends a replay after its step, and an error does not say that nothing was replayed', async () => {
  const tab = await open(API, `#token=${OPERATOR}`, { failuresAreExpected: true })
  await tab.locator('[data-stage=delivered]').waitFor()
  await go(tab, 'replay?filter=employerId eq 121')
  await tab.getByLabel('Why').fill(COMMENT)
  let sent = 0
  let answer
  await tab.route('**/operations/replay', (route) => {
    sent += 1
    answer = (replayed) => route.fulfill({ json: { replayed, more: true, cursor: 'x' } })
  })
  await tab.getByRole('button', { name: `Replay ${EXPECTED.parkedOfEmployer}`, exact: true }).click()
  await until(() => sent === 1, 'a step')
  await tab.getByRole('button', { name: 'Stop' }).click()
  await tab.getByText('Stops after this step').waitFor()
  await answer(3)
  await tab.getByText('Stopped after 3. The others are as they were.').waitFor()
  assert.equal(sent, 1)
  await tab.unroute('**/operations/replay')
  await tab.route('**/operations/replay', (route) => {
    const { cursor } = route.request().postDataJSON()
    return cursor === 'x' ? route.fulfill({ json: { replayed: 2, more: true, cursor: 'y' } }) : route.abort()
  })
  const counted = tab.waitForResponse(/PointRecords.*top=0/)
  await tab.getByRole('button', { name: 'Continue' }).click()
  await tab.getByText('Replayed: at least 5. The last step may have gone on.').waitFor()
  await counted
  await tab.getByText(`Parked records that match: ${EXPECTED.parkedOfEmployer}`).waitFor()
  await tab.close()
})

test('a replay from the page delivers what the filter selects', async () => {
  await fetch(`${LEGACY}/settings`, { method: 'PUT', body: JSON.stringify({ outage: null, refused_share: 0 }) })
  await go(operator, 'replay')
  await operator.getByLabel('Filter').fill('employerId eq 121')
  await operator.getByRole('button', { name: 'Count' }).click()
  const start = operator.getByRole('button', { name: `Replay ${EXPECTED.parkedOfEmployer}`, exact: true })
  await start.waitFor()
  await start.click()
  assert.match(await operator.locator('.problem:visible').innerText(), /Say why/)
  await operator.getByLabel('Why').fill(COMMENT)
  await start.click()
  await operator.getByText(`Back in the queue: ${EXPECTED.parkedOfEmployer}.`).waitFor()
  await until(async () => (await odata("PointRecords?$filter=status ne 'INTEGRATED' and status ne 'REJECTED'&$count=true&$top=0"))['@odata.count'] === 0,
    'all delivered')
  await go(operator, 'now')
  await until(async () => await figure(operator, 'parkedStage') === EXPECTED.parked - EXPECTED.parkedOfEmployer, 'fewer parked')
})

test('an item of the quarantine is corrected with validation, and released', async () => {
  await go(operator, 'quarantine')
  await operator.getByRole('button', { name: 'Correct gate 7' }).click()
  const text = operator.getByLabel('The punch as JSON')
  const punch = JSON.parse(await text.inputValue())
  assert.equal(punch.employeeId, '7a')
  await text.fill('{"employeeId": 7,')
  assert.match(await operator.locator('form .note').innerText(), /not JSON/)
  await text.fill(JSON.stringify({ ...punch, employeeId: -7 }))
  await operator.getByLabel('Why').fill(COMMENT)
  const errors = problems.length
  await operator.getByRole('button', { name: 'Release' }).click()
  await operator.locator('form .problem li').waitFor()
  assert.match(await operator.locator('form .problem:visible').innerText(), /employeeId/)
  // The browser itself reports the answer 400 on its console.
  assert.match(problems.splice(errors).join(), /400/)
  await text.fill(JSON.stringify({ ...punch, employeeId: 7_777 }))
  await operator.getByRole('button', { name: 'Release' }).click()
  await operator.getByText('The quarantine is empty').waitFor()
  const { value } = await odata('PointRecords?$filter=employeeId eq 7777')
  assert.equal(value.length, 1)
  assert.match(await operator.locator('.done').innerText(), new RegExp(value[0].id))
})

test('a period is reconciled', async () => {
  await go(operator, 'reconcile')
  await operator.getByLabel('Why').fill(COMMENT)
  await operator.getByRole('button', { name: 'Reconcile' }).click()
  await operator.getByText('Every accepted punch of the period is stored').waitFor()
  assert.equal(await operator.locator('tbody td').first().innerText(), String(EXPECTED.accepted))
})

test('a period without a line in the log is not called proven', async () => {
  await operator.getByLabel('From').fill('2020-01-01T00:00')
  await operator.getByLabel('Until').fill('2020-01-02T00:00')
  await operator.getByRole('button', { name: 'Reconcile' }).click()
  await operator.getByText('The log has no accepted punch of this period').waitFor()
  assert.equal(await operator.locator('.verdict').getAttribute('class'), 'verdict warn')
})

test('an access key is made, reads the rows of its employer, and ends when it is revoked', async () => {
  await browser.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: API })
  await go(operator, 'keys')
  await operator.getByText('There are no keys').waitFor()
  await operator.getByLabel('Report').fill('payroll')
  await operator.getByLabel('Employer').fill('121')
  await operator.getByLabel('Days').fill('30')
  await operator.getByRole('button', { name: 'Make a key' }).click()
  assert.match(await operator.locator('.problem:visible').innerText(), /Say why/)
  await operator.getByLabel('Why').fill(COMMENT)
  await operator.keyboard.press('Enter')
  await operator.getByRole('button', { name: 'Copy' }).click()
  await operator.getByText('Copied.').waitFor()
  const key = await operator.evaluate(() => navigator.clipboard.readText())
  assert.equal(await operator.getByLabel('Key', { exact: true }).inputValue(), key)
  assert.match(await operator.locator('.verdict.warn').innerText(), /never shown again/)
  await operator.getByLabel('Language').selectOption('pt')
  assert.equal(await operator.getByLabel('Chave', { exact: true }).inputValue(), key)
  assert.match(await operator.locator('.verdict.warn').innerText(), /nunca mais será exibida/)
  await operator.getByLabel('Idioma').selectOption('en')
  const row = operator.locator('tbody tr')
  assert.match(await row.innerText(), /^payroll\s+121\s+all\s+Employer\s.*local, .*Revoke$/s)
  assert.deepEqual(await faultsIn(operator), [])
  await operator.setViewportSize({ width: 360, height: 740 })
  assert.ok(await operator.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  await operator.setViewportSize({ width: 1_200, height: 800 })

  const read = () => fetch(`${API}/odata/PointRecords?$select=employerId&$top=500`, {
    headers: { Authorization: `Basic ${Buffer.from(`report:${key}`).toString('base64')}` } })
  const { value } = await (await read()).json()
  assert.equal(value.length, EXPECTED.ofEmployer + 1) // with the corrected item
  assert.deepEqual([...new Set(value.map((each) => each.employerId))], [121])

  await operator.getByRole('button', { name: 'Close' }).click()
  await operator.getByLabel('Language').selectOption('pt')
  await operator.getByLabel('Idioma').selectOption('en')
  assert.equal(await operator.evaluate((text) => document.body.outerHTML.includes(text), key), false)
  await operator.getByRole('button', { name: 'Revoke payroll' }).click()
  const form = operator.getByRole('form', { name: 'Revoke payroll' })
  await form.getByLabel('Why').fill(COMMENT)
  await form.getByRole('button', { name: 'Revoke' }).click()
  await operator.getByText('Revoked: payroll').waitFor()
  assert.equal((await read()).status, 401)
  await until(async () => /revoked by local/.test(await row.innerText()), 'the revocation in the list')
  await operator.getByLabel('Employer').fill('9223372036854775807') // the page keeps all digits
  await operator.getByLabel('Report').fill('of nobody')
  await operator.getByLabel('Why').fill(COMMENT)
  await operator.getByRole('button', { name: 'Make a key' }).click()
  await until(async () => /^of nobody\s+9223372036854775807\s/.test(await row.first().innerText()), 'the id of an employer')
  await operator.getByLabel('Key', { exact: true }).waitFor()
  await go(operator, 'find')
  await go(operator, 'keys')
  await row.first().waitFor()
  assert.equal(await operator.getByLabel('Key', { exact: true }).count(), 0)
})

test('the views are in Portuguese, too', async () => {
  await operator.getByLabel('Language').selectOption('pt')
  await go(operator, 'keys')
  await operator.getByRole('button', { name: 'Criar chave' }).waitFor()
  await operator.locator('thead th').first().waitFor() // the list comes after its response
  assert.deepEqual(await operator.locator('thead th').allInnerTexts(),
    ['Relatório', 'Empregador', 'Funcionário', 'Papel', 'Até', 'Criada por', ''])
  await operator.getByLabel('Idioma').selectOption('en')
})

test("an employer's token sees no foreign row", async () => {
  const bodies = []
  const tab = await open(API, '#token=none', { failuresAreExpected: true })
  tab.on('response', async (response) => {
    if (response.url().includes('/odata/')) bodies.push(await response.text())
  })
  await tab.getByLabel('Token').fill(EMPLOYER)
  await tab.getByRole('button', { name: 'Sign in' }).click()
  await tab.getByText('Shown: ').waitFor()
  assert.deepEqual(await tab.locator('header nav a').allInnerTexts(), ['Records', 'Days'])
  for (const view of ['now', 'keys']) { // the operators' views are not theirs
    await go(tab, view)
    assert.equal(await tab.locator('h1').innerText(), 'Records')
  }
  const command = { name: 'mine', employerId: 121, comment: COMMENT }
  const refused = await fetch(`${API}/operations/access-keys`, { method: 'POST', body: JSON.stringify(command),
    headers: { Authorization: `Bearer ${EMPLOYER}`, 'Content-Type': 'application/json' } })
  assert.equal(refused.status, 403)
  await tab.getByText('Shown: ').waitFor()
  const download = tab.waitForEvent('download')
  await tab.getByRole('button', { name: 'Download CSV' }).click()
  const csv = readFileSync(await (await download).path(), 'utf8')
  const lines = csv.trim().split('\r\n')
  const employers = new Set(lines.slice(1).map((line) => line.split(',')[2]))
  assert.deepEqual([...employers], ['121'])
  assert.equal(lines.length, 1 + EXPECTED.ofEmployer + 1) // with the corrected item
  await go(tab, 'days?from=2026-11-01T00:00')
  await tab.getByText('Shown: ').waitFor()
  assert.match(await tab.locator('tbody tr').first().innerText(), /11\/22\/2026\s+\d+\s+08:00:00\s+08:00:00\s+1/)
  assert.deepEqual(await faultsIn(tab), [])
  const seen = bodies.flatMap((text) => text.match(/"employerId":"?\d+/g) ?? [])
  assert.ok(seen.length > 50)
  assert.deepEqual(seen.filter((each) => !each.endsWith('121')), [])
  await tab.close()
})

test('an expired token leads to the sign-in, with the reason', async () => {
  const tab = await open(API, `#token=${EXPIRED}`, { failuresAreExpected: true })
  await tab.getByRole('button', { name: 'Sign in' }).waitFor()
  assert.match(await tab.locator('.problem:visible').innerText(), /expired/)
  assert.deepEqual(await faultsIn(tab), [])
  await tab.close()
})

test('a service that is away is shown as such, and recovers', async () => {
  const tab = await open(API, `#token=${OPERATOR}`, { failuresAreExpected: true })
  await tab.locator('[data-stage=delivered]').waitFor()
  await tab.route('**/health', (route) => route.abort())
  await tab.evaluate(() => dispatchEvent(new Event('retry-now')))
  await tab.getByText('The service has not answered since').waitFor()
  await tab.unroute('**/health')
  await tab.getByRole('button', { name: 'Try now' }).click()
  await tab.locator('.away').waitFor({ state: 'hidden' })
  await tab.close()
})

/** A proxy before the API: it sends a part of the answers to paths that are in `stalled`, and then nothing. */
async function startProxy(t, api) {
  const stalled = new Set()
  const server = createServer(async (request, response) => {
    const { host, connection, ...headers } = request.headers
    const answer = await fetch(`${api}${request.url}`, { headers })
    const body = Buffer.from(await answer.arrayBuffer())
    const kept = [...answer.headers].filter(([name]) => !['connection', 'transfer-encoding', 'content-encoding'].includes(name))
    response.writeHead(answer.status, { ...Object.fromEntries(kept), 'content-length': body.length })
    if ([...stalled].some((path) => request.url.endsWith(path))) response.write(body.subarray(0, 10))
    else response.end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  t.after(() => { server.closeAllConnections(); server.close() })
  return { stalled, url }
}

/** Load the page anew. The 35 s of a request are half a second in it while `isHasty` is true, as at ?hasty. */
async function hasten(tab, url) {
  await tab.addInitScript(() => {
    const { setTimeout: set } = globalThis
    const { timeout } = AbortSignal
    globalThis.isHasty = location.search === '?hasty'
    globalThis.setTimeout = (act, ms) => set(act, globalThis.isHasty && ms === 35_000 ? 500 : ms)
    AbortSignal.timeout = (ms) => timeout.call(AbortSignal, globalThis.isHasty && ms === 35_000 ? 500 : ms)
  })
  await tab.goto(url)
}
const setHaste = (tab, isHasty) => tab.evaluate((value) => { globalThis.isHasty = value }, isHasty)

test('an answer that stops in its body is a service that is away', async (t) => {
  const proxy = await startProxy(t, API)
  const tab = await open(proxy.url, `#token=${OPERATOR}`, { failuresAreExpected: true })
  proxy.stalled.add('/console/config.json')
  await hasten(tab, `${proxy.url}/console?hasty`)
  await tab.getByText('The service does not answer.').waitFor()
  proxy.stalled.clear()
  await tab.goto(`${proxy.url}/console?again#token=${OPERATOR}`)
  await tab.locator('[data-stage=delivered]').waitFor()
  proxy.stalled.add('/health')
  await setHaste(tab, true)
  await tab.evaluate(() => dispatchEvent(new Event('retry-now')))
  await tab.getByText('The service has not answered since').waitFor()
  proxy.stalled.clear()
  await setHaste(tab, false)
  await tab.getByRole('button', { name: 'Try now' }).click()
  await tab.locator('.away').waitFor({ state: 'hidden' })
  await tab.close()
})

test('an issuer that does not answer is named, at the sign-in and when it renews a token', async () => {
  const tab = await open(SIGN_IN_API, '#/now', { failuresAreExpected: true })
  await hasten(tab, `${SIGN_IN_API}/console?hasty#/now`)
  await tab.route('**/.well-known/openid-configuration', () => {}) // which leaves the request without an answer
  await tab.getByRole('button', { name: 'Sign in at 127.0.0.1' }).click()
  await tab.getByText('does not answer. Please try again later.').waitFor()
  await tab.unroute('**/.well-known/openid-configuration')
  await tab.getByRole('button', { name: 'Sign in at 127.0.0.1' }).click()
  await tab.locator('[data-stage=delivered]').waitFor()
  await tab.route('**/token', () => {})
  await go(tab, 'find')
  await sleep(2_000)
  await setHaste(tab, true)
  await go(tab, 'now')
  // A renewal that began before the haste ends after 35 s.
  await until(async () => /127\.0\.0\.1:\d+ does not answer/.test(await tab.locator('.verdict').innerText()), 'the reason', 60_000)
  await tab.close()
})

test('the console starts in a browser that blocks the data of sites', async () => {
  const tab = await open(API, '', { failuresAreExpected: true })
  await tab.addInitScript(() => {
    const get = () => { throw new DOMException('Access is denied for this document.', 'SecurityError') }
    for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(globalThis, name, { get })
  })
  await tab.goto(`${API}/console?again#token=${OPERATOR}`)
  await tab.locator('[data-stage=delivered]').waitFor()
  await tab.goto(`${SIGN_IN_API}/console`)
  await tab.getByRole('button', { name: 'Sign in at 127.0.0.1' }).click()
  await tab.getByText('the page must store data in this browser').waitFor()
  await tab.close()
})

test('people sign in at the issuer of the stage, and their token is renewed', async () => {
  const tab = await open(SIGN_IN_API, '#/limit', { failuresAreExpected: true })
  await tab.getByRole('button', { name: 'Sign in at 127.0.0.1' }).click()
  await tab.getByRole('link', { name: 'Limit' }).waitFor()
  assert.equal(await tab.locator('h1').innerText(), 'Limit')
  assert.equal(tab.url(), `${SIGN_IN_API}/console#/limit`)
  assert.equal(await tab.locator('.who span').innerText(), 'ada')
  assert.equal(await tab.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage })), '{}')
  await sleep(2_000) // it has expired
  await go(tab, 'now')
  await tab.locator('[data-stage=delivered]').waitFor()
  await tab.close()
})

/** Open the console with a session whose token has expired. */
async function openExpired() {
  const tab = await open(SIGN_IN_API, '#/now', { failuresAreExpected: true })
  await tab.getByRole('button', { name: 'Sign in at 127.0.0.1' }).click()
  await tab.locator('[data-stage=delivered]').waitFor()
  await go(tab, 'find') // which asks for nothing by itself
  await tab.getByText('Shown: ').waitFor()
  await sleep(2_000)
  return tab
}

test('a page at another address than PUBLIC_URL has all pages of a list', async () => {
  const tab = await openExpired()
  const foreign = []
  tab.on('request', (request) => { if (request.url().includes('example.com')) foreign.push(request.url()) })
  assert.equal(await tab.locator('tbody tr').count(), 100)
  await tab.getByRole('button', { name: 'Show more' }).click()
  await until(async () => await tab.locator('tbody tr').count() > 100, 'the second page')
  const download = tab.waitForEvent('download')
  await tab.getByRole('button', { name: 'Download CSV' }).click()
  const lines = readFileSync(await (await download).path(), 'utf8').trim().split('\r\n')
  assert.ok(lines.length > EXPECTED.accepted)
  assert.deepEqual(foreign, [])
  await tab.close()
})

test('a sign-out while the token is renewed stays one', async () => {
  const tab = await openExpired()
  let answer
  const asked = new Promise((resolve) => { tab.route('**/token', (route) => { answer = () => route.continue(); resolve() }) })
  await go(tab, 'now')
  await asked
  await tab.getByRole('button', { name: 'Sign out' }).click()
  const renewed = tab.waitForResponse('**/token')
  await answer()
  await renewed
  await sleep(200)
  await tab.getByLabel('Language').selectOption('pt')
  await tab.getByRole('heading', { name: 'Entrar' }).waitFor()
  await sleep(500)
  assert.equal(await tab.locator('h1').innerText(), 'Entrar')
  await tab.getByLabel('Idioma').selectOption('en')
  await tab.close()
})

test('an issuer that is away for a moment signs nobody out, and one that refuses does', async () => {
  const tab = await openExpired()
  for (const [fault, words] of [
    [(route) => route.abort(), /127\.0\.0\.1:\d+ does not answer/],
    [(route) => route.fulfill({ status: 503, headers: { 'Access-Control-Allow-Origin': '*' } }), /not completed/],
  ]) {
    await tab.route('**/token', fault)
    await go(tab, 'now')
    await until(async () => words.test(await tab.locator('.verdict').innerText()), 'the reason')
    await tab.unroute('**/token')
    await tab.evaluate(() => dispatchEvent(new Event('retry-now')))
    await tab.locator('[data-stage=delivered]').waitFor()
    await go(tab, 'find')
    await sleep(2_000)
  }
  await tab.route('**/token', (route) => route.fulfill({ status: 400, json: { error: 'invalid_grant' },
    headers: { 'Access-Control-Allow-Origin': '*' } }))
  await go(tab, 'now')
  await tab.getByRole('button', { name: 'Sign in at 127.0.0.1' }).waitFor()
  await tab.close()
})

test('the browser has reported no error', () => assert.deepEqual(problems, []))
