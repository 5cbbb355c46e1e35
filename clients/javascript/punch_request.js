// Posts punches once, and says what the answer means for each of them.

/**
 * Post punches and return the answer, of any status.
 *
 * Throws if there is no answer in time: the service may have stored the punches or not.
 */
export async function postPunches(url, token, punches, timeoutMs) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(punches),
    signal: AbortSignal.timeout(timeoutMs),
    redirect: 'error', // The login page of a Wi-Fi is no answer of the service.
  })
  const { status, headers } = response
  const body = await response.json().catch(() => null) // A gateway's page, or an answer that broke off.
  const answeredAt = Date.parse(headers.get('Date'))
  return {
    results: status === 207 && body?.length === punches.length ? [...body] : null,
    error: body?.error ?? { message: `The answer has the status ${status} and no error of the service.` },
    retryAfterMs: waitMs(headers.get('Retry-After'), answeredAt),
    clockOffsetMs: Number.isNaN(answeredAt) ? null : answeredAt - Date.now(),
  }
}

/** Return how long a Retry-After, in seconds or a date, asks to wait: 0 if there is none, or its date has passed. */
const waitMs = (text, answeredAt) => (
  /^\d+$/.test(text) ? text * 1_000 : Math.max(0, Date.parse(text) - answeredAt || 0))

/** Return whether a result says that this very punch is stored. A proxy may answer anything. */
export const isAccepted = (result, punch) => [200, 201].includes(result?.status)
  && result.record?.employeeId === punch.employeeId && result.record.employerId === punch.employerId
  && Date.parse(result.record.includedAt) === Date.parse(punch.includedAt)

/** Return what a promise returns, or throw if that takes longer. */
export const within = (milliseconds, promise) => Promise.race([promise, new Promise((_, reject) => {
  AbortSignal.timeout(milliseconds).onabort = ({ target }) => reject(target.reason)
})])
