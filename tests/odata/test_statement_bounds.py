"""A whole statement is bounded before it is sent: in tokens, and in the memory that it takes.

The bound of one expression does not bound a statement, which repeats expressions: at each use of a
computed property, in each scope of ``$expand``, in each condition on related rows.
"""

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.errors import InvalidError, UnavailableError
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.reads import ODataService
from chalicelib.odata.sql.complexity import MAX_MB
from chalicelib.odata.sql.filter import translate_filter
from chalicelib.postgres.connection import Database
from chalicelib.postgres.partitions import keep_partitions
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from local.postgres import Postgres
from tests.conftest import connect, create_database
from tests.odata.test_bounds import peak_mb
from tests.support.odata.client import Client
from tests.support.tokens import INTEGRATION

EMPLOYEE = Principal(Role.EMPLOYEE, employer_id=1, employee_id=1)
SHORT = "concat(concat(status,status),concat(status,status))"
SUMS = " add ".join(["latitude"] * 99)
Query = tuple[str, tuple[tuple[str, str], ...]]


def nested(function: str, times: int, text: str) -> str:
    return f"{function}(" * times + text + ")" * times


def sixfold(count: int) -> str:
    """Return a ``$compute`` that needs 2 KB to write ``count`` times six long expressions."""
    six = "concat(concat(a,a),concat(concat(a,a),concat(a,a)))"
    uses = "".join(f",b as c{n}" for n in range(count))
    return f"{nested('trim', 96, 'status')} as a,{six} as b{uses}"


def each_with(sum_of: str, count: int) -> str:
    return ",".join(f"{sum_of} as c{n}" for n in range(count))


def chains(levels: int, count: int) -> str:
    """Return conditions that are nested in each other, several times."""
    inner = "a/point/logs/any(a:" * (levels - 1) + "a/number ne 1" + ")" * (levels - 1)
    return " or ".join([f"logs/any(a:{inner})"] * count)


def get(path: str, *options: tuple[str, str]) -> Query:
    return path, options


# Queries that grow with a number.
GROWING: dict[str, Callable[[int], Query]] = {
    "uses of a computed property": lambda n: get("PointRecords", ("$compute", sixfold(n))),
    "uses in a nested scope": lambda n: get(
        "IntegrationLogs", ("$expand", f"point($compute={sixfold(n)};$expand=logs)")
    ),
    "short operands": lambda n: get("PointRecords", ("$compute", each_with(SHORT, n))),
    "sums": lambda n: get(
        "PointRecords", ("$compute", each_with(" add ".join(["attempts"] * 30), n))
    ),
    "components": lambda n: get(
        "PointRecords", ("$compute", each_with(" add ".join(["year(createdAt)"] * 20), n))
    ),
    "sums of fractions": lambda n: get(
        "PointRecords", ("$compute", each_with(" add ".join(["latitude"] * 20), n))
    ),
    "casts": lambda n: get(
        "PointRecords", ("$compute", each_with(" add ".join(["cast(status,Edm.Double)"] * 12), n))
    ),
    "search terms": lambda n: get("PointRecords", ("$search", " ".join(f"w{k}" for k in range(n)))),
    "conditions on logs": lambda n: get(
        "PointRecords", ("$filter", " and ".join(f"logs/any(a:a/number ne {k})" for k in range(n)))
    ),
    "conditions on records of logs": lambda n: get(
        "PointRecords", ("$filter", " or ".join(["logs/any(a:a/point/attempts ne 1)"] * n))
    ),
    "chains of conditions": lambda n: get(
        "PointRecords", ("$filter", chains(6, n)), ("$count", "true")
    ),
    "filters in a pipeline": lambda n: get(
        "IntegrationLogs",
        ("$apply", "/".join(["filter(point/logs/any(a:a/number ne 1))"] * min(n, 20))),
    ),
}


class SentError(Exception):
    """The statement would have been sent."""


class NoReader:
    """Sends no statement."""

    def row(self, *_: object) -> Any:
        raise SentError


def is_let_through(principal: Principal, path: str, options: tuple[tuple[str, str], ...]) -> bool:
    client = Client(ODataService(NoReader(), Settings()), principal)
    with pytest.raises((SentError, InvalidError)) as raised:
        client.get(path, *options)
    return isinstance(raised.value, SentError) or not re.search(
        "limit is 125 MB|at most", str(raised.value)
    )


@pytest.fixture(scope="module")
def five_years(postgres_server: Postgres) -> str:
    """The URL of a database with the partitions of as many months as are kept by default."""
    url = create_database(postgres_server, "odata_five_years")
    database = connect(url)
    for month in range(Settings().retention_months):
        keep_partitions(database, datetime(2021 + month // 12, month % 12 + 1, 15, tzinfo=UTC), 1)
    with database.transaction() as connection:
        connection.run("ANALYZE")  # as autovacuum does with the partitions of past months
    database.close()
    return url


@pytest.mark.skipif(sys.platform != "linux", reason="requires /proc of Linux")
@pytest.mark.parametrize("principal", [INTEGRATION, EMPLOYEE], ids=lambda each: each.role)
@pytest.mark.parametrize("kind", GROWING)
def test_largest_statement_that_is_sent_takes_limited_database_memory(
    kind: str, principal: Principal, five_years: str
) -> None:
    """400 search terms of an employee took 229 MB, thrice a computed property 525 MB."""
    low, high = 1, 256
    while low < high:  # invariant: the query of size low is let through
        middle = (low + high + 1) // 2
        if is_let_through(principal, *GROWING[kind](middle)):
            low = middle
        else:
            high = middle - 1
    path, options = GROWING[kind](low)
    database = connect(five_years)
    try:
        with database.transaction() as connection:
            ((pid,),) = connection.run("SELECT pg_backend_pid()")
        before = peak_mb(pid)
        client = Client(ODataService(ReadSession(database, 1), Settings()), principal)
        with suppress(UnavailableError):  # a timeout is acceptable
            client.get(path, ("$top", "1"), *options)
        assert peak_mb(pid) - before < 150, low
    finally:
        database.close()


@pytest.mark.parametrize("path", ["PointRecords", "PointRecords/$count"])
def test_statement_that_is_too_complex_is_rejected_with_the_limit(path: str) -> None:
    client = Client(ODataService(NoReader(), Settings()), EMPLOYEE)
    with pytest.raises(InvalidError, match=rf"could need \d+ MB .* the limit is {MAX_MB} MB"):
        client.get(path, ("$filter", f"{SUMS} gt 1 or {SUMS} lt 2"))


def test_filter_of_a_replay_is_bounded_like_a_query() -> None:
    bounds = Bounds(2_000, 100)
    assert translate_filter(chains(2, 5), INTEGRATION, bounds).sql
    with pytest.raises(InvalidError, match=rf"the limit is {MAX_MB} MB"):
        translate_filter(f"{SUMS} gt 1 or {SUMS} lt 2", INTEGRATION, bounds)


@pytest.mark.parametrize("option", [("$filter", chains(14, 12)), ("$search", "a " * 80)])
def test_query_of_too_many_tables_is_rejected(option: tuple[str, str]) -> None:
    """Each is planned with its partitions, of which there are as many as months."""
    client = Client(ODataService(NoReader(), Settings()), EMPLOYEE)
    with pytest.raises(InvalidError, match="at most 24 places"):
        client.get("PointRecords", option)


def test_tokens_of_a_query_are_counted_over_options_scopes_and_uses() -> None:
    def sent(*options: tuple[str, str], entities: str = "PointRecords") -> None:
        with pytest.raises(SentError):
            Client(ODataService(NoReader(), Settings())).get(entities, *options)

    def rejected(*options: tuple[str, str]) -> None:
        with pytest.raises(InvalidError, match=r"at most 5000 tokens \(ODATA_QUERY_TOKENS\)"):
            Client(ODataService(NoReader(), Settings())).get("PointRecords", *options)

    half = " and ".join(["attempts eq 1"] * 450)  # 1,799 tokens
    sent(("$filter", half), ("$orderby", f"({half})"))
    rejected(("$filter", half), ("$orderby", f"({half})"), ("$compute", f"{half} as a"))
    of_logs = half.replace("attempts", "attempt")
    rejected(("$filter", half), ("$expand", f"logs($filter={of_logs};$orderby=({of_logs}))"))
    ninth = " and ".join(["attempts eq 1"] * 60)
    uses = ",".join(f"a as a{n}" for n in range(20))
    rejected(("$compute", f"{ninth} as a,{uses}"))
    rejected(("$compute", ",".join(f"@a as a{n}" for n in range(25))), ("@a", ninth))


@pytest.mark.parametrize(
    ("path", "option"),
    [
        ("PointRecords", ("$filter", f"employeeId in ({','.join(map(str, range(900)))})")),
        (
            "PointRecords",
            (
                "$filter",
                " or ".join(f"(employeeId eq {n} and status eq 'ERROR')" for n in range(180)),
            ),
        ),
        ("PointRecords", ("$filter", " or ".join(f"contains(deviceId,'{n}')" for n in range(200)))),
        (
            "PointRecords",
            ("$filter", " and ".join(f"logs/any(a:a/number ne {n})" for n in range(20))),
        ),
        ("PointRecords", ("$search", " ".join(f"word{n}" for n in range(20)))),
        ("PointRecords", ("$search", " OR ".join(f"word{n}" for n in range(400)))),
        (
            "PointRecords",
            ("$compute", each_with("year(createdAt) mul 100 add month(createdAt)", 32)),
        ),
        ("IntegrationLogs", ("$expand", "point($expand=logs($orderby=number desc;$top=5))")),
    ],
)
def test_large_query_of_a_client_is_sent(path: str, option: tuple[str, str]) -> None:
    for principal in (INTEGRATION, EMPLOYEE):
        assert is_let_through(principal, path, (option,))


def test_statement_that_fails_is_not_in_the_log_of_the_server(
    client: Client, postgres_server: Postgres
) -> None:
    log = postgres_server.child.log
    start = log.stat().st_size
    with pytest.raises(InvalidError, match="divides by zero"):
        client.get("PointRecords", ("$filter", "1 div (attempts sub attempts) eq 7"))
    with log.open(encoding="utf-8") as file:
        file.seek(start)
        written = file.read()
    assert "division by zero" in written
    assert "SELECT" not in written


def test_temporary_files_of_a_query_are_limited(filled: Database) -> None:
    with filled.transaction() as connection:
        assert connection.run("SHOW temp_file_limit") == [["1GB"]]
