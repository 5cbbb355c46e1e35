"""Lease due records to one run of the integrator; ``settlements`` writes how its attempts ended.

Invariants:

- A record is under at most one live lease.
- A lease expires on its own, so nothing has to clean up after a run that died.

Every instant comes from the database's clock, so no machine's clock matters. A record that was
claimed while that clock was ahead waits until it has caught up. For the lease of the run, see
``leases``.
"""

import json
import math
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from chalicelib.postgres.connection import Database
from chalicelib.postgres.leases import INTEGRATOR
from chalicelib.postgres.settlements import Sample, Settlement, settle


# A named tuple, for the reason that ``Settlement`` gives.
class Claimed(NamedTuple):
    """A record under this run's lease: the JSON body to send, and the counts of earlier calls."""

    id: str
    body: bytes
    attempts: int
    overloads: int


class LastRun(NamedTuple):
    """What the last run has left: its policy, its limiter's state, and the seconds since then."""

    policy: str | None
    learned: dict[str, Any] | None
    idle_s: float


# ``settlements`` stores the time with the limiter's state.
_LAST_RUN = """
SELECT
    policy,
    CAST(limiter AS text),
    greatest(0, extract(epoch FROM now()) - CAST(limiter ->> 'stored_at' AS float8))
FROM integrator_state
WHERE name = :name
"""

# Find due records, those due longest first, and lock them.
#
# An index of each month has what is due there, and the plan merges them.
_DUE = """
SELECT id
FROM point_record
WHERE next_attempt_at <= now()
  AND EXISTS (
      SELECT FROM integrator_state WHERE name = :name AND run_id = CAST(:run_id AS uuid)
  )
ORDER BY next_attempt_at
LIMIT CAST(:max_records AS integer)
FOR UPDATE SKIP LOCKED
"""

# Claim records that this transaction has locked, and return them as text.
#
# A claimed record that was INTEGRATING under another run was abandoned: that run ended without
# settling it. This statement writes the log row that the other run did not. A record that was
# INTEGRATING under this same run gets no such row: this run has not sent it.
#
# The ids are an array of values, not those of a subselect: so the planner takes the primary keys of
# only those months that the ids are of.
#
# The result is one line per record, with the JSON body last. JSON_OBJECT writes no line breaks.
# Text costs Postgres and Python a fraction of what rows cost.
_CLAIM = """
WITH claimed AS (
    UPDATE point_record AS record
    SET status = 'INTEGRATING', claimed_by = CAST(:run_id AS uuid), updated_at = now(),
        next_attempt_at = now() + CAST(:lease_s AS float8) * interval '1 second',
        log_count = log_count + CASE
            WHEN status = 'INTEGRATING' AND claimed_by <> CAST(:run_id AS uuid) THEN 1
            ELSE 0
        END
    WHERE record.id = ANY (CAST(:ids AS uuid[]))
    RETURNING new.*, old.status AS previous_status, old.claimed_by AS previous_run
), abandoned AS (
    INSERT INTO integration_log (
        point_id, employer_id, employee_id, number, attempt, status, log
    )
    SELECT id, employer_id, employee_id, log_count, attempts + 1, 'ERROR',
        'The run ended before the response arrived. The record is retried.'
    FROM claimed
    WHERE previous_status = 'INTEGRATING' AND previous_run <> CAST(:run_id AS uuid)
)
SELECT string_agg(concat_ws(' ', id, attempts, overloads, JSON_OBJECT(
    'id' VALUE id,
    'employeeId' VALUE employee_id,
    'employerId' VALUE employer_id,
    'includedAt' VALUE to_char(included_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'utcOffsetMinutes' VALUE utc_offset_minutes,
    'localDate' VALUE local_date,
    'localTime' VALUE local_time,
    'deviceId' VALUE device_id,
    'latitude' VALUE latitude,
    'longitude' VALUE longitude,
    'accuracyMeters' VALUE accuracy_meters
    ABSENT ON NULL RETURNING text
)), E'\n' ORDER BY created_at)
FROM claimed
"""

# Return the seconds until the next record is due; negative if one is due already.
_NEXT_DUE = """
SELECT CAST(extract(epoch FROM next_attempt_at - now()) AS float8)
FROM point_record
WHERE next_attempt_at IS NOT NULL
ORDER BY next_attempt_at
LIMIT 1
"""

# Return unsent records to the queue, with the status from before the claim: AWAITING if no attempt
# has ended yet, ERROR otherwise.
_RELEASE = """
UPDATE point_record
SET status = CASE WHEN attempts = 0 AND overloads = 0 THEN 'AWAITING' ELSE 'ERROR' END,
    claimed_by = NULL, next_attempt_at = now(), updated_at = now()
WHERE claimed_by = CAST(:run_id AS uuid)
  AND NOT id = ANY (CAST(:kept_ids AS uuid[]))
"""


class Claims:
    """The claims of one run of the integrator.

    Args:
        database: the database that has the records.
        run_lease_s: how long the run stays the active one without a flush.
        record_lease_s: how long a claimed record is reserved for the run.
        is_journaled: whether deliveries go to ``delivery_outbox``, for the journal.
    """

    def __init__(
        self,
        database: Database,
        *,
        run_lease_s: float,
        record_lease_s: float,
        is_journaled: bool = False,
    ) -> None:
        self._database = database
        self._is_journaled = is_journaled
        self.run_lease_s = run_lease_s
        self.record_lease_s = record_lease_s
        self.run_id = str(uuid.uuid4())
        self._flushes = 0

    def begin(self) -> LastRun | None:
        """Become the active run, unless another run is active.

        Returns:
            What the last run has left; None while another run is active.
        """
        with self._database.transaction() as connection:
            if not INTEGRATOR.take(connection, self.run_id, self.run_lease_s):
                return None
            ((policy, learned, idle_s),) = connection.run(_LAST_RUN, name=INTEGRATOR.name)
        return LastRun(policy, json.loads(learned) if learned else None, idle_s)

    def claim(self, max_records: int) -> list[Claimed]:
        """Claim up to ``max_records`` due records, those due longest first.

        Returns:
            The claimed records; none if this run is not the active one.

        Raises:
            UnavailableError: Postgres may have committed the claim, so this run may hold records
                that it does not know. ``release`` returns them to the queue.
        """
        with self._database.transaction() as connection:
            due = connection.run(
                _DUE, name=INTEGRATOR.name, run_id=self.run_id, max_records=max_records
            )
            if not due:
                return []
            rows = connection.run(
                _CLAIM,
                run_id=self.run_id,
                lease_s=self.record_lease_s,
                ids=[record_id for (record_id,) in due],
            )
        return [_parse_claimed(line) for line in (rows[0][0] or "").split("\n") if line]

    def next_due_s(self) -> float:
        """Return the seconds until the next record is due; infinite if no record is waiting."""
        with self._database.transaction() as connection:
            rows = connection.run(_NEXT_DUE)
        return float(rows[0][0]) if rows else math.inf

    def flush(
        self, settlements: Sequence[Settlement], sample: Sample, learned: dict[str, Any]
    ) -> bool:
        """Settle outcomes, each of another record, and renew the run's lease, in one transaction.

        After an UnavailableError, call again with the same settlements. If Postgres had committed
        them and only the response was lost, the second call writes nothing twice.

        Returns:
            Whether this run is still the active one. If not, deliveries are settled all the same,
            and so are other outcomes of records that this run still holds.

        Raises:
            UnavailableError: nothing is written, or everything is.
        """
        number = self._flushes + 1 if settlements else None
        with self._database.transaction() as connection:
            is_active = settle(
                connection,
                settlements,
                sample,
                number,
                name=INTEGRATOR.name,
                run_id=self.run_id,
                lease_s=self.run_lease_s,
                learned=learned,
                is_journaled=self._is_journaled,
            )
        self._flushes = number or self._flushes
        return is_active

    def release(self, kept_ids: Sequence[str]) -> None:
        """Return the records that this run has claimed to the queue, except ``kept_ids``."""
        with self._database.transaction() as connection:
            connection.run(_RELEASE, run_id=self.run_id, kept_ids=list(kept_ids))

    def end(self, in_flight: Sequence[str]) -> None:
        """End the run's lease, and return its records to the queue, except those in flight."""
        with self._database.transaction() as connection:
            connection.run(_RELEASE, run_id=self.run_id, kept_ids=list(in_flight))
            INTEGRATOR.end(connection, self.run_id)


def _parse_claimed(line: str) -> Claimed:
    record_id, attempts, overloads, body = line.split(" ", 3)
    return Claimed(record_id, body.encode(), int(attempts), int(overloads))
