"""``$apply``: hand-picked examples, their rows, and the JSON of the rows."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.errors import InvalidError, NotFoundError
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from tests.support.odata.client import ROOT, Client, row, rows
from tests.support.odata.dataset import DataSet


def test_punches_are_counted_by_employer_day_and_status(client: Client, data: DataSet) -> None:
    apply = (
        "compute(date(includedAt) as day)/groupby((employerId,day,status),aggregate($count as n))"
    )
    expected = Counter(
        (each.employerId, each.includedAt.date().isoformat(), each.status) for each in data.records
    )
    actual = {
        (each["employerId"], each["day"], each["status"]): each["n"]
        for each in rows(client, "PointRecords", apply)
    }
    assert actual == expected
    late = rows(client, "PointRecords", apply, ("$filter", "n gt 1 and status ne 'INTEGRATED'"))
    assert len(late) == sum(
        n > 1 and status != "INTEGRATED" for (_, _, status), n in expected.items()
    )


def test_rows_have_the_control_information_of_each_metadata_level(client: Client) -> None:
    apply = ("$apply", "groupby((employerId),aggregate($count as n,attempts with sum as s))")
    response = client.json("PointRecords", apply, ("$top", "1"))
    assert response["@odata.context"] == f"{ROOT}/$metadata#PointRecords(employerId,n,s)"
    (first,) = response["value"]
    assert first == {
        "@odata.id": None,
        "employerId": 1,
        "n@odata.type": "#Decimal",
        "n": first["n"],
        "s@odata.type": "#Int64",
        "s": first["s"],
    }
    full = client.json("PointRecords", apply, ("$top", "1"), ("$format", "json;metadata=full"))
    assert full["value"][0]["employerId@odata.type"] == "#Int64"
    none = client.json("PointRecords", apply, ("$top", "1"), ("$format", "json;metadata=none"))
    assert none["value"] == [{"employerId": 1, "n": first["n"], "s": first["s"]}]


def test_numbers_are_strings_with_ieee754compatible(client: Client, data: DataSet) -> None:
    response = client.json(
        "PointRecords",
        ("$apply", "groupby((employerId),aggregate($count as n,attempts with average as a))"),
        ("$top", "1"),
        ("$count", "true"),
        accept="application/json;IEEE754Compatible=true;metadata=none",
    )
    assert response["@odata.count"] == "4"
    (first,) = response["value"]
    assert first["employerId"] == "1"
    assert first["n"] == str(sum(each.employerId == 1 for each in data.records))
    assert isinstance(first["a"], str)


@pytest.mark.parametrize(
    ("apply", "expected"),
    [
        ("filter(false)/aggregate(attempts with sum as s,$count as n)", {"s": None, "n": 0}),
        ("filter(false)/aggregate(status with countdistinct as d,id with min as i)",
         {"d": 0, "i": None}),
        ("filter(latitude eq null)/aggregate(latitude with average as a)", {"a": None}),
        ("aggregate($count as n)", {"n": 60}),
        ("AGGREGATE( $count AS n )", {"n": 60}),
        ("identity/aggregate($count as n)/identity", {"n": 60}),
        ("filter(status eq ')' or status eq '/' or status eq 'it''s')/aggregate($count as n)",
         {"n": 0}),
        ("filter(attempts in (1,2))/filter(status in ['ERROR'])/aggregate($count as n)", None),
        ("filter((attempts add 1) in ())/aggregate($count as n)", {"n": 0}),
        ("groupby((status),aggregate($count as n))/aggregate(n with max as m)", {"m": 12}),
        ("groupby((status))/aggregate($count as n)", {"n": 5}),
        ("compute(1.50 as d,'x' as t,true as b,null as z)/groupby((d,t,b,z))",
         {"d": 1.5, "t": "x", "b": True, "z": None}),
        ("compute(true as b)/aggregate(b with min as least,b with max as most)",
         {"least": True, "most": True}),
        ("compute(includedAt sub includedAt as d)/aggregate(d with max as m,d with sum as s)",
         {"m": "PT0S", "s": "PT0S"}),
        ("aggregate(attempts mul 0 with sum as s,attempts sub attempts with max as m)",
         {"s": 0, "m": 0}),
        ("filter(isof(PunchClock.PointRecord))/aggregate($count as n)", {"n": 60}),
        ("aggregate(status with min as a)/compute(a as b)/filter(a eq b and b eq 'AWAITING')",
         {"a": "AWAITING", "b": "AWAITING"}),
        ("top(0)/aggregate($count as n)", {"n": 0}),
        ("skip(58)/aggregate($count as n)", {"n": 2}),
        ("topsum(0,attempts)/aggregate($count as n)", {"n": 0}),
        ("toppercent(100,attempts)/filter(attempts gt 0)/aggregate($count as n)", None),
        ("bottompercent(100,-attempts)/filter(attempts gt 0)/aggregate($count as n)", None),
        ("toppercent(100,-attempts)/aggregate($count as n)", {"n": 60}),
        ("toppercent(50,-1)/aggregate($count as n)", {"n": 30}),
        ("toppercent(50,0)/aggregate($count as n)", {"n": 0}),
        (f"aggregate($count as {'n' * 128})", {"n" * 128: 60}),
    ],
)  # fmt: skip
def test_transformations_return_the_expected_row(
    apply: str, expected: dict[str, Any] | None, client: Client, data: DataSet
) -> None:
    actual = row(client, "PointRecords", apply)
    if expected is None:
        matching = [each for each in data.records if each.attempts > 0]
        if "percent" not in apply:
            matching = [
                each for each in matching if each.attempts in (1, 2) and each.status == "ERROR"
            ]
        expected = {"n": len(matching)}
    assert actual == expected


def test_sum_beyond_int64_is_one_of_decimals(client: Client, data: DataSet) -> None:
    expected = sum(each.employeeId for each in data.records)
    assert expected > 2**63
    with pytest.raises(InvalidError, match="range"):
        row(client, "PointRecords", "aggregate(employeeId with sum as s)")
    decimals = "aggregate(cast(employeeId,Edm.Decimal) with sum as s)"
    assert row(client, "PointRecords", decimals) == {"s": expected}


def test_infinities_and_nan_are_written_as_strings(client: Client) -> None:
    actual = rows(client, "PointRecords", "compute(latitude div 0e0 as x)/groupby((x))")
    assert [each["x"] for each in actual] == [None, "-INF", "INF", "NaN"]
    decimals = rows(client, "PointRecords", "compute(attempts divby 0 as x)/groupby((x))")
    assert [each["x"] for each in decimals] == ["INF", "NaN"]


def test_nulls_form_one_group(client: Client, data: DataSet) -> None:
    actual = rows(client, "PointRecords", "groupby((deviceId),aggregate($count as n))")
    assert actual[0] == {"deviceId": None, "n": sum(each.deviceId is None for each in data.records)}
    assert {each["deviceId"]: each["n"] for each in actual} == Counter(
        each.deviceId for each in data.records
    )


def test_group_keys_on_a_navigation_path_are_nested(client: Client, data: DataSet) -> None:
    apply = "groupby((point/employerId,status,point/status),aggregate($count as n))"
    response = client.json("IntegrationLogs", ("$apply", apply))
    context = "#IntegrationLogs(point(employerId,status),status,n)"
    assert response["@odata.context"].endswith(context)
    expected = Counter(
        (each.point.employerId, each.point.status, each.status) for each in data.logs
    )
    assert expected == {
        (each["point"]["employerId"], each["point"]["status"], each["status"]): each["n"]
        for each in response["value"]
    }
    ordered = rows(
        client,
        "IntegrationLogs",
        f"{apply}/filter(point/employerId le 2)",
        ("$orderby", "point/employerId desc,n"),
        ("$select", "point/employerId,n"),
    )
    assert ordered[0].keys() == {"point", "n"}
    assert ordered[0]["point"] == {"employerId": 2}
    assert ordered[-1]["point"] == {"employerId": 1}


def test_aggregate_over_a_path_counts_each_entity_once(client: Client, data: DataSet) -> None:
    points = {each.pointId: each.point for each in data.logs}.values()
    actual = row(
        client,
        "IntegrationLogs",
        "aggregate(point/attempts with sum as once,point/$count as points,"
        "point with countdistinct as distinct,point/attempts add 0 with sum as each,"
        "point/PunchClock.PointRecord/attempts with sum as cast,"
        "PunchClock.IntegrationLog/point/PunchClock.PointRecord/$count as castPoints)",
    )
    assert actual == {
        "once": sum(each.attempts for each in points),
        "cast": sum(each.attempts for each in points),
        "points": len(points),
        "castPoints": len(points),
        "distinct": len(points),
        "each": sum(each.point.attempts for each in data.logs),
    }


def test_aggregate_over_a_path_counts_each_entity_once_in_each_group(
    client: Client, data: DataSet
) -> None:
    actual = rows(
        client,
        "IntegrationLogs",
        "filter(number gt 1)/groupby((status),aggregate(point/attempts with sum as once,"
        "point/utcOffsetMinutes with average as mean,$count as n))",
    )
    logs = [each for each in data.logs if each.number > 1]
    expected = []
    for status in sorted({each.status for each in logs}):
        of_status = [each for each in logs if each.status == status]
        points = {each.pointId: each.point for each in of_status}.values()
        offsets = [each.utcOffsetMinutes for each in points]
        expected.append(
            {
                "status": status,
                "once": sum(each.attempts for each in points),
                "mean": pytest.approx(sum(offsets) / len(offsets)),
                "n": len(of_status),
            }
        )
    assert actual == expected
    assert any(int(str(each["n"])) > 1 for each in expected)


def test_path_may_have_casts_to_the_declared_type(client: Client) -> None:
    cast = "groupby((PunchClock.IntegrationLog/status,point/PunchClock.PointRecord/attempts))"
    plain = rows(client, "IntegrationLogs", "groupby((status,point/attempts))")
    assert rows(client, "IntegrationLogs", cast) == plain


def test_collections_of_entities_are_counted(client: Client, data: DataSet) -> None:
    actual = row(client, "PointRecords", "aggregate(logs/$count as n,logs/$count with max as most)")
    assert actual == {"n": len(data.logs), "most": max(len(each.logs) for each in data.records)}


def test_rows_keep_the_identity_of_entities_until_they_are_grouped(
    client: Client, data: DataSet
) -> None:
    response = client.json("PointRecords", ("$apply", "filter(status eq 'ERROR')"), ("$top", "1"))
    assert response["@odata.context"] == f"{ROOT}/$metadata#PointRecords"
    first = next(each for each in data.records if each.status == "ERROR")
    assert response["value"] == [client.json("PointRecords", ("$filter", f"id eq {first.id}"))[
        "value"
    ][0]]  # fmt: skip
    more = client.json(
        "PointRecords",
        ("$apply", f"filter(id eq {first.id})/compute(attempts add 1 as next)"),
        ("$format", "json;metadata=full"),
    )
    assert more["@odata.context"] == f"{ROOT}/$metadata#PointRecords(*,next)"
    link = f"{ROOT}/PointRecords({first.id})"
    assert more["value"][0]["@odata.id"] == link
    assert more["value"][0]["logs@odata.navigationLink"] == f"{link}/logs"
    assert more["value"][0]["next"] == first.attempts + 1
    part = client.json(
        "PointRecords", ("$apply", f"filter(id eq {first.id})"), ("$select", "status")
    )
    assert part["value"] == [{"@odata.id": link, "status": "ERROR"}]


def test_logs_of_one_record_are_grouped(client: Client, data: DataSet) -> None:
    record = max(data.records, key=lambda each: len(each.logs))
    actual = rows(
        client, f"PointRecords({record.id})/logs", "groupby((status),aggregate($count as n))"
    )
    assert {each["status"]: each["n"] for each in actual} == Counter(
        each.status for each in record.logs
    )
    absent = "PointRecords(00000000-0000-0000-0000-000000000000)/logs"
    with pytest.raises(NotFoundError, match=r"PointRecords.* does not exist"):
        client.get(absent, ("$apply", "aggregate($count as n)"))


@pytest.mark.parametrize(
    ("settings", "apply", "reason"),
    [
        (Settings(odata_max_transformations=2), "identity/identity/identity", "2 transformations"),
        (Settings(odata_max_added_properties=1), "compute(1 as a,2 as b)", "1 properties"),
        (Settings(odata_max_added_properties=1), "compute(1 as a)/aggregate($count as b)",
         "1 properties"),
        (Settings(odata_max_tokens=10), "/".join(["filter(1 eq 1)"] * 4), "10 tokens"),
        (Settings(odata_max_depth=5), "filter(((((((true)))))))", "at most 5 levels"),
        (Settings(), f"orderby({','.join(['id'] * 17)})", "16 expressions"),
    ],
)  # fmt: skip
def test_exceeded_limit_is_rejected_with_the_limit(
    settings: Settings, apply: str, reason: str, client_of: Callable[[Settings], Client]
) -> None:
    with pytest.raises(InvalidError, match=reason):
        client_of(settings).get("PointRecords", ("$apply", apply))


def test_long_chain_of_dependent_computes_is_answered(client: Client) -> None:
    chain = "compute(attempts as a0)" + "".join(
        f"/compute(a{n} add a{n} sub a{n} as a{n + 1})" for n in range(19)
    )
    actual = row(client, "PointRecords", f"{chain}", ("$select", "a19"), ("$top", "1"))
    assert actual["a19"] >= 0


def test_employer_groups_only_its_own_records(client: Client, data: DataSet) -> None:
    own = [each for each in data.records if each.employerId == 2]
    employer = Client(client.service, Principal(Role.EMPLOYER, employer_id=2))
    apply = "groupby((employerId),aggregate($count as n,logs/$count as m))"
    logs = sum(len(each.logs) for each in own)
    assert rows(employer, "PointRecords", apply) == [{"employerId": 2, "n": len(own), "m": logs}]
    assert row(employer, "PointRecords", "aggregate($count as n)") == {"n": len(own)}
    assert rows(
        employer, "IntegrationLogs", "groupby((point/employerId),aggregate($count as n))"
    ) == [{"point": {"employerId": 2}, "n": logs}]
    assert employer.get("PointRecords/$count", ("$apply", "groupby((id))")).body == str(len(own))
    unrestricted = client.json("PointRecords", ("$apply", "groupby((id))"), prefer="maxpagesize=4")
    with pytest.raises(InvalidError, match="skiptoken"):
        employer.follow(unrestricted["@odata.nextLink"])


def test_expression_on_related_entities_is_evaluated_only_on_rows_that_are_left(
    client: Client, data: DataSet
) -> None:
    expected = sum(0 < each.point.attempts < 4 for each in data.logs)
    for tested in (
        "filter(10 div point/attempts gt 2)",
        "filter(not (10 div point/attempts le 2))",
        "compute(10 div point/attempts as x)/filter(x gt 2)",
        "compute(10 div point/attempts as x)/compute(x add 1 as y)/filter(y gt 3)",
        "compute(10 div point/attempts as x)/groupby((pointId,number,x))/filter(x gt 2)",
    ):
        apply = f"filter(point/attempts ne 0)/{tested}/aggregate($count as n)"
        assert row(client, "IntegrationLogs", apply) == {"n": expected}, tested
    grouped = (
        "groupby((point/attempts),aggregate($count as n))/filter(n ge 0 and point/attempts gt 0)"
    )
    assert rows(client, "IntegrationLogs", f"{grouped}/filter(10 div point/attempts gt 2)")


NOT_ZERO = "groupby((attempts),aggregate(attempts with max as m))/filter(m ne 0)"
BUSY = "groupby((employerId,attempts),aggregate($count as n))/filter(n gt 1000)"
SMALL_EMPLOYEES = "groupby((employeeId),aggregate(employeeId with max as m))/filter(m lt 100)"
OF_TRIED = "filter(logs/any(l:l/point/attempts gt 0))"


@pytest.mark.parametrize(
    ("apply", "query"),
    [
        (f"{NOT_ZERO}/filter(10 div attempts gt 2)", []),
        (f"{NOT_ZERO}/compute(10 div attempts as x)/filter(x gt 2)", []),
        (f"{NOT_ZERO}/identity/compute(1 as one)/filter(10 mod attempts lt 2)", []),
        (f"{NOT_ZERO}/orderby(10 div attempts)/top(2)", []),
        (f"{NOT_ZERO}/topcount(2,10 div attempts)", []),
        (f"{NOT_ZERO}/groupby((attempts))/filter(10 div attempts gt 2)", []),
        (f"{NOT_ZERO}/concat(identity,filter(10 div attempts gt 2))", []),
        (f"concat({NOT_ZERO},{NOT_ZERO})/filter(10 div attempts gt 2)", []),
        (NOT_ZERO, [("$filter", "10 div attempts gt 2")]),
        (NOT_ZERO, [("$compute", "10 div attempts as x"), ("$filter", "x gt 2")]),
        (NOT_ZERO, [("$orderby", "10 div attempts desc")]),
        (f"{NOT_ZERO}/orderby(10 div attempts)", []),
        (NOT_ZERO, [("$orderby", "10 div attempts"), ("$filter", "m ne 0")]),
        ("groupby((attempts))", [("$orderby", "10 div attempts"), ("$filter", "attempts gt 0")]),
        (f"{NOT_ZERO}/filter(substring('abc',0,attempts sub 1) ne 'x')", []),
        (f"{OF_TRIED}/filter(10 div attempts gt 2)/aggregate($count as n)", []),
        (f"{OF_TRIED}/filter(logs/any(l:10 div l/point/attempts gt 2))/aggregate($count as n)", []),
        (OF_TRIED, [("$orderby", "10 div attempts")]),
        (f"{BUSY}/filter(10 div attempts gt 2)", []),
        (SMALL_EMPLOYEES, [("$filter", "employeeId mul 1000 gt 0")]),
        (f"{SMALL_EMPLOYEES}/filter(-employeeId sub 9223372036854775700 lt 0)", []),
    ],
)
def test_expression_that_can_fail_is_evaluated_only_on_rows_that_are_left(
    apply: str, query: list[tuple[str, str]], client: Client
) -> None:
    options = [("$apply", apply), *query]
    pages = client.pages("PointRecords", *options, prefer="maxpagesize=2")
    found = [each for page in pages for each in page]
    assert found == client.json("PointRecords", *options, ("$top", "1000"))["value"]
    assert bool(found) != (BUSY in apply)
    assert client.get("PointRecords/$count", *options).body == str(len(found))
