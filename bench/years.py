"""Measure whether years of data make anything slower.

Each of ``SIZES`` (100000,1000000,10000000) is the number of records of a PostgreSQL of its own,
which fills itself: punches of the last five years, most of them of working hours, with their logs.
Then all sizes are measured in turn, so that a busy moment of the machine slows each. In ms, the
median of ``ROUNDS`` (31):

- adding 1,000 records of now;
- claiming and settling 500 of them;
- a page of 30 of one employer in a month of some years ago, and the same of this month;
- 100 records by their ids, of any month;
- the numbers of /health.

And the bytes on disk of a record with two log rows. In brackets, how much slower a size is than the
first.
"""

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.engines import postgres_with_tables
from bench.punches import random_id
from chalicelib.instant import month_of, to_text
from chalicelib.odata.plain_record import record_json
from chalicelib.odata.reads import ODataService
from chalicelib.odata.request import ODataRequest
from chalicelib.point_record import Status, parse, to_json
from chalicelib.postgres.claims import Claims
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document
from chalicelib.postgres.partitions import Month, keep_partitions
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.read_session import ReadSession
from chalicelib.postgres.settlements import Sample, Settlement
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings

SIZES = [int(each) for each in os.environ.get("SIZES", "100000,1000000,10000000").split(",")]
_MONTHS = 60
_EMPLOYERS = 50
_ROUNDS = int(os.environ.get("ROUNDS", "31"))
_ADDED, _SETTLED = 1_000, 500
_ROOT = "http://localhost/odata"

# Punches at 8, 12, 13 and 17 o'clock, give or take ten minutes, of the working days of a month.
_FILL = f"""
INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes, device_id,
    latitude, longitude, accuracy_meters, status, attempts, next_attempt_at, integrated_at,
    created_at, updated_at, log_count)
SELECT {random_id("at")}, 1 + n % 20000, 1 + n % {_EMPLOYERS}, at, -180, 'a1b2c3d4-e5f6-7890',
    -23.55052, -46.633308, 12.5, 'INTEGRATED', 1, NULL, at + interval '1 minute', at,
    at + interval '1 minute', 2
FROM (
    SELECT n, CAST(:month AS timestamptz) + CAST(random() * 26 AS integer) * interval '1 day'
        + (ARRAY[11, 15, 16, 20])[1 + n % 4] * interval '1 hour'
        + random() * interval '20 minutes' AS at
    FROM generate_series(1, CAST(:count AS integer)) AS n
) AS punch
"""
_FILL_LOGS = """
INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt, status,
    http_status, latency_ms, created_at)
SELECT id, employer_id, employee_id, l + 1, l,
    CASE WHEN l = 0 THEN 'AWAITING' ELSE 'INTEGRATED' END, CASE WHEN l = 1 THEN 200 END, 12,
    included_at
FROM point_record CROSS JOIN generate_series(0, 1) AS l
WHERE id >= CAST(:first AS uuid) AND id < CAST(:end AS uuid)
"""
_SIZE = """
SELECT CAST(sum(pg_total_relation_size(inhrelid)) AS bigint) FROM pg_inherits
WHERE inhparent IN (CAST('point_record' AS regclass), CAST('integration_log' AS regclass))
"""
_SOME = "SELECT CAST(id AS text) FROM point_record TABLESAMPLE SYSTEM (1) LIMIT 10000"

console = Console()


Action = Callable[[], object]


def main() -> None:
    """Measure and print."""
    with ExitStack() as stack:
        actions = []
        sizes_on_disk = []
        for size in SIZES:
            started = time.monotonic()
            database, months = stack.enter_context(_years_of_records(size))
            console.print(f"{size:,} records, {time.monotonic() - started:.0f} s")
            with database.transaction() as connection:
                ((used,),) = connection.run(_SIZE)
            sizes_on_disk.append(used / size)
            actions.append(stack.enter_context(_actions(database, months, size)))
        table = Table("", *(f"{each:,}" for each in SIZES))
        for name in actions[0]:
            table.add_row(name, *_ratios(_medians([each[name] for each in actions])))
        table.add_row("bytes a record", *_ratios(sizes_on_disk))
        console.print(table)


def _medians(actions: list[Action]) -> list[float]:
    """Return the median time of each action in ms. They take turns, after one that warms up."""
    times: list[list[float]] = [[] for _ in actions]
    for number in range(_ROUNDS + 1):
        for action, taken in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            if number:
                taken.append((time.perf_counter() - started) * 1_000)
    return [statistics.median(each) for each in times]


def _ratios(values: list[float]) -> Iterator[str]:
    yield f"{values[0]:.1f}"
    for value in values[1:]:
        yield f"{value:.1f} ({value / values[0]:.2f})"


@contextmanager
def _years_of_records(count: int) -> Iterator[tuple[Database, list[datetime]]]:
    """Yield a database with records of the past months, and these months."""
    now = datetime.now(UTC)
    months = [month_of(now, plus=-back) for back in range(_MONTHS, 0, -1)]
    with tempfile.TemporaryDirectory() as home, postgres_with_tables(Path(home)) as (_, database):
        for start in months:
            keep_partitions(database, start, _MONTHS)  # as if time had passed

        def fill(start: datetime) -> None:
            month = Month(start)
            with database.transaction() as connection:
                connection.run(_FILL, month=start, count=-(-count // len(months)))
                connection.run(_FILL_LOGS, first=month.first, end=month.end)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, months))
        with database.transaction() as connection:
            connection.run("COMMIT")
            connection.run("VACUUM ANALYZE point_record, integration_log")
            connection.run("BEGIN")
        yield database, months


@contextmanager
def _actions(database: Database, months: list[datetime], size: int) -> Iterator[dict[str, Action]]:
    """Yield what is measured, by name."""
    store = PointRecordStore(database)
    reader = ReadSession(database, 60)
    service = ODataService(reader, Settings())
    employer, operator = Principal(Role.EMPLOYER, 7), Principal(Role.INTEGRATION)
    with database.transaction() as connection:
        ids = [record_id for (record_id,) in connection.run(_SOME)]
    old = months[len(months) // 2]
    # Ready before, so that only Postgres and the store are measured.
    batches = iter([_documents(size + number * _ADDED) for number in range(_ROUNDS + 1)])

    def page(month: datetime) -> None:
        period = (
            f"employerId eq 7 and includedAt ge {to_text(month)}"
            f" and includedAt lt {to_text(month_of(month, plus=1))}"
        )
        query = [("$filter", period), ("$orderby", "includedAt"), ("$top", "30")]
        service.get(ODataRequest(employer, _ROOT, "PointRecords", query, {}))

    claims = Claims(database, run_lease_s=900, record_lease_s=900)
    claims.begin()
    sample = Sample(6.0, 1, _SETTLED, 0, 0, 100, 100, "adaptive")

    def claim_and_settle() -> None:
        claimed = claims.claim(_SETTLED)
        assert len(claimed) == _SETTLED
        settlements = [
            Settlement(each.id, Status.INTEGRATED, 1, 1, 0, None, None, 200, 100)
            for each in claimed
        ]
        assert claims.flush(settlements, sample, {})

    yield {
        "adding 1,000": lambda: store.add(next(batches)),
        "claiming and settling 500": claim_and_settle,
        "a page of an employer, an old month": lambda: page(old),
        "a page of an employer, this month": lambda: page(datetime.now(UTC)),
        "100 records by id": lambda: [
            record_json(reader, each, operator) for each in random.sample(ids, 100)
        ],
        "/health": lambda: store.stages(50_000),
    }
    claims.end([])


def _documents(first: int) -> list[Document]:
    """Return records of now, each of another employee than those of other numbers nearby."""
    now = datetime.now(UTC)
    made = []
    for number in range(first, first + _ADDED):
        body = {
            "employeeId": 1 + number % 20_000,
            "employerId": 1 + number % _EMPLOYERS,
            "includedAt": to_text(now - timedelta(microseconds=number % 10**6)),
        }
        record = parse(body, now, clock_skew_s=60)
        made.append(Document(str(record.id), json.dumps(to_json(record))))
    return made
