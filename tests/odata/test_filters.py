"""Hand-picked filters select the expected entities; invalid ones are rejected with a reason."""

from typing import Any

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import ReadSession
from chalicelib.settings import Settings
from tests.support.odata import dataset, invalid_filters
from tests.support.odata.cases.case import Case
from tests.support.odata.cases.logic import LOGIC, NULLS
from tests.support.odata.cases.logs import LOG_CASES
from tests.support.odata.cases.numbers import NUMBERS
from tests.support.odata.cases.paths import CASTS, PATHS
from tests.support.odata.cases.texts import TEXTS
from tests.support.odata.cases.times import TIMES
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet

RECORD_CASES = LOGIC + NULLS + NUMBERS + TEXTS + TIMES + PATHS + CASTS


def check(client: Client, entity_set: str, case: Case, entities: list[Any]) -> None:
    text, holds = case
    expected = sorted(str(each.id) for each in entities if holds(each))
    assert sorted(map(str, client.ids(entity_set, text))) == expected
    count = client.get(f"{entity_set}/$count", ("$filter", text)).body
    assert count == str(len(expected))


@pytest.mark.parametrize("case", RECORD_CASES, ids=lambda case: case[0])
def test_filter_of_records_selects_the_expected_ones(
    case: Case, client: Client, data: DataSet
) -> None:
    check(client, "PointRecords", case, data.records)


@pytest.mark.parametrize("case", LOG_CASES, ids=lambda case: case[0])
def test_filter_of_logs_selects_the_expected_ones(
    case: Case, client: Client, data: DataSet
) -> None:
    check(client, "IntegrationLogs", case, data.logs)


@pytest.mark.parametrize(("text", "reason"), invalid_filters.INVALID)
def test_invalid_filter_is_rejected_with_its_reason(text: str, reason: str, client: Client) -> None:
    aliases = [(f"@{name}", value) for name, value in invalid_filters.ALIASES.items()]
    with pytest.raises(InvalidError) as rejection:
        client.get("PointRecords", ("$filter", text), *aliases)
    assert reason in rejection.value.message


@pytest.mark.parametrize("text", invalid_filters.UNSUPPORTED)
def test_unsupported_filter_is_rejected_as_not_supported(text: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError) as rejection:
        client.get("PointRecords", ("$filter", text))
    assert "not supported" in rejection.value.message


@pytest.mark.parametrize(
    ("of", "start", "repeated", "end", "is_null"),
    [
        ("Decimal", "", "7" * 1_500, "", False),
        ("Decimal", "-0.", "7" * 1_500, "e999", False),
        ("Decimal", "0.", "0" * 16_382, "1", False),
        ("Decimal", "0.", "0" * 16_383, "1", True),
        ("Decimal", "0.", "0" * 15_999, "1e-400", True),
        ("Int64", "-", "0" * 5_000, "7", False),
        ("Int64", "", "7" * 5_000, "", True),
        ("Byte", "", "0" * 1_500, "255", False),
        ("Double", "0.", "0" * 300, "1", False),
        ("Double", "0.", "0" * 1_500, "1", True),
        ("Double", "", "0" * 1_500, "1.5e1", False),
        ("Duration", "PT", "0" * 1_500, "7M", False),
        ("Duration", "PT0.", "7" * 1_500, "S", False),
        ("Duration", "P", "7" * 1_500, "D", True),
    ],
)
def test_cast_of_a_long_text_does_not_depend_on_where_it_is_read(
    of: str, start: str, repeated: str, end: str, is_null: bool, client: Client, data: DataSet
) -> None:
    literal = f"cast('{start}{repeated}{end}',Edm.{of})"
    calculated = f"cast(concat('{start}{repeated}{end}',substring(status,0,0)),Edm.{of})"
    for text in (f"{literal} eq {calculated}", f"({literal} eq null) eq {str(is_null).lower()}"):
        assert len(client.ids("PointRecords", text)) == len(data.records), text[:30]


def test_filter_is_not_evaluated_on_entities_that_nothing_leads_to(database: Database) -> None:
    alone, *others = dataset.build(40)
    alone.logs, alone.attempts = [], 100
    dataset.store([alone, *others], database)
    with database.transaction() as connection:
        connection.run("ANALYZE")
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    logs = sum(len(each.logs) for each in others)
    for condition in (
        "1 div (100 sub point/attempts) lt 2",
        "(1 div (100 sub point/attempts)) in (0,1)",
        "status eq 'x' or not (1 div (100 sub point/attempts) gt 1)",
    ):
        assert client.get("IntegrationLogs/$count", ("$filter", condition)).body == str(logs)
        assert len(client.ids("IntegrationLogs", condition)) == logs
    condition = "logs/any(l:1 div (100 sub l/point/attempts) lt 2)"
    assert len(client.ids("PointRecords", condition)) == sum(each.logs != [] for each in others)


def test_alias_is_replaced_by_its_value(client: Client, data: DataSet) -> None:
    ids = client.ids(
        "PointRecords",
        "status eq @s and attempts mul @n add 1 eq 15 or status in @list",
        ("@s", "'ERROR'"),
        ("@n", "1 add 1"),
        ("@list", '["REJECTED"]'),
    )
    expected = [
        each
        for each in data.records
        if (each.status == "ERROR" and each.attempts == 7) or each.status == "REJECTED"
    ]
    assert sorted(ids) == sorted(str(each.id) for each in expected)


def test_alias_may_be_a_list_or_another_alias(client: Client, data: DataSet) -> None:
    ids = client.ids(
        "PointRecords",
        "attempts in @a and status ne @b",
        ("@a", "(1,2)"),
        ("@b", "@c"),
        ("@c", "'x'"),
    )
    assert len(ids) == sum(each.attempts in (1, 2) for each in data.records)


def test_path_may_start_with_an_alias(client: Client, data: DataSet) -> None:
    aliases = (("@record", "$it"), ("@of", "$it/point"))
    ids = client.ids("PointRecords", "logs/any(l:l/status eq @record/status)", *aliases)
    assert sorted(ids) == sorted(
        str(each.id) for each in data.records if any(log.status == each.status for log in each.logs)
    )
    ids = client.ids("IntegrationLogs", "@of/logs/$count gt 1 and @of/attempts gt 1", *aliases)
    expected = [each for each in data.logs if len(each.point.logs) > 1 and each.point.attempts > 1]
    assert sorted(ids) == [each.id for each in expected]


def test_long_chain_of_or_does_not_count_as_nesting(client: Client, data: DataSet) -> None:
    chain = " or ".join(f"attempts eq {number}" for number in range(400))
    assert len(client.ids("PointRecords", chain)) == len(data.records)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 150 + "true" + ")" * 150,
        "not " * 150 + "true",
        "- " * 150 + "1 eq 1",
        "1" + " add 1" * 150 + " eq 1",
        "concat('a'," * 150 + "'a'" + ")" * 150 + " eq 'a'",
        "logs/any(l:" * 150 + "true" + ")" * 150,
        "true" + " eq true" * 150,
    ],
)
def test_deep_nesting_is_rejected_with_the_limit(text: str, client: Client) -> None:
    with pytest.raises(InvalidError, match="at most 100 levels"):
        client.get("PointRecords", ("$filter", text))


def test_too_many_tokens_are_rejected_with_the_limit(client: Client) -> None:
    with pytest.raises(InvalidError, match="2000 tokens"):
        client.get("PointRecords", ("$filter", " or ".join(["true"] * 1500)))


def test_nested_aliases_are_limited_in_tokens_and_depth(client: Client) -> None:
    doubling = [(f"@a{n}", f"@a{n + 1} and @a{n + 1}") for n in range(60)]
    with pytest.raises(InvalidError, match="tokens"):
        client.get("PointRecords", ("$filter", "@a0"), *doubling)
    chain = [(f"@a{n}", f"@a{n + 1}") for n in range(1500)]
    with pytest.raises(InvalidError, match="deep"):
        client.get("PointRecords", ("$filter", "@a0"), *chain)
