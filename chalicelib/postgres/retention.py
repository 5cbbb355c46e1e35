"""End the retention of what is old: drop whole months, and delete the statistics of old runs.

A month is dropped once it is older than ``RETENTION_MONTHS``, all of its records are delivered or
parked, and all of them are in the journal. Otherwise it is held, and the reason is logged.

Invariants:

- A month is dropped in one transaction, under the lock under which partitions are made. A process
  that dies has dropped all of it or nothing, and of two processes one drops it.
- No month is dropped early because one clock is ahead: ages count from the earlier of two
  (``earlier_now``).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from pg8000.native import Connection

from chalicelib.postgres.connection import Database
from chalicelib.postgres.locks import BRIEF, retry_on_lock
from chalicelib.postgres.migrate import become_owner
from chalicelib.postgres.partitions import LOCK, Month, months_with_partitions

# By so much a phone's clock may be ahead: a punch may be replicated before its month has begun.
_CLOCK_MARGIN = timedelta(days=2)
# Most rows that one run deletes in one statement, which a run of the integrator waits for.
_DELETE_BATCH = 20_000
_STATEMENT_TIMEOUT_S = 60.0

_BEGIN_JOURNAL = "INSERT INTO journal_use DEFAULT VALUES ON CONFLICT DO NOTHING"
_END_JOURNAL = "DELETE FROM journal_use"
_JOURNAL_SINCE = "SELECT since FROM journal_use"

_DELETE_RUNS = """
WITH deleted AS (
    DELETE FROM integration_run
    WHERE id IN (
        SELECT id FROM integration_run
        WHERE at < CAST(:before AS timestamptz)
        ORDER BY at, id
        LIMIT CAST(:most AS integer)
    )
    RETURNING id
)
SELECT count(*) FROM deleted
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a check did.

    Attributes:
        dropped: the months whose records and logs are gone, such as ``2021_03``.
        held: the months that are too old and still there, with the reason.
        runs: how many rows of ``integration_run`` were deleted.
    """

    dropped: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    runs: int = 0


def earlier_now(database: Database, now: datetime) -> datetime:
    """Return the earlier of this machine's time and the database's: a drop cannot be undone.

    Args:
        database: a database.
        now: the time of this machine, aware.

    Raises:
        UnavailableError: Postgres cannot be reached.
    """
    with database.transaction(read_only=True) as connection:
        rows: list[list[datetime]] = connection.run("SELECT now()")
    return min(now, rows[0][0])


def end_retention(
    database: Database,
    now: datetime,
    *,
    retention_months: int,
    run_retention_days: int,
    is_journaled: bool,
) -> Ended:
    """Drop the months and delete the statistics that are too old. Idempotent.

    Args:
        database: a login that may act as the owner of the tables.
        now: the instant from which ages count.
        retention_months: how many months before the present one are kept.
        run_retention_days: how many days of the statistics of runs are kept.
        is_journaled: whether the stage has a journal now.

    Raises:
        UnavailableError: the tables were in use for too long, or Postgres cannot be reached. The
            next call continues.
    """
    with database.transaction() as connection:
        connection.run(_BEGIN_JOURNAL if is_journaled else _END_JOURNAL)
        since = next((since for (since,) in connection.run(_JOURNAL_SINCE)), None)
    oldest = Month(now, -retention_months)
    ended = Ended(runs=_delete_runs(database, now - timedelta(days=run_retention_days)))
    for month in months_with_partitions(database):
        if month.first >= oldest.first:
            continue
        if since is None:
            ended.held[month.name] = "the stage has no journal"
        elif month.start < since + _CLOCK_MARGIN:
            ended.held[month.name] = "the journal began later"
        elif reason := retry_on_lock(partial(_drop, database, month)):
            ended.held[month.name] = reason
        else:
            ended.dropped.append(month.name)
    return ended


def _drop(database: Database, month: Month) -> str:
    """Drop the partitions of a month; return why not, or an empty text."""
    # First without the exclusive lock, which keeps others waiting. In a transaction of its own: its
    # read locks last until it ends, and two checks that hold them would wait for each other's.
    with database.transaction(read_only=True) as connection:
        become_owner(connection)
        reason = _reason_to_hold(connection, month)
    if reason:
        return reason
    with database.transaction(
        statement_timeout_s=_STATEMENT_TIMEOUT_S, settings=BRIEF
    ) as connection:
        become_owner(connection)
        connection.run(LOCK)
        reason = _reason_to_hold(connection, month)
        if not reason:
            for table in ("integration_log", "point_record"):  # a log row refers to its record
                connection.run(f"DROP TABLE IF EXISTS {table}_{month.name}")
        return reason


def _reason_to_hold(connection: Connection, month: Month) -> str:
    """Return why the records of a month must stay, or an empty text if they may go."""
    bounds = {"first": month.first, "end": month.end}
    if connection.run(
        "SELECT FROM point_record WHERE next_attempt_at IS NOT NULL"
        " AND id >= CAST(:first AS uuid) AND id < CAST(:end AS uuid) LIMIT 1",
        **bounds,
    ):
        return "records wait for the legacy"
    if connection.run(
        "SELECT FROM delivery_outbox"
        " WHERE point_id >= CAST(:first AS uuid) AND point_id < CAST(:end AS uuid) LIMIT 1",
        **bounds,
    ):
        return "deliveries are not in the journal yet"
    return ""


def _delete_runs(database: Database, before: datetime) -> int:
    """Delete the statistics of runs before an instant, in batches; return their number."""
    deleted: int = 0
    while True:
        with database.transaction() as connection:
            ((batch,),) = connection.run(_DELETE_RUNS, before=before, most=_DELETE_BATCH)
        deleted += batch
        if batch < _DELETE_BATCH:
            return deleted
