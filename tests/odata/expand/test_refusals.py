"""What is no expansion, or none that the service has, is refused with its reason and place."""

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from tests.support.odata.client import Client


@pytest.mark.parametrize(
    ("expand", "reason"),
    [
        ("", "missing"), (",", "missing"), ("logs,", "missing"), ("logs,logs", "twice"),
        ("logs,logs/$count", "twice"), ("*,*", "twice"), ("*,*/$ref", "twice"),
        ("nope", "no navigation property nope"), ("Logs", "no navigation property"),
        ("status", "no navigation property status"), ("$value", "media stream"),
        ("logs/status", "cannot follow"), ("logs/point", "nested"), ("logs/", "cannot follow"),
        ("logs/$filter(true)", "option"), ("*/$count", "cannot follow"),
        ("logs/$ref/$count", "cannot follow"), ("PunchClock.IntegrationLog/logs", "no navigation"),
        ("logs/PunchClock.PointRecord", "cannot follow"), ("logs/$it", "cannot follow"),
        ("logs(", "option"), ("logs()", "option"), ("logs)", "not allowed"),
        ("logs;", "not allowed"),
        ("logs($top=1", "no matching"), ("logs($top=1;)", "option"), ("logs(;$top=1)", "option"),
        ("logs($top)", "option"), ("logs($top=1,$skip=1)", "whole number"),
        ("logs($top=1)x", "not allowed"), ("logs($top=1)(", "not allowed"),
        ("logs(logs)", "option"), ("logs($top=1;top=2)", "more than once"),
        ("logs($TOP=1;$top=2)", "more than once"),
        ("logs($nope=1)", "not an option"), ("logs(mine=1)", "not an option"),
        ("logs($format=json)", "not an option"), ("logs($skiptoken=x)", "not an option"),
        ("logs($top=-1)", "whole number"), ("logs($top=)", "whole number"),
        ("logs($skip=x)", "whole number"), ("logs($top=\u0663)", "whole number"),
        ("logs($count=1)", "true or false"), ("logs($levels=0)", "from 1"),
        ("logs($levels=04)", "from 1"), ("logs($levels=x)", "from 1"), ("logs($levels=)", "from 1"),
        ("logs($filter=)", "missing"), ("logs($filter=nope eq 1)", "no property nope"),
        ("logs($filter=employeeId eq 1)", "no property employeeId"),
        ("logs($filter=log)", "Boolean"), ("logs($filter='x)", "is not closed"),
        ("logs($filter=status eq 'x')or true", "not allowed"),
        ("logs($filter=status eq @p)", "no property"), ("logs($filter=(true)", "no matching"),
        ("logs($orderby=nope)", "no property"), ("logs($orderby=id up)", "operator"),
        ("logs($select=nope)", "no property nope"), ("logs($select=)", "missing"),
        ("logs($search=)", "missing"), ("logs($search=gr(een)", "no matching"),
        ('logs($search="x)', "is not closed"), ("logs($compute=attempt as status)", "already"),
        ("logs($compute=attempt)", "the word as"), ("logs($expand=nope)", "no navigation"),
        ("logs/$ref($select=id)", "not for"), ("logs/$ref($expand=point)", "not for"),
        ("logs/$ref($levels=2)", "not for"), ("logs/$count($top=1)", "not for"),
        ("logs/$count($count=true)", "not for"), ("*($select=id)", "not for"),
        ("*/$ref($top=1)", "not for"), ("logs(@p=1)", "twice"), ("logs/$ref(@q=1)", "no aliases"),
    ],
)  # fmt: skip
def test_what_is_no_expansion_is_refused_with_its_reason_and_its_place(
    expand: str, reason: str, client: Client
) -> None:
    with pytest.raises(InvalidError) as refused:
        client.get("PointRecords", ("$expand", expand), ("@p", "attempt eq 1"))
    assert reason in refused.value.message
    assert "(character " in refused.value.message


@pytest.mark.parametrize(
    "expand", ["point($filter=true)", "point($top=1)", "point($orderby=id)", "point($count=true)",
               "point/$count", "point($search=x)", "point/$ref($filter=true)"],
)  # fmt: skip
def test_one_entity_takes_no_options_of_many(expand: str, client: Client) -> None:
    with pytest.raises(InvalidError, match="expand"):
        client.get("IntegrationLogs", ("$expand", expand))


def test_a_place_is_that_in_the_whole_option(client: Client) -> None:
    text = "logs($top=1;$expand=point($compute=nope add 1 as x))"
    with pytest.raises(InvalidError) as refused:
        client.get("PointRecords", ("$expand", text))
    place = f"(character {text.index('nope') + 1} of $expand)"
    assert refused.value.message == f"PointRecord has no property nope {place}."


@pytest.mark.parametrize(
    ("option", "value"),
    [("$expand", "@Core.Messages"), ("$expand", "logs($apply=aggregate($count as n))"),
     ("$expand", "logs($filter=$root/PointRecords)"), ("$select", "@Core.Messages")],
)  # fmt: skip
def test_what_is_legal_but_not_supported_is_named(option: str, value: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError, match="not supported"):
        client.get("PointRecords", (option, value))
