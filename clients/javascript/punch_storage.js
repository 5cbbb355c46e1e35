// Keeps the entries of a punch queue in IndexedDB, so that they outlive the tab, the browser and the power.
// What IndexedDB does not take, because it is missing, full or broken, is kept in memory, and `put` says so.

import { within } from './punch_request.js'

const STORE = 'entries'
const TIMEOUT_MS = 5_000 // Browsers have had bugs in which IndexedDB never answers.

export class PunchStorage {
  #name
  #database = null
  #memory = new Map()

  constructor(name) {
    this.#name = name
  }

  /** Store an entry, in place of the one with its key. Resolve to whether it is on disk. */
  async put(entry) {
    this.#memory.set(entry.key, entry)
    const isOnDisk = await this.#transact('readwrite', (store) => store.put(entry)).then(() => true, () => false)
    if (isOnDisk && this.#memory.get(entry.key) === entry) this.#memory.delete(entry.key)
    return isOnDisk
  }

  /** Remove entries. One that stays on disk after a failure is sent once more, which is harmless. */
  async remove(keys) {
    for (const key of keys) this.#memory.delete(key)
    await this.#transact('readwrite', (store) => keys.forEach((key) => store.delete(key))).catch(() => {})
  }

  /** Return the entries that any tab has put on disk, and those in the memory of this one. */
  async list() {
    const request = await this.#transact('readonly', (store) => store.getAll()).catch(() => ({ result: [] }))
    return [...request.result.filter(({ key }) => !this.#memory.has(key)), ...this.#memory.values()]
  }

  async #transact(mode, operate) {
    this.#database ??= this.#open()
    const database = await within(TIMEOUT_MS, this.#database.catch((error) => {
      this.#database = null // The next use tries again.
      throw error
    }))
    // A strict transaction completes when its data is on disk, and not in a cache that a power cut empties.
    const transaction = database.transaction(STORE, mode, { durability: 'strict' })
    const request = operate(transaction.objectStore(STORE))
    await within(TIMEOUT_MS, settled(transaction, 'oncomplete', 'onabort'))
    return request
  }

  async #open() {
    const request = indexedDB.open(this.#name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'key' })
    await settled(request, 'onsuccess', 'onerror')
    request.result.onclose = () => { this.#database = null }
    return request.result
  }
}

/** Do work while no other tab does work of this name. A browser that denies this page its locks lets all do it. */
export async function exclusively(name, work) {
  let hasBegun = false
  const begin = () => { hasBegun = true; return work() }
  try {
    return await globalThis.navigator.locks.request(name, begin) // The browser releases a lock if its tab dies.
  } catch (error) {
    if (hasBegun) throw error
    return work()
  }
}

const settled = (target, success, failure) => new Promise((resolve, reject) => {
  target[success] = resolve
  target[failure] = () => reject(target.error)
})
