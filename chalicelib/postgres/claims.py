"""The integrator's side of the replica: which run is active, which records it holds, how they fare.

Promises that a record is under one live lease at a time, that a lease whose run is gone is free
again, and that a run which has lost its lease changes nothing but what the legacy has confirmed.
Every instant is the database's own clock, so that no machine's clock matters.
"""

import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from chalicelib.point_record import Status
from chalicelib.postgres.connection import Database

_NAME = "integrator"


# Tuples, since there is one of each for every record: a third of the CPU of a data class to make,
# and a fifth to turn into JSON.
class Claimed(NamedTuple):
    """A record under this run's lease: what the legacy is sent, as JSON, and what went before."""

    id: str
    body: bytes
    attempts: int
    overloads: int


class Settlement(NamedTuple):
    """How an attempt ended and what that makes of the record.

    ``attempts`` and ``overloads`` are the record's from now on; ``wait_s`` is the time to the next
    attempt, null if there is none; ``attempt`` is the number of the one that ended.
    """

    id: str
    status: Status
    attempt: int
    attempts: int
    overloads: int
    wait_s: float | None
    log: str | None
    http_status: int | None
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One flush of a run, for those who plot it. Latencies are of the delivered, in ms.

    ``rejected`` counts the refused: that is what clients know the column as.
    """

    max_open_requests: float
    open_requests: int
    delivered: int
    failed: int
    rejected: int
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    policy: str


#   run A ── begin ── flush ── flush ── (dies)
#   run B ── held ─── held ─── held ──────────── lease over: begin
_BEGIN = """
INSERT INTO integrator_state AS state (name, run_id, leased_until)
VALUES (:name, CAST(:run_id AS uuid), now() + CAST(:lease_s AS float8) * interval '1 second')
ON CONFLICT (name) DO UPDATE
SET run_id = EXCLUDED.run_id, leased_until = EXCLUDED.leased_until
WHERE state.leased_until <= now()
RETURNING state.policy, CAST(state.limiter AS text)
"""

_END = """
UPDATE integrator_state SET leased_until = now()
WHERE name = :name AND run_id = CAST(:run_id AS uuid)
"""

# An INTEGRATING record that is due again was held by another run, which ended without settling it:
# the log says so, since nobody else will. What this run itself held for too long it has not sent.
# An array of ids, for with a join the planner may prefer to read the whole table. What comes back
# is a line a record, its body last, since no JSON has a line break in it: Postgres and Python spend
# a fraction on it of what rows cost them.
_CLAIM = """
WITH claimed AS (
    UPDATE point_record AS record
    SET status = 'INTEGRATING', claimed_by = CAST(:run_id AS uuid), updated_at = now(),
        next_attempt_at = now() + CAST(:lease_s AS float8) * interval '1 second'
    WHERE record.id = ANY (ARRAY(
        SELECT id
        FROM point_record
        WHERE next_attempt_at <= now()
          AND EXISTS (
              SELECT FROM integrator_state WHERE name = :name AND run_id = CAST(:run_id AS uuid)
          )
        ORDER BY next_attempt_at
        LIMIT CAST(:most AS integer)
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING new.*, old.status AS found, old.claimed_by AS holder
), abandoned AS (
    INSERT INTO integration_log (point_id, attempt, status, log)
    SELECT id, attempts + 1, 'ERROR', 'The run ended before the answer was known; it goes again.'
    FROM claimed
    WHERE found = 'INTEGRATING' AND holder <> CAST(:run_id AS uuid)
)
SELECT string_agg(concat_ws(' ', id, attempts, overloads, JSON_OBJECT(
    'id' VALUE id,
    'employeeId' VALUE employee_id,
    'employerId' VALUE employer_id,
    'includedAt' VALUE to_char(included_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'utcOffsetMinutes' VALUE utc_offset_minutes,
    'deviceId' VALUE device_id,
    'latitude' VALUE latitude,
    'longitude' VALUE longitude,
    'accuracyMeters' VALUE accuracy_meters
    ABSENT ON NULL RETURNING text
)), E'\n' ORDER BY created_at)
FROM claimed
"""

_NEXT_DUE = """
SELECT CAST(extract(epoch FROM next_attempt_at - now()) AS float8)
FROM point_record
WHERE next_attempt_at IS NOT NULL
ORDER BY next_attempt_at
LIMIT 1
"""

# One statement, since each is three turns to Postgres and back. The number makes a flush known for
# good: whoever holds the lease by then, it is not done again. It is null where nothing is settled.
# What the legacy has confirmed is true whoever holds the lease by now; all else only counts while
# the lease is this run's. The log says in either case what this run saw.
# A CASE, for the planner takes a guess at it: where its statistics know of nothing but INTEGRATED
# records it would expect to find none, and then compare each record with each settlement.
_FLUSH = """
WITH renewed AS (
    UPDATE integrator_state
    SET leased_until = now() + CAST(:lease_s AS float8) * interval '1 second',
        policy = CAST(:policy AS text),
        limiter = CAST(:limiter AS jsonb)
    WHERE name = :name AND run_id = CAST(:run_id AS uuid)
    RETURNING name
), flush AS (
    INSERT INTO integration_run (
        run_id, flush, max_open_requests, open_requests, delivered, failed, rejected,
        latency_p50_ms, latency_p95_ms, policy
    )
    SELECT
        CAST(:run_id AS uuid), CAST(:number AS integer), CAST(:max_open_requests AS float8),
        CAST(:open_requests AS integer), CAST(:delivered AS integer), CAST(:failed AS integer),
        CAST(:rejected AS integer), CAST(:latency_p50_ms AS integer),
        CAST(:latency_p95_ms AS integer), CAST(:policy AS text)
    WHERE CAST(:number AS integer) IS NOT NULL
    ON CONFLICT (run_id, flush) DO NOTHING
    RETURNING id
), settlement AS (
    SELECT *
    FROM jsonb_to_recordset(CAST(:settlements AS jsonb)) AS settlement (
        id uuid, status text, attempt integer, attempts integer, overloads integer,
        wait_s float8, log text, http_status smallint, latency_ms integer
    )
    WHERE EXISTS (SELECT FROM flush)
), settled AS (
    UPDATE point_record AS record
    SET status = settlement.status,
        attempts = settlement.attempts,
        overloads = settlement.overloads,
        next_attempt_at = now() + settlement.wait_s * interval '1 second',
        claimed_by = NULL,
        integrated_at = CASE WHEN settlement.status = 'INTEGRATED' THEN now() END,
        updated_at = now()
    FROM settlement
    WHERE record.id = settlement.id
      AND CASE
          WHEN record.status = 'INTEGRATED' THEN false
          WHEN settlement.status = 'INTEGRATED' THEN true
          ELSE record.claimed_by = CAST(:run_id AS uuid)
      END
), logged AS (
    INSERT INTO integration_log (point_id, attempt, status, log, http_status, latency_ms)
    SELECT id, attempt, status, log, http_status, latency_ms FROM settlement
)
SELECT count(*) FROM renewed
"""

# Unsent: as it was before the claim, AWAITING if it was never answered and ERROR otherwise.
_RELEASE = """
UPDATE point_record
SET status = CASE WHEN attempts = 0 AND overloads = 0 THEN 'AWAITING' ELSE 'ERROR' END,
    claimed_by = NULL, next_attempt_at = now(), updated_at = now()
WHERE claimed_by = CAST(:run_id AS uuid)
  AND NOT id = ANY (CAST(:held AS uuid[]))
"""


class Claims:
    """What one run may do. Leases are in seconds: the run's own, and that of each record."""

    def __init__(self, database: Database, *, run_lease_s: float, record_lease_s: float) -> None:
        self._database = database
        self.run_lease_s = run_lease_s
        self.record_lease_s = record_lease_s
        self.run_id = str(uuid.uuid4())
        self._flushes = 0

    def begin(self) -> tuple[str | None, dict[str, Any] | None] | None:
        """Become the active run.

        Returns:
            The last run's policy and what its limiter learned; None while another run is active.
        """
        with self._database.transaction() as connection:
            rows = connection.run(_BEGIN, name=_NAME, run_id=self.run_id, lease_s=self.run_lease_s)
        if not rows:
            return None
        policy, limiter = rows[0]
        return policy, json.loads(limiter) if limiter else None

    def claim(self, most: int) -> list[Claimed]:
        """Claim up to ``most`` due records, those due longest first; none if another run is active.

        Raises:
            UnavailableError: records may be claimed of which this run knows nothing; ``release``
                gives them back.
        """
        with self._database.transaction() as connection:
            rows = connection.run(
                _CLAIM, name=_NAME, run_id=self.run_id, lease_s=self.record_lease_s, most=most
            )
        return [_read_claimed(line) for line in (rows[0][0] or "").split("\n") if line]

    def next_due_s(self) -> float:
        """Return the seconds until a record is due; infinite if none is waiting."""
        with self._database.transaction() as connection:
            rows = connection.run(_NEXT_DUE)
        return float(rows[0][0]) if rows else math.inf

    def flush(
        self, settlements: Sequence[Settlement], sample: Sample, limiter: dict[str, Any]
    ) -> bool:
        """Settle what has ended and renew the run's lease, in one transaction.

        After an UnavailableError it must be called again with the same settlements: if they were
        committed and only the answer was lost, nothing is written twice.

        Returns:
            Whether this run is still the active one. If not, the settlements are written all the
            same, as far as they still count.

        Raises:
            UnavailableError: nothing, or possibly everything, was done.
        """
        number = self._flushes + 1 if settlements else None
        with self._database.transaction() as connection:
            rows = connection.run(
                _FLUSH,
                name=_NAME,
                run_id=self.run_id,
                lease_s=self.run_lease_s,
                limiter=json.dumps(limiter),
                number=number,
                settlements=json.dumps([each._asdict() for each in settlements]),
                **asdict(sample),
            )
        self._flushes = number or self._flushes
        return bool(rows[0][0])

    def release(self, held: Sequence[str]) -> None:
        """Give back every record that this run has claimed, but for those ``held``."""
        with self._database.transaction() as connection:
            connection.run(_RELEASE, run_id=self.run_id, held=list(held))

    def end(self, in_flight: Sequence[str]) -> None:
        """Give back what is not in flight, and the run's own lease."""
        with self._database.transaction() as connection:
            connection.run(_RELEASE, run_id=self.run_id, held=list(in_flight))
            connection.run(_END, name=_NAME, run_id=self.run_id)


def _read_claimed(line: str) -> Claimed:
    record_id, attempts, overloads, body = line.split(" ", 3)
    return Claimed(record_id, body.encode(), int(attempts), int(overloads))
