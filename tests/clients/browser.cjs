// A real Chromium for tests: the binary that the npm package @sparticuz/chromium has in itself, or that of CHROMIUM.
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { existsSync, mkdtempSync, renameSync, rmSync } = require('node:fs')
const path = require('node:path')
const { chromium } = require('playwright-core')

// The package holds it compressed. It is extracted once, beside the installed packages, and moved to its place whole.
const EXTRACTED = path.resolve(process.env.NODE_PATH, '..', 'chromium')

async function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM
  if (!existsSync(EXTRACTED)) {
    const staging = mkdtempSync(`${EXTRACTED}-`)
    process.env.TMPDIR = staging // where the package extracts to
    process.env.AWS_LAMBDA_JS_RUNTIME = 'nodejs22.x' // has it extract the libraries that Lambda lacks, too
    await require('@sparticuz/chromium').executablePath()
    try {
      renameSync(staging, EXTRACTED)
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes(error.code)) throw error
      rmSync(staging, { recursive: true }) // Another process was faster.
    }
  }
  return path.join(EXTRACTED, 'chromium')
}

/**
 * Start a browser on a profile directory, which keeps IndexedDB from one start to the next.
 *
 * Return its pages' context, and functions that end it: `close` in order, `kill` as a crash or a power cut does.
 */
async function startBrowser(profile) {
  const command = await executable()
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0']
  const libraries = process.env.CHROMIUM ? {} : { LD_LIBRARY_PATH: path.join(EXTRACTED, 'al2023', 'lib') }
  const child = spawn(command, [...flags, `--user-data-dir=${profile}`], {
    env: { PATH: process.env.PATH, HOME: profile, LANG: 'en_US.UTF-8', ...libraries },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a process group, so that all of its processes can be killed together
  })
  const ended = once(child, 'exit')
  const browser = await chromium.connectOverCDP(await debuggerOf(child))
  return {
    context: browser.contexts()[0],
    close: async () => { await browser.close(); process.kill(-child.pid, 'SIGTERM'); await ended },
    kill: async () => { process.kill(-child.pid, 'SIGKILL'); await ended },
  }
}

function debuggerOf(child) {
  let output = ''
  return new Promise((resolve, reject) => {
    child.stderr.on('data', (part) => {
      output += part
      const [, url] = /DevTools listening on (\S+)/.exec(output) ?? []
      if (url) resolve(url)
    })
    child.on('exit', () => reject(new Error(`The browser did not start: ${output}`)))
  })
}

module.exports = { startBrowser }
