"""Measure whether years of data make anything slower.

Postgres itself inserts records and logs of the last five years, most of them of working hours, up
to each of ``SIZES`` (100000,1000000,10000000). At each size, in ms, the median of 31:

- adding 1,000 records of now;
- claiming and settling 500 of them;
- a page of 30 of one employer in a month of some years ago, and the same of this month;
- 100 records by their ids, of any month;
- the numbers of /health.

And the bytes on disk of a record with two log rows. The last column shows how much slower the
largest size is than the smallest.
"""

import json
import os
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from bench.engines import Engines, engines
from chalicelib.instant import month_of, to_text
from chalicelib.odata.plain_record import record_json
from chalicelib.odata.reads import ODataService
from chalicelib.odata.request import ODataRequest
from chalicelib.point_record import Status, parse, to_json
from chalicelib.postgres.claims import Claims, Sample, Settlement
from chalicelib.postgres.partitions import Month, keep_partitions
from chalicelib.postgres.point_records import Document, PointRecordStore
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from local.postgres import random_id

SIZES = [int(each) for each in os.environ.get("SIZES", "100000,1000000,10000000").split(",")]
_MONTHS = 60
_EMPLOYERS = 50
_REPEATS = 31
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
  AND NOT EXISTS (SELECT FROM integration_log AS log WHERE log.point_id = id)
"""
_SIZE = """
SELECT CAST(sum(pg_total_relation_size(inhrelid)) AS bigint) FROM pg_inherits
WHERE inhparent IN (CAST('point_record' AS regclass), CAST('integration_log' AS regclass))
"""
_SOME = "SELECT CAST(id AS text) FROM point_record TABLESAMPLE SYSTEM (1) LIMIT 10000"

console = Console()


# What the measurement of the size before has left waiting.
_SETTLE = """
UPDATE point_record SET status = 'INTEGRATED', next_attempt_at = NULL, integrated_at = now()
WHERE next_attempt_at IS NOT NULL
"""


def main() -> None:
    """Measure and print."""
    columns: list[dict[str, float]] = []
    with engines() as stores:
        months = _make_months(stores)
        filled = 0
        for size in SIZES:
            started = time.monotonic()
            _fill(stores, months, size - filled)
            filled = size
            console.print(f"{size:,} records, {time.monotonic() - started:.0f} s")
            columns.append(_measure(stores, months, size))
            table = Table("", *(f"{each:,}" for each in SIZES[: len(columns)]), "ratio")
            for name, first in columns[0].items():
                values = [each[name] for each in columns]
                ratio = f"{values[-1] / first:.2f}"
                table.add_row(name, *(f"{value:.1f}" for value in values), ratio)
            console.print(table)


def _make_months(stores: Engines) -> list[datetime]:
    """Make the partitions of all months, as if time had passed, and return the past months."""
    now = datetime.now(UTC)
    months = [month_of(now, plus=-back) for back in range(_MONTHS, 0, -1)]
    for month in months:
        keep_partitions(stores.database, month, _MONTHS)
    return months


def _fill(stores: Engines, months: list[datetime], count: int) -> None:
    with stores.database.transaction() as connection:
        connection.run(_SETTLE)  # each size has as many waiting records, which /health counts
    each = -(-count // len(months))
    for start in months:
        month = Month(start)
        with stores.database.transaction() as connection:
            connection.run(_FILL, month=start, count=each)
            connection.run(_FILL_LOGS, first=month.first, end=month.end)
    with stores.database.transaction() as connection:
        connection.run("COMMIT")
        connection.run("VACUUM ANALYZE point_record, integration_log")
        connection.run("BEGIN")


def _measure(stores: Engines, months: list[datetime], size: int) -> dict[str, float]:
    database = stores.database
    store = PointRecordStore(database)
    reader = ReadSession(database, 60)
    service = ODataService(reader, Settings())
    employer = Principal(Role.EMPLOYER, 7)
    with database.transaction() as connection:
        ((used,),) = connection.run(_SIZE)
        ids = [record_id for (record_id,) in connection.run(_SOME)]
    numbers = iter(range(size, size + 10**9))

    def documents() -> list[Document]:
        now = datetime.now(UTC)
        made = []
        for _ in range(_ADDED):
            number = next(numbers)
            at = now - timedelta(microseconds=number % 10**6)
            body = {
                "employeeId": 1 + number % 20_000,
                "employerId": 1 + number % _EMPLOYERS,
                "includedAt": to_text(at),
            }
            record = parse(body, now, clock_skew_s=60)
            made.append(Document(str(record.id), json.dumps(to_json(record))))
        return made

    def page(month: datetime) -> None:
        period = (
            f"employerId eq 7 and includedAt ge {to_text(month)}"
            f" and includedAt lt {to_text(month_of(month, plus=1))}"
        )
        query = [("$filter", period), ("$orderby", "includedAt"), ("$top", "30")]
        service.get(ODataRequest(employer, _ROOT, "PointRecords", query, {}))

    batches = iter([documents() for _ in range(_REPEATS + 1)])
    result = {"adding 1,000": _median(lambda: store.add(next(batches)))}
    result["claiming and settling 500"] = _claim_and_settle(stores)
    old = months[len(months) // 2]
    result["a page of an employer, an old month"] = _median(lambda: page(old))
    result["a page of an employer, this month"] = _median(lambda: page(datetime.now(UTC)))
    principal = Principal(Role.INTEGRATION)
    result["100 records by id"] = _median(
        lambda: [record_json(reader, each, principal) for each in random.sample(ids, 100)]
    )
    result["/health"] = _median(lambda: store.stages(50_000))
    result["bytes a record"] = used / size
    return result


def _claim_and_settle(stores: Engines) -> float:
    claims = Claims(stores.database, run_lease_s=900, record_lease_s=900)
    claims.begin()
    sample = Sample(6.0, 1, _SETTLED, 0, 0, 100, 100, "adaptive")

    def turn() -> None:
        claimed = claims.claim(_SETTLED)
        assert len(claimed) == _SETTLED
        settlements = [
            Settlement(each.id, Status.INTEGRATED, 1, 1, 0, None, None, 200, 100)
            for each in claimed
        ]
        assert claims.flush(settlements, sample, {})

    result = _median(turn)
    claims.end([])
    return result


def _median(action: Callable[[], object]) -> float:
    """Return the median time of an action in ms, after one that warms up."""
    action()
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        action()
        times.append((time.perf_counter() - started) * 1_000)
    return statistics.median(times)
