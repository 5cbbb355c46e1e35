// Says in a sentence what is wrong, from what GET /health tells an operator. It does no I/O.

const MINUTE_S = 60
// A record waits for a run of a schedule, which comes each minute.
const LATE_S = 3 * MINUTE_S

/**
 * Return what is wrong, the worst first: objects with `level` (bad or warn), the `key` of its sentence, the `values`
 * in it, the `reason` that a store gives or the legacy's last answer as `cause`, and `to`, where to act.
 */
export function diagnose({ buffer, replica }) {
  const found = []
  const say = (level, key, values = {}, more = {}) => found.push({ level, key, values, ...more })
  if (buffer.status !== 'ok') say('bad', 'bufferAway', {}, { reason: buffer.reason })
  if (replica.status !== 'ok') say('bad', 'postgresAway', {}, { reason: replica.reason })
  if (buffer.status === 'ok' && buffer.oldestAgeSeconds > LATE_S) {
    say('bad', 'notReplicated', { age: buffer.oldestAgeSeconds })
  }
  if (replica.status === 'ok') sayOfLegacy(replica, say)
  if (replica.parked) {
    const { lastParked } = replica
    say('warn', 'parked', { n: replica.parked }, { cause: lastParked?.log, to: '#/replay' })
  }
  if (replica.quarantined) say('warn', 'quarantined', { n: replica.quarantined }, { to: '#/quarantine' })
  return found
}

function sayOfLegacy(replica, say) {
  const waiting = Object.values(replica.waiting).reduce((sum, each) => sum + each, 0)
  const { failingSince, lastFailure } = replica
  const cause = lastFailure?.log
  if (waiting && failingSince) {
    const status = lastFailure?.httpStatus
    const values = { at: failingSince, status, n: waiting }
    const more = { cause, to: '#/limit' }
    if ([401, 403, 407].includes(status)) say('bad', 'credentialsRefused', values, more)
    else if (status >= 400) say('bad', 'legacyAnswers', values, more)
    else say('bad', 'legacyAway', values, more)
  } else if (waiting && replica.oldestAgeSeconds > LATE_S && !replica.lastMinute.delivered) {
    say('bad', 'notIntegrated', { age: replica.oldestAgeSeconds, n: waiting })
  } else if (waiting && replica.oldestAgeSeconds > 10 * MINUTE_S) {
    say('warn', 'backlog', { age: replica.oldestAgeSeconds, n: waiting })
  }
}
