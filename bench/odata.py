"""Measure queries beside the same SQL sent directly through pg8000.

``BENCH_RECORDS`` (1,000,000) point records with two logs each are inserted by Postgres itself.

- A page of 100 records of one employer and period, ordered by includedAt: the whole request beside
  its statement alone, in turns. The same with the logs expanded.
- The first page of all records beside page 5,000, reached through nextLinks, in turns.
- Parsing and translating that filter, not cached.
- ``$count=true`` and aggregations, beside handwritten SQL.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pg8000.native import Connection
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engines import Engines, engines
from bench.punches import random_id
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.query.parse_query import QueryLimits, parse_query
from chalicelib.odata.reads import ODataService
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings

RECORDS = int(os.environ.get("BENCH_RECORDS", "1000000"))
_PAIRS = 400
_PAGE = 5_000
_EMPLOYERS = 50
_ROOT = "http://localhost/odata"
_INTEGRATION = Principal(Role.INTEGRATION)

# Punches of a year, in the order of their instants, with two logs each.
_FILL = f"""
INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes, device_id,
    latitude, longitude, accuracy_meters, status, attempts, next_attempt_at, integrated_at,
    created_at, updated_at)
SELECT {random_id("at")}, 1 + n % 20000, 1 + n % {_EMPLOYERS}, at, -180, 'a1b2c3d4-e5f6-7890',
    -23.55052, -46.633308, 12.5,
    CASE WHEN n % 20 = 0 THEN 'REJECTED' ELSE 'INTEGRATED' END, 1, NULL,
    CASE WHEN n % 20 <> 0 THEN now() END, now(), now()
FROM (
    SELECT n, timestamptz '2026-01-01Z' + n * interval '365 days' / {RECORDS} AS at
    FROM generate_series(1, {RECORDS}) AS n
) AS punch
"""
_FILL_LOGS = """
INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt, status,
    http_status, latency_ms)
SELECT id, employer_id, employee_id, l + 1, l, CASE WHEN l = 0 THEN 'AWAITING' ELSE status END,
    CASE WHEN l = 1 THEN 200 END, 12
FROM point_record CROSS JOIN generate_series(0, 1) AS l
"""
_FILTER = (
    "employerId eq 7 and includedAt ge 2026-03-01T00:00:00Z and includedAt lt 2026-04-01T00:00:00Z"
)
_TYPICAL = [("$filter", _FILTER), ("$orderby", "includedAt"), ("$top", "100")]
_EXPANDED = [*_TYPICAL, ("$expand", "logs")]
_PER_DAY = (
    "compute(date(includedAt) as day)/groupby((employerId,day,status),aggregate($count as n))"
)
_HANDWRITTEN = """
SELECT employer_id, CAST(included_at AT TIME ZONE 'UTC' AS date) AS day, status, count(*)
FROM point_record {} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 100
"""

console = Console()
_Query = Sequence[tuple[str, str]]


class _Recording(ReadSession):
    """A session that keeps the last statement."""

    last: tuple[str, Sequence[str]] = ("", ())

    def row(
        self, sql: str, parameters: QueryParameters, until: float | None = None
    ) -> list[Any] | None:
        self.last = (sql, parameters)
        return super().row(sql, parameters, until)


def main() -> None:
    """Measure and print."""
    with engines() as stores:
        _fill(stores)
        reader = _Recording(stores.database, 60)
        service = ODataService(reader, Settings())
        with stores.database.transaction() as connection:
            connection.run("COMMIT")  # autocommit: no transaction around the statements
            _beside_statement(
                "a page of 100 by employer and period", _TYPICAL, service, reader, connection
            )
            _beside_statement("the same with $expand=logs", _EXPANDED, service, reader, connection)
            _last_page(service)
            _parsing()
            _aggregations(service, connection)
            connection.run("BEGIN")


def _fill(stores: Engines) -> None:
    started = time.monotonic()
    with stores.database.transaction() as connection:
        connection.run(_FILL)
        connection.run(_FILL_LOGS)
        connection.run("COMMIT")
        connection.run("VACUUM ANALYZE point_record, integration_log")
        connection.run("BEGIN")
    console.print(f"{RECORDS:,} records inserted, {time.monotonic() - started:.0f} s")


def _get(service: ODataService, path: str, pairs: _Query) -> str:
    return service.get(ODataRequest(_INTEGRATION, _ROOT, path, pairs, {})).body


def _beside_statement(
    title: str, pairs: _Query, service: ODataService, reader: _Recording, connection: Connection
) -> None:
    body = _get(service, "PointRecords", pairs)
    sql, parameters = reader.last
    (row,) = connection.execute_unnamed(sql, parameters).rows
    assert row[0] in body, "the bare statement must return the same JSON"
    whole, statement = _in_turns(
        lambda: _get(service, "PointRecords", pairs),
        lambda: connection.execute_unnamed(sql, parameters),
    )
    table = Table(title, "ms, median", "ratio", "at most")
    table.add_row("its statement alone", f"{statement:.2f}", "1", "")
    table.add_row("whole request", f"{whole:.2f}", f"{whole / statement:.2f}", "1.5")
    console.print(table)


def _last_page(service: ODataService) -> None:
    number = min(_PAGE, RECORDS // 100 - 1)
    pairs: _Query = []
    for _ in track(range(number - 1), "following links", console=console, transient=True):
        pairs = _next_query(_get(service, "PointRecords", pairs))
    first, far = _in_turns(
        lambda: _get(service, "PointRecords", []), lambda: _get(service, "PointRecords", pairs)
    )
    table = Table("a page of 100 of all records", "ms, median", "ratio", "at most")
    table.add_row("first", f"{first:.2f}", "1", "")
    table.add_row(f"page {number:,}", f"{far:.2f}", f"{far / first:.2f}", "1.2")
    console.print(table)


def _next_query(body: str) -> _Query:
    link = body.rsplit('"@odata.nextLink":"', 1)[1].partition('"')[0]
    return parse_qsl(urlsplit(link).query)


def _parsing() -> None:
    limits = QueryLimits(Bounds(2_000, 100), 5_000, 2)
    texts = {"$filter": _FILTER, "$orderby": "includedAt"}

    numbers = itertools.count()

    def parse() -> None:
        aliases = {"@n": str(next(numbers))}  # other aliases: no cache hit
        query = parse_query(texts, POINT_RECORD, aliases, limits)
        translator = Translator(QueryParameters(_INTEGRATION))
        for condition in query.conditions:
            translator.truth(condition)

    parse()
    (parsing_ms,) = _in_turns(parse)
    table = Table("parsing and translating that filter", "ms, median", "at most")
    table.add_row("not cached", f"{parsing_ms:.2f}", "0.5")
    console.print(table)


def _aggregations(service: ODataService, connection: Connection) -> None:
    month = "filter(includedAt ge 2026-03-01T00:00:00Z and includedAt lt 2026-04-01T00:00:00Z)/"
    in_month = (
        "WHERE included_at >= timestamptz '2026-03-01Z' AND included_at < timestamptz '2026-04-01Z'"
    )
    cases: list[tuple[str, _Query, str]] = [
        (
            "a page and $count=true of all records",
            [("$count", "true")],
            "SELECT count(*) FROM point_record",
        ),
        (
            "a page and $count=true by employer and period",
            [*_TYPICAL, ("$count", "true")],
            "SELECT count(*) FROM point_record WHERE employer_id = 7"
            + in_month.replace("WHERE", " AND"),
        ),
        ("punches per employer and day", [("$apply", _PER_DAY)], _HANDWRITTEN.format("")),
        (
            "the ten employees who punch most",
            [
                ("$apply", "groupby((employeeId),aggregate($count as n))"),
                ("$orderby", "n desc"),
                ("$top", "10"),
            ],
            "SELECT employee_id, count(*) AS n FROM point_record"
            " GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10",
        ),
        (
            "punches per employer and day of one month",
            [("$apply", month + _PER_DAY)],
            _HANDWRITTEN.format(in_month),
        ),
    ]
    table = Table("counting and grouping", "ms, median", "handwritten SQL, ms", "ratio")
    for name, pairs, sql in cases:
        whole, handwritten = _in_turns(
            partial(_get, service, "PointRecords", pairs),
            partial(connection.run, sql),
            pairs=7,
        )
        table.add_row(name, f"{whole:.1f}", f"{handwritten:.1f}", f"{whole / handwritten:.2f}")
    console.print(table)


def _in_turns(*actions: Callable[[], object], pairs: int = _PAIRS) -> list[float]:
    """Run the actions in turns; return the median of each, in ms."""
    times: list[list[float]] = [[] for _ in actions]
    for action in actions:
        action()
    for _ in range(pairs):
        for action, its_times in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            its_times.append((time.perf_counter() - started) * 1_000)
    return [statistics.median(each) for each in times]
