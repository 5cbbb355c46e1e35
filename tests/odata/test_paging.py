"""Paging: all pages together are the sorted collection, for any order, page size and ``$top``."""

import base64
from collections.abc import Callable
from dataclasses import replace
from functools import cmp_to_key
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chalicelib.errors import GoneError, InvalidError
from chalicelib.odata.query.skip_token import SkipToken
from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import ReadSession
from chalicelib.settings import Settings
from tests.support.odata import dataset, reference
from tests.support.odata.client import ROOT, Client, key_of
from tests.support.odata.dataset import DataSet, Log
from tests.support.odata.examples import EXAMPLES, thorough
from tests.support.odata.strategies.expressions import orders
from tests.support.odata.strategies.term import Term

Key = tuple[Term, str]


def compare(keys: list[Key], left: Any, right: Any) -> int:
    """Compare by each key, then by id. Null is first in ascending order, last in descending."""
    for term, direction in keys:
        a, b = term.value({"it": left}), term.value({"it": right})
        sign = -1 if direction.strip() == "desc" else 1
        if a is None or b is None:
            if a is not b:
                return sign * (-1 if a is None else 1)
        elif a != b:
            return sign * (-1 if reference.compare("lt", a, b) else 1)
    last = keys[-1][1].strip() if keys else ""
    return (-1 if last == "desc" else 1) * (-1 if left.id < right.id else 1)


@settings(thorough, max_examples=max(20, EXAMPLES // 4))
@given(
    keys=st.lists(
        st.tuples(orders("Record"), st.sampled_from(["", " asc", " desc", " DESC "])), max_size=3
    ),
    size=st.integers(1, 70),
    top=st.one_of(st.none(), st.integers(0, 70)),
    skip=st.one_of(st.none(), st.integers(0, 70)),
)
def test_pages_of_a_random_order_contain_all_entities_in_order(
    keys: list[Key], size: int, top: int | None, skip: int | None, client: Client, data: DataSet
) -> None:
    keys = [(term, direction.lower()) for term, direction in keys]
    assume(not any(term.loses_offset for term, _ in keys))
    try:
        for term, _ in keys:
            for each in data.records:
                term.value({"it": each})
    except (reference.EvaluationError, OverflowError):
        assume(False)
    expected = sorted(data.records, key=cmp_to_key(lambda left, right: compare(keys, left, right)))
    expected = expected[skip or 0 :][:top]
    query = [("$select", "id"), ("$count", "true")]
    if keys:
        query.append(("$orderby", ",".join(f"{term.text}{direction}" for term, direction in keys)))
    query += [("$top", str(top))] if top is not None else []
    query += [("$skip", str(skip))] if skip is not None else []
    pages = client.pages("PointRecords", *query, prefer=f"maxpagesize={size}")
    ids = [each["id"] for page in pages for each in page]
    assert ids == [str(each.id) for each in expected]
    assert all(len(page) == size for page in pages[:-1])
    assert pages[-1] or len(pages) == 1


@pytest.mark.parametrize(
    ("query", "prefer", "sizes"),
    [
        ([], "", [10, 10, 10, 10, 10, 10]),
        ([("$top", "25")], "", [20, 5]),
        ([("$top", "15")], "", [15]),
        ([("$top", "0")], "", [0]),
        ([("$skip", "45")], "", [10, 5]),
        ([("$skip", "60")], "", [0]),
        ([("$skip", "99999999999999999999999")], "", [0]),
        ([("$top", "99999999999999999999999")], "", [20, 20, 20]),
        ([], "maxpagesize=7", [7] * 8 + [4]),
        ([], "odata.maxpagesize=50", [20, 20, 20]),
        ([], "respond-async, MaxPageSize=30", [20, 20, 20]),
        ([], "maxpagesize=0", [10] * 6),
        ([], "maxpagesize=-5", [10] * 6),
        ([], "maxpagesize=many", [10] * 6),
        ([("$top", "12")], "maxpagesize=5", [5, 5, 2]),
        ([("$top", "12")], "odata.maxpagesize=7,maxpagesize=5,maxpagesize=8", [5, 5, 2]),
    ],
)
def test_page_size_is_bounded_by_the_settings(
    query: list[tuple[str, str]],
    prefer: str,
    sizes: list[int],
    client_of: Callable[[Settings], Client],
) -> None:
    client = client_of(replace(Settings(), odata_page=10, odata_page_max=20))
    pages = client.pages("PointRecords", *query, prefer=prefer)
    assert [len(page) for page in pages] == sizes


def test_next_page_keeps_the_preferred_size(client: Client) -> None:
    first = client.json("PointRecords", prefer="maxpagesize=3")
    second = client.follow(first["@odata.nextLink"])
    assert len(second["value"]) == 3


def test_applied_preference_is_confirmed(client: Client) -> None:
    for preference in ("maxpagesize=3", "odata.maxpagesize=3"):
        response = client.get("PointRecords", prefer=preference)
        assert response.headers["Preference-Applied"] == preference
    assert "Preference-Applied" not in client.get("PointRecords", prefer="x=y").headers


def test_next_link_is_absolute_and_keeps_all_other_options(client: Client) -> None:
    response = client.json(
        "PointRecords",
        ("$filter", "attempts ge @n and deviceId ne '&=#+ é'"),
        ("@n", "0"),
        ("$select", "id"),
        ("$skip", "1"),
        ("$top", "9"),
        ("mine", "a b&c"),
        prefer="maxpagesize=2",
    )
    link = response["@odata.nextLink"]
    assert link.startswith(f"{ROOT}/PointRecords?")
    assert link.isascii()
    assert "top=" not in link
    assert "skip=" not in link
    assert "mine=a%20b%26c" in link
    next_page = client.follow(link)
    assert next_page["@odata.context"].endswith("#PointRecords(id)")
    assert not {each["id"] for each in next_page["value"]} & {
        each["id"] for each in response["value"]
    }


def test_every_page_has_the_total_count(client: Client, data: DataSet) -> None:
    response = client.json("PointRecords", ("$count", "true"), prefer="maxpagesize=25")
    counts = [response["@odata.count"]]
    while link := response.get("@odata.nextLink"):
        response = client.follow(link)
        counts.append(response["@odata.count"])
    assert counts == [len(data.records)] * 3


def test_long_order_keys_do_not_make_long_links(client: Client, data: DataSet) -> None:
    pages = client.pages("IntegrationLogs", ("$orderby", "log desc"), prefer="maxpagesize=3")
    ids = [key_of(each) for page in pages for each in page]
    expected = sorted(
        data.logs, key=lambda each: (each.log is not None, each.log or "", each.id), reverse=True
    )
    assert ids == [each.id for each in expected]
    first = client.json("IntegrationLogs", ("$orderby", "log desc"), prefer="maxpagesize=1")
    assert len(first["value"][0]["log"]) == 700
    assert len(first["@odata.nextLink"]) < 400


LONG_TEXTS = [f"{number:03}{'x' * 300}" for number in range(10)]


@pytest.fixture
def long_logs(database: Database) -> tuple[Client, str]:
    """A client, and the query of ten logs of one record with texts too long for a token."""
    record, *_ = dataset.build(1)
    record.logs = [
        Log(record.id, 100 + number, 1, "ERROR", text, None, None, record.createdAt, record)
        for number, text in enumerate(LONG_TEXTS)
    ]
    dataset.store([record], database)
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    return client, f"pointId eq {record.id} and number ge 100"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM integration_log WHERE number = 102",
        f"UPDATE integration_log SET log = '009{'x' * 300}z' WHERE number = 102",
        f"UPDATE integration_log SET log = '000{'x' * 299}' WHERE number = 102",
        "UPDATE integration_log SET log = 'short' WHERE number = 102",
        "UPDATE integration_log SET log = NULL WHERE number = 102",
    ],
)
@pytest.mark.parametrize("order", ["log", "log desc,number", "httpStatus,concat(log,'y')"])
def test_next_page_of_a_long_order_key_that_has_changed_is_gone(
    order: str, statement: str, long_logs: tuple[Client, str], database: Database
) -> None:
    client, condition = long_logs
    query = [("$filter", condition), ("$select", "number"), ("$orderby", order)]
    size = 8 if "desc" in order else 3  # the last entity of the page is number 102
    link = client.json("IntegrationLogs", *query, prefer=f"maxpagesize={size}")["@odata.nextLink"]
    rest = client.follow(link)["value"]
    assert len(rest) == min(size, len(LONG_TEXTS) - size)
    with database.transaction() as connection:
        connection.run("UPDATE integration_log SET log = 'erased' WHERE number IN (100, 109)")
    assert client.follow(link)["value"][:1] != []
    with database.transaction() as connection:
        connection.run(statement)
    with pytest.raises(GoneError, match="first page") as error:
        client.follow(link)
    assert error.value.target == "$skiptoken"


def test_next_page_of_a_short_order_key_that_has_changed_continues_at_its_place(
    long_logs: tuple[Client, str], database: Database
) -> None:
    client, condition = long_logs
    query = [("$filter", condition), ("$select", "number"), ("$orderby", "latencyMs,number")]
    link = client.json("IntegrationLogs", *query, prefer="maxpagesize=3")["@odata.nextLink"]
    with database.transaction() as connection:
        connection.run("UPDATE integration_log SET log = NULL WHERE number = 101")
        connection.run("DELETE FROM integration_log WHERE number = 102")
    assert [each["number"] for each in client.follow(link)["value"]] == [103, 104, 105]


@pytest.mark.parametrize("order", ["now()", "now() sub includedAt desc", "@age", "x"])
def test_pages_of_an_order_by_the_current_time_contain_each_entity_once(
    client: Client, data: DataSet, order: str
) -> None:
    query = (("$orderby", order), ("@age", "NOW() sub includedAt"), ("$compute", "now() as x"))
    pages = client.pages("PointRecords", *query, prefer="maxpagesize=25")
    ids = [each["id"] for page in pages for each in page]
    assert sorted(ids) == sorted(str(each.id) for each in data.records)
    rows = client.pages(
        "PointRecords", ("$apply", "compute(now() as x)/groupby((id,x))"), prefer="maxpagesize=25"
    )
    assert sorted(each["id"] for page in rows for each in page) == sorted(ids)


@pytest.mark.parametrize(
    "query",
    [
        [("$orderby", "10 div attempts desc")],
        [("$orderby", "x"), ("$compute", "10 div attempts as x")],
        [("$orderby", "status,10 mod attempts,deviceId")],
    ],
)
def test_pages_of_an_order_that_fails_for_other_entities_are_complete(
    client: Client, data: DataSet, query: list[tuple[str, str]]
) -> None:
    query = [*query, ("$filter", "logs/any(l:l/point/attempts gt 0)"), ("$select", "id")]
    pages = client.pages("PointRecords", *query, prefer="maxpagesize=7")
    expected = [str(each.id) for each in data.records if each.logs and each.attempts]
    assert sorted(each["id"] for page in pages for each in page) == expected
    assert len(pages) > 2


def test_navigation_collection_is_paged(client: Client, data: DataSet) -> None:
    record = next(each for each in data.records if len(each.logs) == 4)
    pages = client.pages(f"PointRecords({record.id})/logs", prefer="maxpagesize=3")
    assert [key_of(each) for page in pages for each in page] == [each.id for each in record.logs]


def token_of(response: Any) -> str:
    query = urlsplit(response["@odata.nextLink"]).query
    return dict(each.split("=", 1) for each in query.split("&"))["$skiptoken"]


def test_changed_skip_token_is_rejected(client: Client) -> None:
    token = token_of(client.json("PointRecords", prefer="maxpagesize=2"))
    assert client.get("PointRecords", ("$skiptoken", token)).status == 200
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for position in range(len(raw)):
        changed = bytes(raw[:position]) + bytes([raw[position] ^ 1]) + bytes(raw[position + 1 :])
        text = base64.urlsafe_b64encode(changed).decode().rstrip("=")
        with pytest.raises(InvalidError, match="skiptoken"):
            client.get("PointRecords", ("$skiptoken", text))
    for text in (token[:-4], token + "AAAA", token[4:], "!" + token, "é" + token, token * 2):
        with pytest.raises(InvalidError, match="skiptoken"):
            client.get("PointRecords", ("$skiptoken", text))


def test_skip_token_of_another_query_is_rejected(client: Client) -> None:
    token = token_of(client.json("PointRecords", ("$orderby", "status"), prefer="maxpagesize=2"))
    for path, query in [
        ("PointRecords", []),
        ("PointRecords", [("$orderby", "status desc")]),
        ("PointRecords", [("$orderby", "status"), ("$filter", "true")]),
        ("IntegrationLogs", [("$orderby", "status")]),
    ]:
        with pytest.raises(InvalidError, match="skiptoken"):
            client.get(path, *query, ("$skiptoken", token))


def test_concurrent_insert_and_delete_shift_no_page(database: Database) -> None:
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    records = sorted(dataset.build(40), key=lambda each: each.id)
    for each in records:
        each.logs = []
    dataset.store(records[:10] + records[12:], database)
    response = client.json("PointRecords", prefer="maxpagesize=15")
    seen = [each["id"] for each in response["value"]]
    with database.transaction() as connection:
        connection.run("DELETE FROM point_record WHERE id = :id", id=records[3].id)
    dataset.store(records[10:12], database)
    while link := response.get("@odata.nextLink"):
        response = client.follow(link)
        seen += [each["id"] for each in response["value"]]
    assert seen == [str(each.id) for each in records[:10] + records[12:]]


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("point/includedAt,attempt", lambda log: (log.point.includedAt, log.attempt, log.id)),
        ("point/status asc, pointId, number", lambda log: (log.point.status, log.id)),
        ("point/logs/$count desc,pointId,number asc", lambda log: (-len(log.point.logs), log.id)),
        ("status eq 'ERROR' desc, pointId", lambda log: (log.status != "ERROR", log.id)),
        ("httpStatus add 1", lambda log: (log.httpStatus or 0, log.id)),
        ("length(log),pointId", lambda log: (-1 if log.log is None else len(log.log), log.id)),
        ("true,null,5,number", lambda log: (log.number, log.id)),
        ("number,pointId,status", lambda log: (log.number, log.id)),
    ],
)
def test_orderby_sorts_by_expressions(
    order: str, key: Callable[[Log], Any], client: Client, data: DataSet
) -> None:
    pages = client.pages("IntegrationLogs", ("$orderby", order), prefer="maxpagesize=7")
    ids = [key_of(each) for page in pages for each in page]
    assert ids == [each.id for each in sorted(data.logs, key=key)]


@pytest.mark.parametrize(
    ("after", "remaining", "count", "size"),
    [
        (("x",), "", None, 5),
        (("x",), [], None, 5),
        (("x",), None, {}, 5),
        (("x",), None, None, 0),
        (("x",), True, None, 5),
        ((["x"],), None, None, 5),
        ((None,), None, None, 5),
        ((True,), None, None, 5),
        ((True, "x"), None, None, 5),
        ((["x"], "x"), None, None, 5),
        ((["0" * 24, 1], "x"), None, None, 5),
        (([["0" * 24]], "x"), None, None, 5),
        (("x", ["0" * 24]), None, None, 5),
        ("x", None, None, 5),
        ({"x": 1}, None, None, 5),
    ],
)
def test_skip_token_with_a_valid_digest_and_invalid_values_is_rejected(
    after: Any, remaining: Any, count: Any, size: Any
) -> None:
    forged = SkipToken(after, remaining, count, size).encode(["query"])
    with pytest.raises(InvalidError, match="skiptoken"):
        SkipToken.decode(forged, ["query"], len(after))
