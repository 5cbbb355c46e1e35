"""How fast queries are answered, beside the same SQL run bare through pg8000.

On BENCH_RECORDS point records (1,000,000) with two logs each, filled in by Postgres itself:

- a page of 100 of one employer in a period, in the order of includedAt: whole, and its statement
  bare, pairs in turn; the same with the logs expanded into it;
- the first page of all records and the page 5,000 that nextLinks lead to, in turn;
- reading and translating that filter when it is not cached;
- ``$count=true``, and punches per employer and day, beside SQL written by hand.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pg8000.native import Connection
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engines import Engines, engines
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

# Punches of a year, in the order in which they come in; two logs for each.
_FILL = f"""
INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes, device_id,
    latitude, longitude, accuracy_meters, status, attempts, next_attempt_at, integrated_at,
    created_at, updated_at)
SELECT gen_random_uuid(), 1 + n % 20000, 1 + n % {_EMPLOYERS},
    timestamptz '2026-01-01Z' + n * interval '365 days' / {RECORDS}, -180, 'a1b2c3d4-e5f6-7890',
    -23.55052, -46.633308, 12.5,
    CASE WHEN n % 20 = 0 THEN 'REJECTED' ELSE 'INTEGRATED' END, 1, NULL,
    CASE WHEN n % 20 <> 0 THEN now() END, now(), now()
FROM generate_series(1, {RECORDS}) AS n
"""
_FILL_LOGS = """
INSERT INTO integration_log (point_id, attempt, status, http_status, latency_ms)
SELECT id, l, CASE WHEN l = 0 THEN 'AWAITING' ELSE status END, CASE WHEN l = 1 THEN 200 END, 12
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
_BY_HAND = """
SELECT employer_id, CAST(included_at AT TIME ZONE 'UTC' AS date) AS day, status, count(*)
FROM point_record {} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 100
"""

console = Console()
_Query = Sequence[tuple[str, str]]


class _Recording(ReadSession):
    """A reader that keeps the statement that it ran last."""

    last: tuple[str, Sequence[str]] = ("", ())

    def row(
        self, sql: str, parameters: QueryParameters, until: float | None = None
    ) -> list[Any] | None:
        self.last = (sql, parameters)
        return super().row(sql, parameters, until)


def main() -> None:
    """Measure and print."""
    with engines() as found:
        _fill(found)
        reader = _Recording(found.database, 60)
        service = ODataService(reader, Settings())
        with found.database.transaction() as connection:
            connection.run("COMMIT")  # bare: each statement by itself
            _beside_bare(
                "a page of 100 by employer and period", _TYPICAL, service, reader, connection
            )
            _beside_bare("the same, each with its logs", _EXPANDED, service, reader, connection)
            _far_away(service)
            _translated()
            _counted(service, connection)
            connection.run("BEGIN")


def _fill(found: Engines) -> None:
    started = time.monotonic()
    with found.database.transaction() as connection:
        connection.run(_FILL)
        connection.run(_FILL_LOGS)
        connection.run("COMMIT")
        connection.run("VACUUM ANALYZE point_record, integration_log")
        connection.run("BEGIN")
    console.print(f"{RECORDS:,} records filled in, {time.monotonic() - started:.0f} s")


def _get(service: ODataService, path: str, pairs: _Query) -> str:
    return service.get(ODataRequest(_INTEGRATION, _ROOT, path, pairs, {})).body


def _beside_bare(
    title: str, pairs: _Query, service: ODataService, reader: _Recording, connection: Connection
) -> None:
    body = _get(service, "PointRecords", pairs)
    sql, parameters = reader.last
    (row,) = connection.execute_unnamed(sql, parameters).rows
    assert row[0] in body, "the bare statement must return the same JSON"
    whole, bare = _in_turn(
        lambda: _get(service, "PointRecords", pairs),
        lambda: connection.execute_unnamed(sql, parameters),
    )
    table = Table(title, "ms, median", "ratio", "at most")
    table.add_row("its statement, bare", f"{bare:.2f}", "1", "")
    table.add_row("whole", f"{whole:.2f}", f"{whole / bare:.2f}", "1.5")
    console.print(table)


def _far_away(service: ODataService) -> None:
    number = min(_PAGE, RECORDS // 100 - 1)
    pairs: _Query = []
    for _ in track(range(number - 1), "following links", console=console, transient=True):
        pairs = _following(_get(service, "PointRecords", pairs))
    first, far = _in_turn(
        lambda: _get(service, "PointRecords", []), lambda: _get(service, "PointRecords", pairs)
    )
    table = Table("a page of 100 of all records", "ms, median", "ratio", "at most")
    table.add_row("first", f"{first:.2f}", "1", "")
    table.add_row(f"page {number:,}", f"{far:.2f}", f"{far / first:.2f}", "1.2")
    console.print(table)


def _following(body: str) -> _Query:
    link = body.rsplit('"@odata.nextLink":"', 1)[1].partition('"')[0]
    return parse_qsl(urlsplit(link).query)


def _translated() -> None:
    limits = QueryLimits(Bounds(2_000, 100), 2)
    texts = {"$filter": _FILTER, "$orderby": "includedAt"}

    numbers = itertools.count()

    def read() -> None:
        another = {"@n": str(next(numbers))}  # what was read with other aliases is read anew
        found = parse_query(texts, POINT_RECORD, another, limits)
        translator = Translator(QueryParameters(_INTEGRATION))
        for condition in found.conditions:
            translator.truth(condition)

    read()
    (took,) = _in_turn(read)
    table = Table("reading and translating that filter", "ms, median", "at most")
    table.add_row("not cached", f"{took:.2f}", "0.5")
    console.print(table)


def _counted(service: ODataService, connection: Connection) -> None:
    month = "filter(includedAt ge 2026-03-01T00:00:00Z and includedAt lt 2026-04-01T00:00:00Z)/"
    in_month = (
        "WHERE included_at >= timestamptz '2026-03-01Z' AND included_at < timestamptz '2026-04-01Z'"
    )
    asked: list[tuple[str, _Query, str]] = [
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
        ("punches per employer and day", [("$apply", _PER_DAY)], _BY_HAND.format("")),
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
            _BY_HAND.format(in_month),
        ),
    ]
    table = Table("counting and grouping", "ms, median", "SQL by hand, ms", "ratio")
    for name, pairs, by_hand in asked:
        whole, hand = _in_turn(
            lambda pairs=pairs: _get(service, "PointRecords", pairs),
            lambda by_hand=by_hand: connection.run(by_hand),
            pairs=7,
        )
        table.add_row(name, f"{whole:.1f}", f"{hand:.1f}", f"{whole / hand:.2f}")
    console.print(table)


def _in_turn(*actions: Callable[[], object], pairs: int = _PAIRS) -> list[float]:
    """Run the actions in turn and return the median of each, in milliseconds."""
    took: list[list[float]] = [[] for _ in actions]
    for action in actions:
        action()
    for _ in range(pairs):
        for action, found in zip(actions, took, strict=True):
            started = time.perf_counter()
            action()
            found.append((time.perf_counter() - started) * 1_000)
    return [statistics.median(each) for each in took]
