// Let dynalite need less CPU, with the same results. Load this before dynalite.
//
// classic-level gives each operation to a thread of a pool. To wake that thread costs more than the
// operation itself, which rarely waits for a disk: LevelDB appends a write to the system's page cache.
// - A read is made at once.
// - Writes that arrive while a batch is being written form the next batch. A write ends when its batch is
//   written, so an acknowledged item survives a kill -9, as before.
const { ClassicLevel } = require('classic-level')
const store = ClassicLevel.prototype
const next = Symbol('the batch that is written next')

store._get = async function (key, options) {
  return this._getSync(key, options)
}
store._put = function (key, value) {
  return write(this, { type: 'put', key, value })
}
store._del = function (key) {
  return write(this, { type: 'del', key })
}

function write(level, operation) {
  return new Promise((resolve, reject) => {
    const isIdle = !level[next]
    level[next] ??= []
    level[next].push({ operation, resolve, reject })
    if (isIdle) setImmediate(writeAll, level)
  })
}

// After a failed write, as on a full disk, LevelDB refuses all others until it is opened again. The stack restarts
// this process, and what was acknowledged is read again.
function end(error) {
  console.error(`LevelDB cannot write: ${error.cause ?? error}`)
  setTimeout(() => process.exit(1), 50) // after the answers to these writes
}

async function writeAll(level) {
  while (level[next].length) {
    const writes = level[next]
    level[next] = []
    try {
      await level._batch(writes.map(({ operation }) => operation), {})
      for (const { resolve } of writes) resolve()
    } catch (error) {
      for (const { reject } of writes) reject(error)
      end(error)
    }
  }
  level[next] = undefined
}

// dynalite parses a condition for each put. Without names and values, the result depends on its text only.
const parser = require('dynalite/db/conditionParser')
const { parse } = parser
const parsed = new Map()
parser.parse = (text, options) => {
  const { attrNames, attrVals, isKeyCondition } = options.context
  if (attrNames || attrVals || isKeyCondition) return parse(text, options)
  if (!parsed.has(text)) {
    if (parsed.size === 100) parsed.clear()
    parsed.set(text, parse(text, options))
  }
  return parsed.get(text)
}
