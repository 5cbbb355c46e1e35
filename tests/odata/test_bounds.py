"""The size of computed values, and the time and memory that the database spends, are limited."""

import json
import sys
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest

from bench.punches import random_id
from chalicelib.errors import InvalidError, UnavailableError
from chalicelib.odata.pending import PendingRecords
from chalicelib.odata.reads import ODataService
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.router import Router
from chalicelib.odata.sql.complexity import weighted_parts
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from local.postgres import Postgres
from tests.conftest import connect, create_database
from tests.support.odata.client import ROOT, Client
from tests.support.tokens import INTEGRATION


def nested_calls(times: int, text: str, name: str = "concat") -> str:
    for _ in range(times):
        text = f"{name}({text},{text})"
    return text


# A number of 1,000 digits, multiplied by itself: a Decimal grows as a string does.
_PRODUCT = " mul ".join(["@x"] * 97)
_NUMBER = ("@x", f"{'9' * 997}.5")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("$compute", f"{nested_calls(4, 'log')} as c"),
        ("$compute", f"{nested_calls(3, 'log')} as c,{nested_calls(3, 'log')} as d"),
        ("$compute", "log as a,concat(a,a) as b,concat(b,b) as c,concat(c,c) as d"),
        ("$compute", f"{_PRODUCT} as d,cast(d,Edm.String) as s"),
        ("$filter", f"-({_PRODUCT}) gt 1"),
        ("$filter", f"length({nested_calls(4, 'log')}) gt 1"),
        ("$filter", f"contains(toupper(case(number gt 1:{nested_calls(4, 'log')})),'x')"),
        ("$orderby", f"{nested_calls(3, 'log')},{nested_calls(3, 'log')}"),
        ("$apply", f"compute(concat(log,log) as a)/compute({nested_calls(3, 'a')} as b)"),
        (
            "$apply",
            f"aggregate({nested_calls(3, 'log')} with max as a,"
            f"{nested_calls(3, 'log')} with min as b)",
        ),
        ("$expand", f"point($expand=logs($compute={nested_calls(4, 'log')} as c))"),
    ],
)
def test_value_that_could_be_too_long_is_rejected(option: str, text: str, client: Client) -> None:
    with pytest.raises(InvalidError, match=r"the limit is 100000 \(character \d+ of"):
        client.get("IntegrationLogs", (option, text), _NUMBER)


def test_substring_counts_with_its_literal_length(client: Client) -> None:
    def substrings(length: str) -> tuple[str, str]:
        return "$compute", ",".join(f"substring(log,{n},{length}) as p{n}" for n in range(30))

    first = client.json("IntegrationLogs", substrings("3"), ("$filter", "length(log) gt 5"))[
        "value"
    ][0]
    assert [first[f"p{n}"] for n in range(3)] == [first["log"][n : n + 3] for n in range(3)]
    for long in ("5000", "attempt"):
        with pytest.raises(InvalidError, match="the limit is 100000"):
            client.get("IntegrationLogs", substrings(long))
    below_nothing = "case(false:substring(log,0,-900000)) as less"
    with pytest.raises(InvalidError, match="must not be negative"):
        client.get("IntegrationLogs", ("$compute", f"{below_nothing},{substrings('5000')[1]}"))


def test_long_literal_counts_at_each_use_of_its_alias(client: Client) -> None:
    text = ("@x", f"'{'x' * 10_000}'")
    named = [f"contains(deviceId,@x) or {each}" for each in ("true", "contains(status,@x)")]
    for each in named:
        client.get("PointRecords", ("$filter", each), text)
    with pytest.raises(InvalidError, match="counts one more for each 100 characters"):
        client.get("PointRecords", ("$filter", " or ".join(named * 8)), text)


def test_nesting_of_lambdas_is_limited(client: Client) -> None:
    def nested(times: int) -> tuple[str, str]:
        within = "x/point/logs/any(x:" * (times - 1) + "true" + ")" * times
        return "$filter", f"false and logs/any(x:{within}"

    assert client.json("PointRecords", nested(20))["value"] == []
    with pytest.raises(InvalidError, match="at most 20 levels"):
        client.get("PointRecords", nested(21))


def test_query_that_is_too_complex_to_plan_is_rejected(client: Client) -> None:
    """Without the limit, planning the last query takes 1.6 GB."""
    total = " add ".join(["latitude"] * 60)
    client.get("PointRecords", ("$filter", f"{total} gt 1 or {total} lt 2"))
    with pytest.raises(InvalidError, match="too complex"):
        client.get("PointRecords", ("$filter", " or ".join([f"({total} gt 1)"] * 16)))
    sums = ",".join(f"{total} as c{number}" for number in range(16))
    with pytest.raises(InvalidError, match="too complex"):
        client.get("PointRecords", ("$compute", sums), ("$orderby", total), ("$count", "true"))


@pytest.mark.parametrize(
    ("sql", "subselects", "tables"),
    [
        ("SELECT 1", 0, 0),
        ("SELECT (SELECT 1), (SELECT f(x)), f((SELECT 2))", 3, 0),
        ("SELECT (SELECT a FROM (SELECT (b) AS a) AS x WHERE EXISTS (SELECT 1)) AS y, (1)", 5, 0),
        ("SELECT '(SELECT ' || (SELECT ')' || '((' || (SELECT 1))", 3, 0),
        ("SELECT id FROM point_record AS t0 WHERE EXISTS (SELECT 1 FROM integration_log)", 1, 3),
        ("SELECT 'point_record' || (SELECT x FROM (SELECT x FROM integration_run))", 3, 3),
    ],
)
def test_subselects_and_tables_count_once_for_each_level(
    sql: str, subselects: int, tables: int
) -> None:
    assert weighted_parts(sql) == (subselects, tables)


def test_query_gets_no_more_than_the_remaining_time(filled: Any) -> None:
    reader = ReadSession(filled, 10)
    with pytest.raises(UnavailableError, match="time limit passed"):
        reader.row("SELECT 1", QueryParameters(INTEGRATION), time.monotonic())
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="Request less"):
        reader.row("SELECT pg_sleep(5)", QueryParameters(INTEGRATION), time.monotonic() + 0.2)
    assert 0.15 < time.monotonic() - started < 3


@pytest.fixture(scope="module")
def large_database(postgres_server: Postgres) -> str:
    """The URL of a database with many records and long logs."""
    url = create_database(postgres_server, "odata_bounds")
    database = connect(url)
    with database.transaction() as connection:
        connection.run(
            "INSERT INTO point_record (id, employee_id, employer_id, included_at,"
            " utc_offset_minutes, created_at, next_attempt_at)"
            f" SELECT {random_id('at')}, n, 7, at, 0, now(), now() FROM (SELECT n,"
            " timestamptz '2026-01-01Z' + n * interval '1 s' AS at"
            " FROM generate_series(1, 1200) AS n) AS punch"
        )
        connection.run(
            "INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt,"
            " status, log)"
            " SELECT id, employer_id, employee_id, n, 1, 'ERROR', repeat('x', 8000)"
            " FROM point_record CROSS JOIN generate_series(1, 3) AS n"
        )
        connection.run("ANALYZE")
    database.close()
    return url


def deeply_nested(levels: int) -> str:
    return f"logs/any(a:{'a/point/logs/all(a:' * levels}true{')' * (levels + 1)}"


_LONG = nested_calls(3, "log")
_MANY = range(20)
EXPENSIVE = {
    "long texts on a full page": ("IntegrationLogs", ("$compute", f"{_LONG} as c")),
    "long texts in each expansion": ("PointRecords", ("$expand", f"logs($compute={_LONG} as c)")),
    "long texts in expansions without pages": (
        "PointRecords",
        ("$expand", f"logs($compute={_LONG} as c;$filter=$it/id ne null)"),
    ),
    "long order keys": ("IntegrationLogs", ("$orderby", f"{_LONG} desc")),
    "long group keys": (
        "IntegrationLogs",
        ("$apply", f"compute({nested_calls(2, 'log')} as c)/groupby((c,pointId,number))"),
    ),
    "many conditions on the same logs": (
        "PointRecords",
        ("$filter", " and ".join(f"logs/any(a:a/number ne {n})" for n in _MANY)),
    ),
    "many conditions through the same record": (
        "IntegrationLogs",
        ("$filter", " and ".join(f"point/logs/any(a:a/number ne {-n})" for n in _MANY)),
    ),
    "deeply nested conditions": (
        "PointRecords",
        ("$filter", deeply_nested(10)),
    ),
    "a long sum": (
        "PointRecords",
        ("$filter", f"{' add '.join(['latitude'] * 95)} ne 1"),
    ),
    "a pattern with many optional parts": (
        "PointRecords",
        ("$filter", "matchesPattern(status,'(a?b?c?d?){249}x')"),
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="requires /proc of Linux")
@pytest.mark.parametrize("role", [Role.INTEGRATION, Role.EMPLOYER])
@pytest.mark.parametrize("query", EXPENSIVE)
def test_expensive_query_takes_limited_database_memory(
    query: str, role: Role, large_database: str
) -> None:
    """Without limits, long texts took 1 GB of a backend, and conditions on logs 3.5 GB."""
    database = connect(large_database)
    principal = INTEGRATION if role is Role.INTEGRATION else Principal(role, employer_id=7)
    client = Client(ODataService(ReadSession(database, 2), Settings()), principal)
    path, option = EXPENSIVE[query]
    try:
        with database.transaction() as connection:
            ((pid,),) = connection.run("SELECT pg_backend_pid()")
        before = peak_mb(pid)
        try:
            answer = client.get(path, ("$top", "1000"), option)
            assert len(answer.body) < 2_100_000
        except UnavailableError:
            pass  # a timeout is acceptable
        assert peak_mb(pid) - before < 150
    finally:
        database.close()


def test_batch_timeout_covers_all_its_queries(large_database: str) -> None:
    path, name, text = "PointRecords", "$filter", deeply_nested(19)
    requests = [
        {"id": str(number), "method": "get", "url": f"{path}?{name}={quote(text)}"}
        for number in range(9)
    ]
    settings = Settings(odata_timeout_s=0.6, odata_batch_timeout_s=1)
    database = connect(large_database)
    router = Router(ReadSession(database, 10), settings, cast(PendingRecords, None))
    started = time.monotonic()
    answer = router.respond(
        ODataRequest(
            INTEGRATION,
            ROOT,
            "$batch",
            [],
            {"content-type": "application/json"},
            "POST",
            json.dumps({"requests": requests}).encode(),
        )
    )
    database.close()
    assert 0.9 < time.monotonic() - started < 3
    assert [each["status"] for each in json.loads(answer.body)["responses"]] == [503] * 9


def peak_mb(pid: int) -> float:
    """Return the peak memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1_024
