"""Invalid and unsupported values of ``$expand`` are rejected with a reason and a position."""

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from tests.support.odata.client import Client

INVALID = {
    "missing": ("", ",", "logs,", "logs($filter=)", "logs($select=)", "logs($search=)"),
    "more than once": (
        "logs,logs", "logs,logs/$count", "*,*", "*,*/$ref", "logs($top=1;top=2)",
        "logs($TOP=1;$top=2)", "logs(@p=1)",
        "logs($top=1;$select=id),logs($top=2;$select=status)", "logs($select=id),logs/$ref",
        "logs($filter=attempt ge @a;@a=1;$select=id),logs($filter=attempt ge @a;@a=2;$select=log)",
        "logs($select=id),logs($select=log;$count=true)", "logs($expand=point,point)",
    ),
    "no navigation property": (
        "nope", "Logs", "status", "PunchClock.IntegrationLog/logs", "logs($expand=nope)",
    ),
    "media stream": ("$value",),
    "cannot follow": (
        "logs/status", "logs/point", "logs/", "*/$count", "logs/$ref/$count",
        "logs/PunchClock.PointRecord", "logs/$it",
    ),
    "use nested options": ("logs/point",),
    "option": (
        "logs/$filter(true)", "logs(", "logs()", "logs($top=1;)", "logs(;$top=1)", "logs($top)",
        "logs(logs)",
    ),
    "not an option": (
        "logs($nope=1)", "logs(mine=1)", "logs($format=json)", "logs($skiptoken=x)",
    ),
    "not allowed": (
        "logs)", "logs;", "logs($top=1)x", "logs($top=1)(", "logs($filter=status eq 'x')or true",
    ),
    "no matching": ("logs($top=1", "logs($filter=(true)", "logs($search=gr(een)"),
    "non-negative integer": (
        "logs($top=1,$skip=1)", "logs($top=-1)", "logs($top=)", "logs($skip=x)",
        "logs($top=\u0663)",
    ),
    "positive integer": (
        "logs($levels=0)", "logs($levels=04)", "logs($levels=x)", "logs($levels=)",
    ),
    "true or false": ("logs($count=1)",),
    "Boolean": ("logs($filter=log)",),
    "is not closed": ("logs($filter='x)", 'logs($search="x)'),
    "no property nope": ("logs($filter=nope eq 1)", "logs($select=nope)", "logs($orderby=nope)"),
    "no property employeeId": ("logs($filter=employeeId eq 1)",),
    # The alias belongs to the request, and the records have no attempt.
    "no property attempt": ("logs($filter=status eq @p)",),
    "operator": ("logs($orderby=id up)",),
    "already": ("logs($compute=attempt as status)",),
    "the word as": ("logs($compute=attempt)",),
    "does not accept": (
        "logs/$ref($select=id)", "logs/$ref($expand=point)", "logs/$ref($levels=2)",
        "logs/$count($top=1)", "logs/$count($count=true)", "*($select=id)", "*/$ref($top=1)",
    ),
    "does not accept parameter aliases": ("logs/$ref(@q=1)",),
}  # fmt: skip


@pytest.mark.parametrize(
    ("expand", "reason"),
    [(each, reason) for reason, expansions in INVALID.items() for each in expansions],
)
def test_invalid_expand_is_rejected_with_its_reason_and_position(
    expand: str, reason: str, client: Client
) -> None:
    with pytest.raises(InvalidError) as rejection:
        client.get("PointRecords", ("$expand", expand), ("@p", "attempt eq 1"))
    assert reason in rejection.value.message
    assert "(character " in rejection.value.message


@pytest.mark.parametrize(
    "expand",
    [
        "point($filter=true)", "point($top=1)", "point($orderby=id)", "point($count=true)",
        "point/$count", "point($search=x)", "point/$ref($filter=true)",
    ],
)  # fmt: skip
def test_single_entity_rejects_options_of_collections(expand: str, client: Client) -> None:
    with pytest.raises(InvalidError, match=r"does not accept|only a collection"):
        client.get("IntegrationLogs", ("$expand", expand))


def test_position_of_nested_error_counts_from_the_start_of_the_option(client: Client) -> None:
    text = "logs($top=1;$expand=point($compute=nope add 1 as x))"
    with pytest.raises(InvalidError) as rejection:
        client.get("PointRecords", ("$expand", text))
    position = f"(character {text.index('nope') + 1} of $expand)"
    assert rejection.value.message == f"PointRecord has no property nope {position}."


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("$expand", "@Core.Messages"),
        ("$expand", "logs($apply=aggregate($count as n))"),
        ("$expand", "logs($filter=$root/PointRecords)"),
        ("$select", "@Core.Messages"),
    ],
)
def test_unsupported_option_value_is_rejected_as_not_implemented(
    option: str, value: str, client: Client
) -> None:
    with pytest.raises(NotImplementedByServiceError, match="not supported"):
        client.get("PointRecords", (option, value))
