"""Hostile and random requests get a regular response, and nothing in them is executed."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.errors import (
    InvalidError,
    NotAcceptableError,
    NotFoundError,
    NotImplementedByServiceError,
    UnavailableError,
)
from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.settings import Settings
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet
from tests.support.odata.examples import EXAMPLES, thorough
from tests.support.odata.strategies.expressions import conditions
from tests.support.tokens import INTEGRATION

# CPU time of this process for one request; the database is another process. Half a
# second is usual, and several times as much on a busy machine that measures coverage.
MAX_CPU_S = 5.0
CLIENT_ERRORS = (InvalidError, NotFoundError, NotImplementedByServiceError, NotAcceptableError)

PAYLOADS = [
    "'; DROP TABLE point_record; --", "' OR '1'='1", "' OR 1=1 --", "') OR ('a'='a",
    "\\'; SELECT 1; --",
    "1; SELECT pg_sleep(10)", "$1", ":p1", "%(x)s", "{0}", "${id}", "E'\\x27'", "$$ OR TRUE $$",
    "\u02bc OR 1=1",
    "1)) UNION SELECT * FROM quarantine --", "/**/", "--", "\\", "\"", "`", "\u2019",
    "x'||pg_sleep(5)||'",
    "id) FROM pg_user --", "*", "; COPY point_record TO PROGRAM 'id'", "\r\n", "%00", "%27", "0x27",
]  # fmt: skip


def attempt(client: Client, path: str, *query: tuple[str, str], **headers: str) -> Any:
    """Send a request; return the response, or None if it is rejected with a proper error."""
    try:
        answer = client.get(path, *query, **headers)
    except CLIENT_ERRORS as error:
        if not error.message or "point_record AS" in error.message:
            pytest.fail(f"The message is empty or reveals SQL: {error.message}")
        return None
    assert answer.status in (200, 204)
    return answer


@pytest.mark.parametrize("payload", PAYLOADS)
def test_injection_payload_is_never_executed(payload: str, client: Client, data: DataSet) -> None:
    quoted = payload.replace("'", "''")
    count = str(len(data.records))
    inside = ("$filter", f"deviceId ne '{quoted}'")
    expected = sum(each.deviceId != payload for each in data.records)
    assert client.get("PointRecords/$count", inside).body == str(expected)
    assert client.get(
        "PointRecords/$count", ("$filter", "deviceId ne @x"), ("@x", f"'{quoted}'")
    ).body == (str(expected))
    for query in [
        ("$filter", payload), ("$filter", f"deviceId eq {payload}"), ("$filter",
        f"deviceId eq '{payload}'"),
        ("$filter", f"{payload} eq 1"), ("$filter", f"contains(deviceId,'{quoted}')"),
        ("$filter", f"matchesPattern(deviceId,'{quoted}')"), ("$filter",
        f"deviceId in ('{quoted}',null)"),
        ("$filter", f"logs/any({payload}:true)"), ("$filter", f"cast(id,{payload}) eq null"),
        ("$orderby", payload), ("$orderby", f"id {payload}"), ("$orderby",
        f"concat(deviceId,'{quoted}')"),
        ("$search", payload), ("$search", f"'{quoted}'"), ("$search", f'"{payload}"'),
        ("$compute", payload), ("$compute", f"id as {payload}"), ("$compute", f"{payload} as x"),
        ("$compute", f"concat(deviceId,'{quoted}') as x"), ("$select", f"id,{payload}"),
        ("$expand", payload), ("$expand", f"logs({payload})"), ("$expand", f"logs/{payload}"),
        ("$expand", f"logs($filter=log eq '{quoted}')"), ("$expand", f"logs($search={payload})"),
        ("$expand", f"logs($filter={payload};$orderby={payload})"), ("$expand", f"{payload}/logs"),
        ("$expand", f"logs(@{payload}=1)"), ("$expand", f"logs({payload}=1)"),
        ("$expand", f"logs($top={payload})"), ("$expand", f"logs($levels={payload})"),
        ("$expand", f"logs($compute=id as {payload};$select={payload})"),
        ("$select", payload), ("$top", payload), ("$skip", payload), ("$count", payload),
        ("$skiptoken", payload),
        ("$format", payload), (payload, payload), (f"${payload}", "1"), (f"@{payload}", "1"),
    ]:  # fmt: skip
        attempt(client, "PointRecords", query)
        attempt(client, "PointRecords/$count", query)
    for path in [
        payload, f"PointRecords({payload})", f"PointRecords(id={payload})",
        f"PointRecords({payload}=1)",
        f"PointRecords/{payload}", f"PointRecords({data.records[0].id})/{payload}",
        f"IntegrationLogs({payload})",
    ]:  # fmt: skip
        attempt(client, path)
    attempt(client, "PointRecords", accept=payload, prefer=payload)
    assert client.get("PointRecords/$count").body == count


_FRAGMENTS = [
    "status", "id", "attempts", "latitude", "deviceId", "logs", "point", "includedAt", "$it",
    "$this", "@a", "@b",
    " eq ", " ne ", " gt ", " in ", " and ", " or ", "not ", " add ", " div ", " mod ", " has ",
    "-", "(", ")",
    ",", "/", ":", "'", "''", "'x'", "1", "0", "1.5", "1e5", "null", "true", "2026-01-01",
    "12:00", "duration'P1D'",
    "any(", "all(", "l:", "$count", "/$filter(", "[", "]", "{", "\"", "contains(", "length(",
    "year(", "cast(",
    "case(", "substring(", "matchesPattern(", ";", "$filter=", "$search=", "$expand=", "$top=1",
    "$select=", "$compute=", "$orderby=", "$levels=", "max", "*", "$ref", " as x", " AND ", " NOT ",
    "logs(", "point(", "Edm.String", " asc", " desc", " ", "\t", "\n",
    "9" * 30, "\\", "%",
    "00000000-0000-0000-0000-000000000000", "2026-01-01T00:00:00Z", "é", "\U0001f600", "INF",
    "NaN", "now()",
]  # fmt: skip
_words = st.lists(st.sampled_from(_FRAGMENTS), max_size=14).map("".join)
_texts = st.one_of(_words, st.text(max_size=40), conditions("Record").map(lambda term: term.text))
_names = st.one_of(
    st.sampled_from(
        [
            "$filter",
            "$orderby",
            "$select",
            "$search",
            "$compute",
            "$expand",
            "$top",
            "$skip",
            "$count",
            "$format",
            "$skiptoken",
            "@a",
            "@b",
        ]
    ),
    st.text(max_size=8),
)
_paths = st.one_of(
    st.sampled_from(
        ["", "PointRecords", "IntegrationLogs", "PointRecords/$count", "IntegrationRuns"]
    ),
    st.lists(
        st.sampled_from(
            [
                "PointRecords",
                "IntegrationLogs(pointId=00000000-0000-8000-8000-000000000000,number=1)",
                "logs",
                "point",
                "status",
                "$value",
                "$count",
                "(",
                "%",
                "%2F",
            ]
        ),
        max_size=5,
    ).map("/".join),
    st.text(max_size=20),
)


@thorough
@given(filter_=_words, order=_words)
def test_random_expressions_are_answered_or_rejected(
    filter_: str, order: str, client: Client
) -> None:
    attempt(client, "PointRecords", ("$filter", filter_), ("@a", order), ("@b", "1"))
    attempt(client, "IntegrationLogs", ("$orderby", order), ("@a", filter_))
    attempt(client, "PointRecords", ("$expand", f"logs({filter_})"), ("$compute", order))
    attempt(client, "IntegrationLogs", ("$expand", filter_), ("$search", order))
    attempt(client, "PointRecords", ("$select", filter_), ("$search", order))


@settings(thorough, max_examples=max(150, EXAMPLES // 2))
@given(
    path=_paths,
    query=st.lists(st.tuples(_names, _texts), max_size=4),
    headers=st.fixed_dictionaries(
        {},
        optional={name: st.text(max_size=20) for name in ("accept", "prefer", "odata_maxversion")},
    ),
)
def test_random_requests_are_answered_or_rejected(
    path: str, query: list[tuple[str, str]], headers: dict[str, str], client: Client
) -> None:
    attempt(client, path, *query, **headers)


@thorough
@given(pattern=st.text(alphabet="ab.*+?()[]{}|^$\\-,1239dDwWsSbBuxckp<>=!:é\n'\"/", max_size=16))
def test_random_patterns_are_answered_or_rejected(pattern: str, client: Client) -> None:
    quoted = pattern.replace("'", "''")
    attempt(client, "PointRecords", ("$filter", f"matchesPattern(deviceId,'{quoted}')"))


def test_slow_query_times_out(filled: Database) -> None:
    client = Client(ODataService(ReadSession(filled, 0.05), Settings()))
    nested = "true"
    for _ in range(7):
        nested = f"logs/any(x:x/point/logs/all(y:y/number ne 0 and {nested}))"
    crossed = " or ".join(
        f"matchesPattern(concat(deviceId,'{'a' * 60}'),'^(a*)*(b|a*)*\\1{{0,9}}x{number}$')"
        for number in range(40)
    )
    for text in (nested, crossed):
        with suppress(UnavailableError, *CLIENT_ERRORS):
            client.get("PointRecords", ("$filter", text))
    with pytest.raises(UnavailableError, match="Request less"):
        ReadSession(filled, 0.05).row("SELECT pg_sleep(5)", QueryParameters(INTEGRATION))


# Expressions nested or chained a number of times.
GROWING: dict[str, Callable[[int], str]] = {
    "divby": lambda times: f"{' divby '.join(['latitude'] * times)} eq 1",
    "mod": lambda times: f"latitude {' '.join(['mod employeeId'] * times)} eq 1",
    "cast": lambda times: (
        "cast(cast(" * times + "deviceId" + ",Edm.Int32),Edm.String)" * times + " eq 'x'"
    ),
    "substring": lambda times: f"length({'substring(' * times}deviceId{',1)' * times}) eq 1",
}


class RecordingSession(ReadSession):
    """A read session that keeps its last statement."""

    sql = ""

    def row(
        self, sql: str, parameters: QueryParameters, until: float | None = None
    ) -> list[Any] | None:
        self.sql = sql
        return super().row(sql, parameters, until)


@pytest.mark.parametrize("kind", GROWING)
def test_statement_grows_linearly_with_the_expression(kind: str, filled: Database) -> None:
    session = RecordingSession(filled, 2)
    client = Client(ODataService(session, Settings()))
    sizes = []
    for times in (6, 12):
        client.get("PointRecords", ("$filter", GROWING[kind](times)))
        sizes.append(len(session.sql))
    assert sizes[0] < sizes[1] < 2 * sizes[0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("$expand", "logs($expand=point(" * 3_000),
        ("$expand", "logs($expand=point($expand=" * 500 + "logs" + "))" * 500),
        ("$expand", ",".join(["logs"] * 20_000)),
        ("$expand", "logs(" + ";".join(["$top=1"] * 20_000) + ")"),
        ("$expand", "logs($filter=" + "(" * 20_000),
        ("$expand", "logs($search=" + "(" * 20_000 + ")" * 20_000 + ")"),
        ("$expand", "logs($filter=" + "'" * 19_999),
        ("$expand", "logs(" + ";".join(f"@a{n}=@a{n + 1}" for n in range(2_000)) + ";$filter=@a0)"),
        ("$select", ",".join(["id"] * 50_000)),
        ("$select", "point/" * 20_000 + "id"),
        ("$select", "(" * 50_000),
        ("$compute", ",".join(f"1 as x{n}" for n in range(10_000))),
        ("$compute", "1" + " as x" * 20_000),
        ("$compute", " " * 50_000 + "as"),
        ("$search", " OR ".join(["x"] * 500)),
        ("$search", "NOT " * 20_000 + "x"),
        ("$search", "(" * 50_000),
        ("$search", '"' + "x " * 50_000 + '"'),
        ("$search", "'" * 50_001),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_huge_option_takes_little_cpu_time(option: str, value: str, client: Client) -> None:
    for path in ("PointRecords", "IntegrationLogs"):
        started = time.process_time()
        attempt(client, path, (option, value))
        assert time.process_time() - started < MAX_CPU_S
