"""Keep the partitions of ``point_record`` and ``integration_log``: one of each a month.

Invariants:

- A record and its log rows are in the partitions of the same month: that of the record's id.
- The partitions of this month and the next ones exist before the first record of that month. A
  record of a month without partitions is in the default ones until ``keep_partitions`` moves it.
- A month is made in one transaction, under a lock that waits for other statements and keeps them
  out. A process that dies leaves all of it or nothing, and no statement sees half of it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from pg8000.native import Connection

from chalicelib.instant import month_of
from chalicelib.postgres.connection import Database
from chalicelib.postgres.locks import BRIEF, retry_on_lock
from chalicelib.postgres.migrate import become_owner
from chalicelib.record_id import first_id, milliseconds_of

# Months to make ahead. If every run fails for as long, records go to the default partitions.
_AHEAD = 2
# Every statement locks the tables before it reads which partitions they have.
LOCK = "LOCK TABLE ONLY point_record, ONLY integration_log IN ACCESS EXCLUSIVE MODE"
# Moving a month of records out of the default partition may take minutes.
_STATEMENT_TIMEOUT_S = 300.0
# Autovacuum does not analyze a partitioned table, only its partitions. Plans of joins and of groups
# need the statistics of the whole.
_ANALYZE_EVERY = "1 hour"

# Tell which months have partitions, and whether the statistics of the tables are old.
_STATE = f"""
SELECT
    ARRAY(SELECT right(relname, 7) FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
          WHERE inhparent = CAST('point_record' AS regclass)),
    NOT EXISTS (SELECT FROM pg_stat_all_tables WHERE relid = CAST('point_record' AS regclass)
                AND last_analyze > now() - interval '{_ANALYZE_EVERY}')
"""
# Find the record of the default partition with the least id from a bound on.
_NEXT_UNPARTITIONED = """
SELECT CAST(id AS text) FROM point_record_default
WHERE id >= CAST(:first AS uuid) AND id < CAST(:end AS uuid)
ORDER BY id LIMIT 1
"""
_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = CAST(:relation AS regclass)
  AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
_KEYS = {"point_record": "id", "integration_log": "point_id"}


class Month:
    """A calendar month in UTC, and the bounds of its ids."""

    def __init__(self, instant: datetime, plus: int = 0) -> None:
        self.start = month_of(instant, plus)

    @property
    def name(self) -> str:
        """The month in the names of its partitions, such as ``2026_11``."""
        return f"{self.start:%Y_%m}"

    @property
    def first(self) -> str:
        """The lower bound of the month's ids."""
        return str(first_id(self.start))

    @property
    def end(self) -> str:
        """The bound below which the month's ids are."""
        return str(first_id(month_of(self.start, plus=1)))


def keep_partitions(database: Database, now: datetime, retention_months: int) -> list[str]:
    """Make the partitions that are missing, and return the names of their months.

    These are the present month and the next ones, and each month since the retention began of
    which the default partition has records.

    Raises:
        UnavailableError: the tables were in use for too long, or Postgres cannot be reached. What
            is missing is made by the next call.
    """
    with database.transaction() as connection:
        ((existing, is_unanalyzed),) = connection.run(_STATE)
    made = [
        month.name
        for month in _missing(database, now, retention_months, set(existing))
        if retry_on_lock(partial(_make_month, database, month))
    ]
    if made or is_unanalyzed:
        with database.transaction(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            become_owner(connection)
            # ONLY is of the table that it precedes, not of those after it.
            connection.run("ANALYZE ONLY point_record, ONLY integration_log")
    return made


def months_with_partitions(database: Database) -> list[Month]:
    """Return the months that have partitions, the oldest first.

    Raises:
        UnavailableError: Postgres cannot be reached.
    """
    with database.transaction() as connection:
        ((names, _),) = connection.run(_STATE)
    starts = [
        datetime(int(name[:4]), int(name[5:]), 1, tzinfo=UTC)
        for name in sorted(names)
        if name != "default"
    ]
    return [Month(start) for start in starts]


def _missing(
    database: Database, now: datetime, retention_months: int, existing: set[str]
) -> Iterator[Month]:
    """Yield the months to make: those ahead, then those of records in the default partition."""
    for ahead in range(_AHEAD + 1):
        month = Month(now, ahead)
        if month.name not in existing:
            yield month
    first, end = Month(now, -retention_months).first, Month(now, _AHEAD).end
    while True:
        with database.transaction() as connection:
            rows = connection.run(_NEXT_UNPARTITIONED, first=first, end=end)
        if not rows:
            return
        ((found,),) = rows
        month = Month(datetime.fromtimestamp(milliseconds_of(found) / 1_000, UTC))
        yield month
        first = month.end


def _make_month(database: Database, month: Month) -> bool:
    with database.transaction(
        statement_timeout_s=_STATEMENT_TIMEOUT_S, settings=BRIEF
    ) as connection:
        become_owner(connection)
        return _make(connection, month)


def _make(connection: Connection, month: Month) -> bool:
    """Make the partitions of a month, and move its rows out of the default partitions.

    Return False if another process has made them meanwhile.
    """
    connection.run(LOCK)
    ((relation,),) = connection.run(
        "SELECT to_regclass(CAST(:name AS text))", name=f"point_record_{month.name}"
    )
    if relation is not None:
        return False
    columns = {}
    for table, key in reversed(_KEYS.items()):  # log rows first: they refer to the records
        ((columns[table],),) = connection.run(_COLUMNS, relation=table)
        connection.run(
            f"CREATE TEMPORARY TABLE moved_{table} ON COMMIT DROP AS SELECT {columns[table]}"
            f" FROM {table}_default WHERE {key} >= '{month.first}' AND {key} < '{month.end}'"
        )
        connection.run(
            f"DELETE FROM {table}_default WHERE {key} >= '{month.first}' AND {key} < '{month.end}'"
        )
    for table in _KEYS:
        connection.run(
            f"CREATE TABLE {table}_{month.name} PARTITION OF {table}"
            f" FOR VALUES FROM ('{month.first}') TO ('{month.end}')"
        )
    # As 0007_statistics.sql says; a partitioned table has no such parameters.
    connection.run(
        f"ALTER TABLE point_record_{month.name} SET ("
        "autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000)"
    )
    connection.run(
        f"ALTER TABLE integration_log_{month.name}"
        f" ADD CONSTRAINT integration_log_{month.name}_point_fkey"
        f" FOREIGN KEY (point_id) REFERENCES point_record_{month.name} (id)"
    )
    for table in _KEYS:
        connection.run(
            f"INSERT INTO {table} ({columns[table]}) SELECT {columns[table]} FROM moved_{table}"
        )
    return True
