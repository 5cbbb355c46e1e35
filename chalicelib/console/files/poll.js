// Repeats a request while the page is visible, and less often while it fails.
const LONGEST_MS = 60_000

/**
 * Call an asynchronous function at once, and then every so many milliseconds, until the signal aborts; return what ends
 * it before.
 *
 * A hidden page asks for nothing, and asks at once when it is shown again. After an error the wait doubles, up to a
 * minute; an answer that says when to come back (Retry-After) is obeyed.
 */
export function poll(signal, work, everyMs, onError = () => {}) {
  let isOver = false
  let timer = null
  let failures = 0
  let isBusy = false

  async function turn() {
    clearTimeout(timer)
    timer = null
    if (document.hidden || isBusy || isOver) return
    isBusy = true
    let waitMs = everyMs
    try {
      await work()
      failures = 0
    } catch (error) {
      if (isOver) return
      failures += 1
      const doubledMs = Math.min(LONGEST_MS, Math.max(everyMs, 1_000) * 2 ** (failures - 1))
      waitMs = Math.max(doubledMs * (0.75 + Math.random() / 2), (error.retryAfter ?? 0) * 1_000)
      onError(error)
    } finally {
      isBusy = false
    }
    timer = setTimeout(turn, waitMs)
  }

  const onVisible = () => { if (!document.hidden) turn() }
  document.addEventListener('visibilitychange', onVisible)
  addEventListener('retry-now', turn)
  signal.addEventListener('abort', stop)
  turn()
  return stop

  function stop() {
    isOver = true
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', onVisible)
    removeEventListener('retry-now', turn)
  }
}
