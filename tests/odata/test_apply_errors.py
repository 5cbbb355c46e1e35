"""Invalid ``$apply`` is a 400 and unsupported ``$apply`` a 501, each with its reason.

No other error occurs for random or hostile text, and none of it is executed as SQL.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from tests.odata.test_hostile import PAYLOADS, attempt
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet
from tests.support.odata.examples import thorough

INVALID = [
    ("", "transformation"),
    ("/", "transformation"),
    ("identity/", "transformation"),
    ("identity()", "takes no parameters"),
    ("foo(1)", "foo is not a transformation"),
    ("filter", "parentheses"),
    ("filter()", "value"),
    ("filter(status)", "Boolean"),
    ("filter(true,true)", "commas"),
    ("filter(true desc)", "asc"),
    ("filter(nope eq 1)", "no property nope"),
    ("filter(status eq 'x)", "is not closed"),
    ("filter(true", "no matching"),
    ("filter(true))", "no matching"),
    ("filter(true)x", "parenthesis is expected"),
    ("filter(true)filter(true)", "parenthesis is expected"),
    ("aggregate", "parentheses"),
    ("aggregate()", "missing"),
    ("aggregate(,)", "missing"),
    ("aggregate($count)", "alias"),
    ("aggregate($count as)", "alias"),
    ("aggregate($count as 1)", "alias"),
    ("aggregate($count as a b)", "alias"),
    ("aggregate($count as n,$count as n)", "n already exists"),
    ("aggregate($count as status)", "status already exists"),
    ("aggregate($count as logs)", "logs already exists"),
    ("aggregate($count with sum as n)", "takes no aggregation method"),
    ("aggregate(attempts with sum)", "alias"),
    ("aggregate(attempts as n)", "aggregation method is missing"),
    ("aggregate(attempts)", "aggregation method is missing"),
    ("aggregate(attempts add 1 as n)", "aggregation method is missing"),
    ("aggregate(with sum as n)", "aggregation method is missing"),
    ("aggregate(attempts with median as n)", "sum, average, min, max, countdistinct"),
    ("aggregate(attempts with as n)", "aggregation method is missing"),
    ("aggregate(attempts desc with sum as n)", "single expression"),
    ("aggregate(status with sum as n)", "sum does not accept Edm.String"),
    ("aggregate(includedAt with average as n)", "average does not accept Edm.DateTimeOffset"),
    ("aggregate(null with sum as n)", "sum does not accept null"),
    ("aggregate(nope with sum as n)", "no property nope"),
    ("aggregate(nope/$count as n)", "no property nope"),
    ("aggregate(status/$count as n)", "cannot follow"),
    ("groupby()", "in parentheses"),
    ("groupby(())", "property to group by"),
    ("groupby(status)", "in parentheses"),
    ("groupby((status,))", "property to group by"),
    ("groupby((nope))", "no property nope"),
    ("groupby((attempts add 1))", "property to group by"),
    ("groupby(($count))", "property to group by"),
    ("groupby((status),)", "transformation"),
    ("groupby((status),aggregate)", "parentheses"),
    ("groupby((status),aggregate($count as status))", "status already exists"),
    ("groupby((status),aggregate($count as n),identity)", "one or two"),
    ("groupby((status))/filter(attempts eq 1)", "no property attempts"),
    ("groupby((status))/groupby((employerId))", "no property employerId"),
    ("groupby((status))/compute(1 as attempts)", "attempts already exists"),
    ("compute(1)", "alias"),
    ("compute(1 as x,2 as x)", "x already"),
    ("compute(1 as x)/compute(2 as x)", "x already"),
    ("compute(1 as id)", "id already exists"),
    ("compute($it as x)", "entity"),
    ("compute(logs as x)", "collection"),
    ("search()", "search term"),
    ("orderby()", "value"),
    ("orderby(id up)", "operator"),
    ("top()", "non-negative integer"),
    ("top(-1)", "non-negative integer"),
    ("skip(1.5)", "non-negative integer"),
    ("topcount(5)", "number and an expression"),
    ("topcount(0,attempts)", "positive integer"),
    ("topcount(1.5,attempts)", "positive integer"),
    ("topcount('1',attempts)", "number"),
    ("topcount(1,nope)", "no property nope"),
    ("topsum(5,status)", "must be a number"),
    ("toppercent(0,attempts)", "up to 100"),
    ("bottompercent(100.1,attempts)", "up to 100"),
    ("aggregate(employeeId with sum as s)", "range"),
    ("aggregate(attempts mul 9223372036854775807 with sum as s)", "range"),
    ("compute(attempts div 0 as x)", "zero"),
]

UNSUPPORTED = [
    ("join(logs as l)", "join"),
    ("outerjoin(logs as l)", "outerjoin"),
    ("nest(identity as n)", "nest"),
    ("addnested(logs,identity as n)", "addnested"),
    ("groupby((status))/search(x)", "$search"),
    ("ancestors($root/PointRecords,a,b,identity)", "ancestors"),
    ("descendants($root/PointRecords,a,b,identity)", "descendants"),
    ("traverse($root/PointRecords,a,b,preorder)", "traverse"),
    ("My.Function(x=1)", "My.Function"),
    ("My.Function", "My.Function"),
    ("aggregate(Forecast)", "custom aggregate Forecast"),
    ("aggregate(Forecast as f)", "custom aggregate Forecast"),
    ("aggregate(attempts with My.median as m)", "My.median"),
    ("aggregate(attempts with sum from status with max as m)", "from"),
    ("aggregate(logs/latencyMs with max as m)", "logs"),
    ("groupby((rollup($all,status)))", "rollup"),
    ("groupby((status,rollup(employerId)))", "rollup"),
    ("groupby((rolluprecursive($root/PointRecords,a,b)))", "rollup"),
    ("groupby((logs/status))", "logs"),
    ("groupby((status),topcount(1,attempts))", "groupby"),
    ("groupby((status),filter(true)/aggregate($count as n))", "groupby"),
    ("topcount($count,attempts)", "other than a number"),
    ("topsum(1 add 1,attempts)", "other than a number"),
]


@pytest.mark.parametrize(("text", "reason"), INVALID)
def test_invalid_apply_is_rejected_with_its_reason(text: str, reason: str, client: Client) -> None:
    with pytest.raises(InvalidError) as error:
        client.get("PointRecords", ("$apply", text))
    assert reason in error.value.message


@pytest.mark.parametrize(("text", "name"), UNSUPPORTED)
def test_unsupported_apply_is_rejected_by_name(text: str, name: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError) as error:
        client.get("PointRecords", ("$apply", text))
    assert name in error.value.message
    assert "not supported" in error.value.message


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("filter(true)/foo(1)", 14),
        ("filter( nope eq 1)", 9),
        ("groupby((status),aggregate(nope with sum as s))", 28),
        ("compute(1 as a , attempts add as b)", 30),
        ("groupby((status))/filter(attempts eq 1)", 26),
    ],
)
def test_error_message_states_the_position(text: str, character: int, client: Client) -> None:
    with pytest.raises(InvalidError, match=rf"\(character {character} of \$apply\)"):
        client.get("PointRecords", ("$apply", text))


def test_apply_on_an_entity_or_property_is_rejected(client: Client, data: DataSet) -> None:
    for path in ("", "/status", "/status/$value"):
        with pytest.raises(InvalidError, match=r"does not accept \$apply"):
            client.get(f"PointRecords({data.records[0].id}){path}", ("$apply", "identity"))


@pytest.mark.parametrize("query", [("$select", "employerId"), ("$filter", "attempts eq 1"),
                                   ("$orderby", "id"), ("$select", "")])  # fmt: skip
def test_options_with_properties_that_apply_removed_are_rejected(
    query: tuple[str, str], client: Client
) -> None:
    for path in ("PointRecords", "PointRecords/$count"):
        with pytest.raises(InvalidError, match="no property"):
            client.get(path, ("$apply", "groupby((status))"), query)


def test_expand_with_apply_is_not_supported(client: Client) -> None:
    for path in ("PointRecords", "PointRecords/$count"):
        with pytest.raises(NotImplementedByServiceError, match=r"\$expand with \$apply"):
            client.get(path, ("$apply", "identity"), ("$expand", "logs"))


def test_skip_token_on_a_count_is_rejected(client: Client) -> None:
    with pytest.raises(InvalidError, match="skiptoken"):
        client.get("PointRecords/$count", ("$apply", "identity"), ("$skiptoken", "x"))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_injection_payloads_are_not_executed_in_any_position(
    payload: str, client: Client, data: DataSet
) -> None:
    quoted = payload.replace("'", "''")
    actual = client.json(
        "PointRecords",
        ("$apply", f"filter(deviceId ne '{quoted}')/compute('{quoted}' as x)/groupby((x))"),
    )
    assert [each["x"] for each in actual["value"]] == [payload]
    for text in (
        payload,
        f"{payload}(x)",
        f"filter({payload})",
        f"compute(1 as {payload})",
        f"aggregate($count as {payload})",
        f"aggregate({payload} with sum as x)",
        f"aggregate(attempts with {payload} as x)",
        f"groupby(({payload}))",
        f"topcount({payload},attempts)",
        f"orderby(id {payload})",
    ):
        attempt(client, "PointRecords", ("$apply", text))
        attempt(client, "PointRecords/$count", ("$apply", text))
    for name in ("$filter", "$orderby", "$select", "$skiptoken"):
        attempt(client, "PointRecords", ("$apply", "groupby((deviceId))"), (name, payload))
    assert client.get("PointRecords/$count").body == str(len(data.records))


_FRAGMENTS = [
    "filter(", "compute(", "groupby((", "aggregate(", "top(", "topcount(1,", "topsum(5,",
    "orderby(", "identity", "$count", " as ", " with ", "sum", "max", "average", "countdistinct",
    " from ", "/", ",", "(", ")", "))", "),", "status", "attempts", "deviceId", "latitude", "n",
    "x", "logs", "point", "id", "1", "5.5", "'a'", "'", '"', " add ", " eq ", " desc", "null",
    "date(includedAt)", "$it", "@a", " ", "é", "\U0001f600",
]  # fmt: skip
_texts = st.lists(st.sampled_from(_FRAGMENTS), max_size=16).map("".join)


@thorough
@given(apply=_texts, option=_texts)
def test_random_apply_text_is_answered_or_rejected(apply: str, option: str, client: Client) -> None:
    attempt(client, "PointRecords", ("$apply", apply), ("@a", option))
    attempt(client, "IntegrationLogs", ("$apply", "groupby((status,log))"), ("$orderby", option))
    attempt(client, "IntegrationLogs", ("$apply", f"groupby((status))/{apply}"))
