"""``$search`` in the text of logs, and of records by their logs."""

from collections.abc import Callable

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import ReadSession
from chalicelib.settings import Settings
from tests.support.odata import dataset
from tests.support.odata.client import Client, key_of
from tests.support.odata.dataset import DataSet, Log


def has(*words: str) -> Callable[[str | None], bool]:
    return lambda log: log is not None and all(w.casefold() in log.casefold() for w in words)


def nothing(_: str | None) -> bool:
    return False


CASES: list[tuple[str, Callable[[str | None], bool]]] = [
    ("accepted", has("accepted")), ("ACCEPTED", has("accepted")), ("ccep", has("accepted")),
    ("  accepted  ", has("accepted")), ("503", has("503")), ("503:", has("503:")),
    ('"try later"', has("try later")), ('"Try Later"', has("try later")),
    ('"later try"', nothing), ("try later", has("try", "later")),
    ("later try", has("try", "later")),
    ("try AND later", has("try", "later")), ("try AND timeout", nothing),
    ("accepted OR timeout", lambda log: has("accepted")(log) or has("timeout")(log)),
    ("accepted or timeout", nothing),
    ("accepted OR try later", lambda log: has("accepted")(log) or has("try", "later")(log)),
    ("try accepted OR timeout", has("timeout")),
    ("try (accepted OR later)", has("try", "later")),
    ("NOT accepted", lambda log: not has("accepted")(log)),
    ("NOT NOT", lambda log: not has("NOT")(log)), ("NOT", has("not")),
    ("not accepted", nothing),
    ("try NOT accepted", has("try")), ("NOT try NOT accepted",
     lambda log: not has("try")(log) and not has("accepted")(log)),
    ("NOT (try OR accepted)", lambda log: not has("try")(log) and not has("accepted")(log)),
    ("NOT (try accepted)", lambda _: True),
    ("(NOT try) OR accepted", lambda log: not has("try")(log)),
    ("((accepted))", has("accepted")), ("( accepted )", has("accepted")),
    ("AND", has("and")), ("OR", has("or")), ("AND OR", has("and", "or")),
    ("AND OR NOT", lambda log: has("and")(log) or has("not")(log)), ("OR AND", has("and", "or")),
    ("accepted AND", has("accepted", "and")), ("(accepted OR)", has("accepted", "or")),
    ("accepted AND NOT timeout", has("accepted")),
    ("zz AND e OR e AND yy OR timeout", lambda log: has("timeout")(log)),
    ("it's", has("it's")), ("\"'quoted'\"", has("'quoted'")), ("s'", has("s'")),
    ("'try la'", has("try la")), ("'\"'", nothing), ("'('", nothing), ("'it''s'", has("it's")),
    ("%", has("%")), ("_", has("_")), ("\\", has("\\")), ("10%", nothing), ("x_x", nothing),
    ("x" * 700, has("x" * 700)), ("x" * 701, nothing), ("9,81", nothing), ("a;b", nothing),
    ("#1", nothing), ("\u0394", nothing), ("$search", nothing), ("08/15", nothing),
    ('"AND"', has("and")), ("accepted\tOR\ttimeout",
     lambda log: has("accepted")(log) or has("timeout")(log)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "holds"), CASES)
def test_search_of_logs_looks_in_their_text(
    text: str, holds: Callable[[str | None], bool], client: Client, data: DataSet
) -> None:
    expected = [each.id for each in data.logs if holds(each.log)]
    answer = client.json("IntegrationLogs", ("$search", text), ("$top", "1000"), ("$count", "true"))
    assert [key_of(each) for each in answer["value"]] == expected
    assert answer["@odata.count"] == len(expected)
    assert client.get("IntegrationLogs/$count", ("search", text)).body == str(len(expected))


def test_search_of_records_looks_in_all_their_logs(client: Client, data: DataSet) -> None:
    def ids(text: str, *query: tuple[str, str]) -> list[str]:
        answer = client.json("PointRecords", ("$search", text), ("$top", "1000"), *query)
        return [each["id"] for each in answer["value"]]

    def some(word: str) -> set[str]:
        return {str(r.id) for r in data.records if any(has(word)(log.log) for log in r.logs)}

    everything = {str(r.id) for r in data.records}
    assert set(ids("accepted")) == some("accepted")
    # Each word may be in a different log.
    both = some("accepted") & some("timeout")
    assert set(ids("accepted timeout")) == both
    assert any(all(not has("accepted", "timeout")(log.log) for log in r.logs)
               for r in data.records if str(r.id) in both)  # fmt: skip
    assert set(ids("NOT accepted")) == everything - some("accepted")
    awaiting = {str(r.id) for r in data.records if r.status == "AWAITING"}
    assert set(ids("accepted", ("$filter", "status eq 'AWAITING'"))) == some("accepted") & awaiting


def test_search_uses_unicode_case_folding(database: Database) -> None:
    (record,) = dataset.build(1)
    record.logs = [Log(record.id, 1, 0, "ERROR", "Straße, ΣΊΣΥΦΟΣ, café", None, None,
                       record.createdAt, record)]  # fmt: skip
    dataset.store([record], database)
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    for text in ("STRASSE", "straße", "strasse", "σίσυφος", "Σίσυφοσ", "CAFÉ", "café"):
        assert client.get("IntegrationLogs/$count", ("$search", text)).body == "1", text
    for text in ("STRASE", "cafe"):
        assert client.get("IntegrationLogs/$count", ("$search", text)).body == "0", text


def test_next_pages_continue_the_search(client: Client, data: DataSet) -> None:
    pages = client.pages("IntegrationLogs", ("$search", "NOT accepted"), prefer="maxpagesize=5")
    expected = [each.id for each in data.logs if not has("accepted")(each.log)]
    assert [key_of(each) for page in pages for each in page] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing"), ("   ", "missing"), ("()", "missing"), ("(", "missing"), (")", "missing"),
        ("(a", "no matching"), ("a)", "no matching"), ("(a))", "no matching"),
        ("((a)", "no matching"), ("a(b)", "space"), ("(a)b", "space"), ("(a)(b)", "space"),
        ('"a', "quote"), ('a"', "quote"), ('"a"b', "space"), ('"a""b"', "space"), ('""', "quote"),
        ('a"b"', "space"), ("'a", "single quote"), ("'a' b", "single quote"),
        ("'a''", "single quote"), ("NOT ()", "missing"), ("a OR ()", "missing"),
        ("NOT(a)", "space"), ("a AND(b)", "space"),
        ("(" * 150 + "a" + ")" * 150, "at most 100 levels"),
        ("NOT " * 150 + "a", "at most 100 levels"), ("a " * 2500, "2000 tokens"),
    ],
)  # fmt: skip
def test_invalid_search_is_rejected_with_reason_and_place(
    text: str, reason: str, client: Client
) -> None:
    with pytest.raises(InvalidError) as rejection:
        client.get("IntegrationLogs", ("$search", text))
    assert reason in rejection.value.message
    assert "(character " in rejection.value.message


def test_search_without_searchable_text_is_rejected(client: Client, data: DataSet) -> None:
    with pytest.raises(NotImplementedByServiceError, match="IntegrationRuns"):
        client.get("IntegrationRuns", ("$search", "x"))
    with pytest.raises(InvalidError, match="search"):
        client.get(f"PointRecords({data.records[0].id})", ("$search", "x"))
