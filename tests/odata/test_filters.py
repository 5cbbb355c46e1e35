"""Filters picked by hand select what they must; what is no filter is refused with its reason."""

from typing import Any

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from tests.support.odata import invalid_filters
from tests.support.odata.cases.case import Case
from tests.support.odata.cases.logic import LOGIC, NULLS
from tests.support.odata.cases.numbers import NUMBERS
from tests.support.odata.cases.of_logs import OF_LOGS
from tests.support.odata.cases.paths import CASTS, PATHS
from tests.support.odata.cases.texts import TEXTS
from tests.support.odata.cases.times import TIMES
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet

OF_RECORDS = LOGIC + NULLS + NUMBERS + TEXTS + TIMES + PATHS + CASTS


def check(client: Client, entity_set: str, case: Case, entities: list[Any]) -> None:
    text, holds = case
    expected = sorted(str(each.id) for each in entities if holds(each))
    assert sorted(map(str, client.ids(entity_set, text))) == expected
    count = client.get(f"{entity_set}/$count", ("$filter", text)).body
    assert count == str(len(expected))


@pytest.mark.parametrize("case", OF_RECORDS, ids=lambda case: case[0])
def test_a_filter_of_records_selects_what_it_says(
    case: Case, client: Client, data: DataSet
) -> None:
    check(client, "PointRecords", case, data.records)


@pytest.mark.parametrize("case", OF_LOGS, ids=lambda case: case[0])
def test_a_filter_of_logs_selects_what_it_says(case: Case, client: Client, data: DataSet) -> None:
    check(client, "IntegrationLogs", case, data.logs)


@pytest.mark.parametrize(("text", "reason"), invalid_filters.REFUSED)
def test_what_is_no_filter_is_refused_with_its_reason(
    text: str, reason: str, client: Client
) -> None:
    aliases = [(f"@{name}", value) for name, value in invalid_filters.ALIASES.items()]
    with pytest.raises(InvalidError) as refused:
        client.get("PointRecords", ("$filter", text), *aliases)
    assert reason in refused.value.message


@pytest.mark.parametrize("text", invalid_filters.UNSUPPORTED)
def test_what_is_not_supported_is_named(text: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError) as refused:
        client.get("PointRecords", ("$filter", text))
    assert "not supported" in refused.value.message


def test_an_alias_stands_for_its_value_wherever_it_is_named(client: Client, data: DataSet) -> None:
    found = client.ids(
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
    assert sorted(found) == sorted(str(each.id) for each in expected)


def test_an_alias_may_name_another_and_be_a_list_in_parentheses(
    client: Client, data: DataSet
) -> None:
    found = client.ids(
        "PointRecords",
        "attempts in @a and status ne @b",
        ("@a", "(1,2)"),
        ("@b", "@c"),
        ("@c", "'x'"),
    )
    assert len(found) == sum(each.attempts in (1, 2) for each in data.records)


def test_a_long_chain_is_not_deep(client: Client, data: DataSet) -> None:
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
def test_deep_nesting_is_refused_naming_the_limit(text: str, client: Client) -> None:
    with pytest.raises(InvalidError, match="at most 100 levels"):
        client.get("PointRecords", ("$filter", text))


def test_too_many_tokens_are_refused_naming_the_limit(client: Client) -> None:
    with pytest.raises(InvalidError, match="2000 tokens"):
        client.get("PointRecords", ("$filter", " or ".join(["true"] * 1500)))


def test_aliases_of_aliases_cannot_grow_beyond_the_limit(client: Client) -> None:
    doubling = [(f"@a{n}", f"@a{n + 1} and @a{n + 1}") for n in range(60)]
    with pytest.raises(InvalidError, match="tokens"):
        client.get("PointRecords", ("$filter", "@a0"), *doubling)
    chain = [(f"@a{n}", f"@a{n + 1}") for n in range(1500)]
    with pytest.raises(InvalidError, match="deep"):
        client.get("PointRecords", ("$filter", "@a0"), *chain)
