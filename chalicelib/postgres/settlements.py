"""Write how the attempts of a run of the integrator ended, and renew the run's lease.

Invariants:

- A flush takes effect once, even if it is repeated.
- A run that has lost its lease on a record may change the record only to confirm its delivery.
- Each outcome has a row in the log of its record, whether it changes the record or not. The status
  of the row is that of the record then: a late outcome does not seem to have changed it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from pg8000.native import Connection

from chalicelib.point_record import Status


# A named tuple, since a run makes one for every record. It takes a third of the CPU of a data class
# to construct, and a fifth to serialise as JSON.
class Settlement(NamedTuple):
    """How an attempt ended, and the record's new state.

    ``attempt`` is the number of the attempt that ended. ``attempts`` and ``overloads`` are the
    record's new counts. ``wait_s`` is the time until the next attempt; None if there is none.
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
    """The statistics of one flush: a row of ``integration_run``.

    Latencies are of deliveries, in ms. ``rejected`` counts REFUSED outcomes: the column and the
    OData property have that name.
    """

    max_open_requests: float
    open_requests: int
    delivered: int
    failed: int
    rejected: int
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    policy: str


# The beginning of a CASE: whether an outcome changes its record. RETURNING compares the old values,
# since the record has its new ones by then.
_EFFECT = (
    "CASE WHEN {0}.status <> 'INTEGRATED'"
    " AND (settlement.status = 'INTEGRATED' OR {0}.claimed_by = CAST(:run_id AS uuid))"
)
# Settle outcomes, log them, record the sample and renew the run's lease.
#
# One statement, since each statement costs three round trips to Postgres.
#
# The flush number makes a flush idempotent: a repeated number settles nothing, even if another run
# holds the lease by then. The number is null if there is nothing to settle.
#
# A delivery that the legacy has confirmed is written even if another run holds the lease by now.
# Any other outcome changes the record only while this run holds the record's lease. The log gets a
# row for every outcome, and a row that does not change the record says so.
#
# The log gets its numbers from log_count of the record, so each record is updated, and its lock
# keeps two runs from one number. An outcome without effect changes nothing else.
#
# The bounds of the ids are values, so that the planner takes the primary keys of only those months
# that the ids are of.
_FLUSH = """
WITH renewed AS (
    UPDATE integrator_state
    SET leased_until = now() + CAST(:lease_s AS float8) * interval '1 second',
        policy = CAST(:policy AS text),
        limiter = CAST(:limiter AS jsonb)
            || jsonb_build_object('stored_at', extract(epoch FROM now()))
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
    SET log_count = record.log_count + 1,
        status = {effect} THEN settlement.status ELSE record.status END,
        attempts = {effect} THEN settlement.attempts ELSE record.attempts END,
        overloads = {effect} THEN settlement.overloads ELSE record.overloads END,
        next_attempt_at = {effect}
            THEN now() + settlement.wait_s * interval '1 second' ELSE record.next_attempt_at END,
        claimed_by = {effect} THEN NULL ELSE record.claimed_by END,
        integrated_at = {effect}
            THEN CASE WHEN settlement.status = 'INTEGRATED' THEN now() END
            ELSE record.integrated_at END,
        updated_at = {effect} THEN now() ELSE record.updated_at END
    FROM settlement
    WHERE record.id = settlement.id
      AND record.id BETWEEN CAST(:first_id AS uuid) AND CAST(:last_id AS uuid)
    RETURNING settlement.*, record.employer_id, record.employee_id, record.log_count,
        record.status AS record_status,
        {had_effect} THEN log
            ELSE left(
                'Late, from a run that had lost the record. Its outcome was ' || settlement.status
                || '. ' || coalesce(log, ''), 8000)
        END AS log_text
), logged AS (
    INSERT INTO integration_log (
        point_id, employer_id, employee_id, number, attempt, status, log, http_status, latency_ms
    )
    SELECT
        id, employer_id, employee_id, log_count, attempt, record_status, log_text, http_status,
        latency_ms
    FROM settled
), outgoing AS (
    INSERT INTO delivery_outbox (point_id, delivered_at)
    SELECT id, now() FROM settlement
    WHERE CAST(:is_journaled AS boolean) AND status = 'INTEGRATED'
    ORDER BY id
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM renewed
""".format(effect=_EFFECT.format("record"), had_effect=_EFFECT.format("old"))


def settle(
    connection: Connection,
    settlements: Sequence[Settlement],
    sample: Sample,
    number: int | None,
    *,
    name: str,
    run_id: str,
    lease_s: float,
    learned: dict[str, Any],
    is_journaled: bool,
) -> bool:
    """Settle outcomes, and renew the run's lease. The caller owns the transaction.

    Args:
        connection: the connection.
        settlements: the outcomes, each of another record.
        sample: the statistics of the flush.
        number: the number of the flush in its run; None if there is nothing to settle.
        name: the name of the lease that all runs share.
        run_id: the run.
        lease_s: how long the run stays the active one without another flush.
        learned: what the limiter has learned, for the next run.
        is_journaled: whether deliveries go to ``delivery_outbox``.

    Returns:
        Whether the run is still the active one.
    """
    rows = connection.run(
        _FLUSH,
        name=name,
        run_id=run_id,
        lease_s=lease_s,
        limiter=json.dumps(learned),
        number=number,
        is_journaled=is_journaled,
        settlements=json.dumps([each._asdict() for each in settlements]),
        first_id=min((each.id for each in settlements), default=None),
        last_id=max((each.id for each in settlements), default=None),
        **asdict(sample),
    )
    return bool(rows[0][0])
