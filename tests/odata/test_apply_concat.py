"""``concat`` and ``rollup`` in ``$apply``: rows of several kinds, each with its own properties."""

import json
from collections import Counter

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.principal import Principal, Role
from tests.support.odata.client import ROOT, Client, row, rows
from tests.support.odata.dataset import DataSet

BY_EMPLOYER = "groupby((employerId),aggregate($count as n))"


def test_totals_stand_before_their_groups(client: Client, data: DataSet) -> None:
    """UI5 reads grand totals, and the number of groups, together with the first groups."""
    apply = (
        f"{BY_EMPLOYER}/concat(aggregate(n with sum as total,$count as groups),orderby(n)/top(2))"
    )
    by_employer = sorted(rows(client, "PointRecords", BY_EMPLOYER), key=lambda each: each["n"])
    response = client.json("PointRecords", ("$apply", apply))
    assert response["@odata.context"] == f"{ROOT}/$metadata#PointRecords(total,groups,employerId,n)"
    total, *groups = response["value"]
    assert total == {
        "@odata.id": None,
        "total@odata.type": "#Decimal",
        "total": len(data.records),
        "groups@odata.type": "#Decimal",
        "groups": len(by_employer),
    }
    assert [(each["employerId"], each["n"]) for each in groups] == [
        (each["employerId"], each["n"]) for each in by_employer[:2]
    ]
    assert all("total" not in each for each in groups)


def test_entities_keep_their_identity_beside_other_rows(client: Client, data: DataSet) -> None:
    first = min(data.records, key=lambda each: each.id)
    apply = ("$apply", "concat(top(1),aggregate($count as n))")
    link = f"{ROOT}/PointRecords({first.id})"
    whole = client.json("PointRecords", apply)["value"]
    assert whole[0] == client.json("PointRecords", ("$top", "1"))["value"][0]
    assert whole[1] == {"@odata.id": None, "n@odata.type": "#Decimal", "n": len(data.records)}
    part = client.json("PointRecords", apply, ("$select", "status,n"))["value"]
    assert part[0] == {"@odata.id": link, "status": first.status}
    full = client.json("PointRecords", apply, ("$format", "json;metadata=full"))["value"]
    assert full[0]["logs@odata.navigationLink"] == f"{link}/logs"
    assert full[0]["attempts@odata.type"] == "#Int32"


def test_other_options_see_null_for_absent_properties(client: Client, data: DataSet) -> None:
    apply = "concat(groupby((status)),aggregate($count as n))"
    query = [("$filter", "n eq null"), ("$orderby", "status desc"), ("$count", "true")]
    statuses = sorted({each.status for each in data.records}, reverse=True)
    response = client.json("PointRecords", ("$apply", apply), *query)
    assert [each["status"] for each in response["value"]] == statuses
    assert response["@odata.count"] == len(statuses)
    assert client.get("PointRecords/$count", ("$apply", apply)).body == str(len(statuses) + 1)
    assert rows(
        client, "PointRecords", f"{apply}/filter(status eq null)/compute(n add 1 as m)"
    ) == [{"n": len(data.records), "m": len(data.records) + 1}]


def test_concat_in_a_concat_keeps_the_kinds_of_rows(client: Client, data: DataSet) -> None:
    number = len(data.records)
    inner = "concat(aggregate($count as a),aggregate($count as b))"
    assert rows(client, "PointRecords", f"concat({inner},aggregate($count as c),{inner})") == [
        {"a": number}, {"b": number}, {"c": number}, {"a": number}, {"b": number},
    ]  # fmt: skip
    twice = row(client, "PointRecords", "concat(identity,identity)/aggregate($count as n)")
    assert twice == {"n": 2 * number}


def test_groups_by_different_paths_are_concatenated(client: Client, data: DataSet) -> None:
    apply = "concat(groupby((point/employerId)),groupby((point/status,status)))"
    actual = rows(client, "IntegrationLogs", f"{apply}/filter(point/status eq null)")
    assert [each["point"]["employerId"] for each in actual] == sorted(
        {each.point.employerId for each in data.logs}
    )
    assert all(each["point"].keys() == {"employerId"} for each in actual)


def test_rollup_adds_subtotals(client: Client, data: DataSet) -> None:
    actual = rows(
        client,
        "PointRecords",
        "groupby((rollup(employerId,status),rollup(attempts,utcOffsetMinutes)),"
        "aggregate($count as n))",
        ("$top", "1000"),
    )
    names = ("employerId", "status", "attempts", "utcOffsetMinutes")
    expected = Counter(
        tuple(getattr(record, each) if each in kept else None for each in names)
        for record in data.records
        for kept in (
            {*names}, {*names} - {names[3]}, {*names} - {names[1]}, {names[0], names[2]},
        )
    )  # fmt: skip
    assert {tuple(each.get(name) for name in names): each["n"] for each in actual} == expected
    assert [len(each) for each in actual] == sorted((len(each) for each in actual), reverse=True)
    assert (
        rows(client, "IntegrationLogs", "groupby((rollup(point/employerId,point/id)))/top(0)") == []
    )


def test_numbers_share_the_wider_type_and_texts_any_collation(client: Client) -> None:
    numbers = client.json(
        "PointRecords",
        ("$apply", "concat(aggregate(attempts with max as m),aggregate(latitude with max as m))"),
    )["value"]
    assert [type(each["m"]) for each in numbers] != [str, str]
    texts = "concat(groupby((status)),compute(tolower(status) as s)/groupby((s)))"
    expected = {"error", "awaiting"}
    found = rows(client, "PointRecords", f"{texts}/orderby(s)/filter(contains(s,'r') or s lt 'b')")
    assert {each["s"] for each in found} >= expected


def test_employer_sees_only_its_own_records_in_each_sequence(client: Client, data: DataSet) -> None:
    employer = Client(client.service, Principal(Role.EMPLOYER, employer_id=2))
    own = sum(each.employerId == 2 for each in data.records)
    apply = "concat(aggregate($count as n),groupby((employerId)),filter(employerId ne 2))"
    assert rows(employer, "PointRecords", apply) == [{"n": own}, {"employerId": 2}]


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        ("concat(identity)", "two or more"),
        ("concat()", "two or more"),
        ("concat", "parentheses"),
        ("concat(identity,)", "transformation"),
        ("concat(identity,nope(1))", r"nope is not .*character 17 "),
        ("concat(aggregate($count as n),identity)/filter(logs/any())", "no property logs"),
        ("/".join(["concat(identity,identity)"] * 6), "at most 40 places"),
        ("/".join(["concat(identity,identity)"] * 7), "at most 20 transformations"),
    ],
)
def test_invalid_concat_is_rejected(apply: str, reason: str, client: Client) -> None:
    with pytest.raises(InvalidError, match=reason):
        client.get("PointRecords", ("$apply", apply))


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        ("concat(aggregate(status with max as m),aggregate(number with max as m))", "m of both"),
        ("concat(groupby((point/status)),top(1))", "entities and of groups"),
    ],
)
def test_concat_that_is_not_supported_is_named(apply: str, reason: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError, match=reason):
        client.get("IntegrationLogs", ("$apply", apply))


def test_absent_properties_are_no_nulls_to_omit(client: Client) -> None:
    apply = ("$apply", "concat(aggregate(latitude with max as m),aggregate($count as n))")
    response = client.get("PointRecords", apply, prefer="omit-values=nulls")
    assert [each.keys() for each in json.loads(response.body)["value"]][1] == {
        "@odata.id", "n@odata.type", "n",
    }  # fmt: skip
