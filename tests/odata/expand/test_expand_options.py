"""``$expand`` includes the related entities that its nested options select."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import InvalidError
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from tests.support.odata.client import ROOT, Client, key_of
from tests.support.odata.dataset import DataSet, Log, Record


def log_ids(entity: Any) -> list[Any]:
    return [key_of(each) for each in entity["logs"]]


@pytest.mark.parametrize(
    ("expand", "expected_logs"),
    [
        ("logs", lambda logs, _: logs),
        ("logs($top=2)", lambda logs, _: logs[:2]),
        ("logs($skip=1;$top=2)", lambda logs, _: logs[1:3]),
        ("logs($orderby=number desc)", lambda logs, _: logs[::-1]),
        ("logs($orderby=status desc,attempt)",
         lambda logs, _: sorted(sorted(logs, key=lambda log: log.attempt),
                                key=lambda log: log.status, reverse=True)),
        ("logs($filter=attempt gt 1)", lambda logs, _: [log for log in logs if log.attempt > 1]),
        ("logs($filter=status eq @s)",
         lambda logs, _: [log for log in logs if log.status == "REJECTED"]),
        ("logs($filter=status eq @t;@t='REJECTED')",
         lambda logs, _: [log for log in logs if log.status == "REJECTED"]),
        ("logs($filter=attempt eq @u;@u=attempt)", lambda logs, _: logs),
        ("logs($filter=status eq $it/status)",
         lambda logs, it: [log for log in logs if log.status == it.status]),
        ("logs($filter=status eq @it)",
         lambda logs, it: [log for log in logs if log.status == it.status]),
        ("logs($filter=isof(PunchClock.IntegrationLog))", lambda logs, _: logs),
        ("logs($filter=isof(PunchClock.PointRecord))", lambda *_: []),
        ("logs($filter=isof($it,PunchClock.PointRecord))", lambda logs, _: logs),
        ("logs($filter=@t;@t=isof(PunchClock.IntegrationLog))", lambda logs, _: logs),
        ("logs($filter=$this/attempt eq 2)", lambda logs, _: logs[2:3]),
        ("logs($filter=point/employerId eq $it/employerId and $it/logs/$count eq 4)",
         lambda logs, _: logs),
        ("logs($filter=$it/logs/any(l:l/number gt $this/number))", lambda logs, _: logs[:-1]),
        ("logs($filter=contains(log,';)') or true)", lambda logs, _: logs),
        ("logs($search=accepted)", lambda logs, _: [log for log in logs if log.log == "accepted"]),
        ("logs($search=NOT accepted;$filter=attempt lt 3)",
         lambda logs, _: [log for log in logs if log.log != "accepted" and log.attempt < 3]),
        ("logs($compute=attempt mod 2 as odd;$filter=odd eq 1)",
         lambda logs, _: [log for log in logs if log.attempt % 2]),
        ("logs($compute=attempt mul -1 as back;$orderby=back)", lambda logs, _: logs[::-1]),
        (" logs ( TOP = 1 ; Select = pointId,number )", lambda logs, _: logs[:1]),
        ("logs(filter=attempt EQ 0)", lambda logs, _: logs[:1]),
        ("logs/PunchClock.IntegrationLog", lambda logs, _: logs),
        ("PunchClock.PointRecord/logs", lambda logs, _: logs),
        ("PointRecord/logs/IntegrationLog($top=1)", lambda logs, _: logs[:1]),
        ("*", lambda logs, _: logs),
        ("logs($levels=1)", lambda logs, _: logs),
        ("logs($levels=max)", lambda logs, _: logs),
        ("logs($top=0)", lambda logs, _: logs[:0]),
        ("logs($skip=99)", lambda logs, _: logs[99:]),
        ("logs(@log=$this;@of=$this/point;$filter=@log/status ne @of/status and @of/logs/any())",
         lambda logs, record: [each for each in logs if each.status != record.status]),
        ("logs($top=999999999999999999)", lambda logs, _: logs),
    ],
)  # fmt: skip
def test_nested_options_select_and_sort_related_entities(
    expand: str,
    expected_logs: Callable[[list[Log], Record], list[Log]],
    get_expanded: Callable[..., Any],
    record: Record,
) -> None:
    response = get_expanded(expand, ("@s", "'REJECTED'"), ("@it", "status"))
    assert log_ids(response) == [each.id for each in expected_logs(record.logs, record)]


def test_expanded_single_entity_is_a_json_object(client: Client, data: DataSet) -> None:
    for log in data.logs[:5]:
        response = client.json(
            f"IntegrationLogs({log.id})",
            ("$select", "number"),
            ("$expand", "point($select=id,attempts;$compute=attempts add 1 as next)"),
        )
        assert response["point"] == {"id": str(log.point.id), "attempts": log.point.attempts}


def test_collection_expands_related_entities_of_each_entity(client: Client, data: DataSet) -> None:
    response = client.json(
        "PointRecords",
        ("$select", "id"),
        ("$expand", "logs($select=number;$count=true;$top=1)"),
        ("$filter", "attempts gt 0"),
        ("$top", "1000"),
    )
    records = [each for each in data.records if each.attempts > 0]
    assert response["value"] == [
        {
            "id": str(each.id),
            "logs@odata.count": len(each.logs),
            "logs": [
                {"@odata.id": f"{ROOT}/IntegrationLogs({log.id})", "number": log.number}
                for log in each.logs[:1]
            ],
        }
        for each in records
    ]


def test_expand_depth_is_limited_by_the_setting(
    client: Client, client_of: Callable[[Settings], Client], record: Record
) -> None:
    two = "logs($select=pointId,number;$expand=point($select=id))"
    response = client.json(f"PointRecords({record.id})", ("$expand", two))
    point = response["logs"][0].pop("point")
    assert (log_ids(response)[0], point) == (record.logs[0].id, {"id": str(record.id)})
    three = "logs($expand=point($expand=logs))"
    with pytest.raises(InvalidError, match=r"2 levels \(ODATA_EXPAND_DEPTH\)"):
        client.get("PointRecords", ("$expand", three))
    deeper = client_of(replace(Settings(), odata_expand_depth=3))
    response = deeper.json(f"PointRecords({record.id})", ("$expand", three))
    assert len(response["logs"][0]["point"]["logs"]) == 4
    for levels in ("logs($levels=3)", "*($levels=3)", "logs($expand=*($levels=2))"):
        with pytest.raises(InvalidError, match="ODATA_EXPAND_DEPTH"):
            client.get("PointRecords", ("$expand", levels))


def test_star_expands_all_navigations_that_no_other_item_names(
    get_expanded: Callable[..., Any], record: Record
) -> None:
    assert log_ids(get_expanded("*,logs($top=1)")) == [record.logs[0].id]
    assert "logs" not in get_expanded("*,logs/$count")
    log = get_expanded("*($levels=2)")["logs"][0]
    assert log["point"]["status"] == record.status
    # A navigation back to an ancestor is expanded to a reference.
    cycle = get_expanded("*($levels=max)")["logs"][0]
    assert cycle["point"] == {"@odata.id": f"{ROOT}/PointRecords({record.id})"}
    assert get_expanded("*/$ref")["logs"] == [
        {"@odata.id": f"{ROOT}/IntegrationLogs({each.id})"} for each in record.logs
    ]


def test_expanded_count_has_only_the_count_annotation(get_expanded: Callable[..., Any]) -> None:
    response = get_expanded("logs/$count")
    assert (response["logs@odata.count"], "logs" in response) == (4, False)
    assert get_expanded("logs/$count($filter=attempt ge 2)")["logs@odata.count"] == 2
    assert (
        get_expanded("logs/$count($search=accepted;$filter=attempt lt 9)")["logs@odata.count"] == 1
    )
    strings = get_expanded("logs/$count", accept="application/json;IEEE754Compatible=true")
    assert strings["logs@odata.count"] == "4"


def test_select_path_selects_a_property_of_a_related_entity(client: Client, data: DataSet) -> None:
    log = data.logs[0]
    response = client.json(
        "IntegrationLogs", ("$select", "pointId,number,point/status,point/id"), ("$top", "1")
    )
    assert response["@odata.context"].endswith("#IntegrationLogs(pointId,number,point(id,status))")
    expected = {"id": str(log.point.id), "status": log.point.status}
    assert response["value"] == [
        {"pointId": str(log.pointId), "number": log.number, "point": expected}
    ]
    same = client.json(
        "IntegrationLogs", ("$select", "pointId,number,point/status,point/id"),
        ("$expand", "point"), ("$top", "1"),
    )  # fmt: skip
    assert same["value"] == response["value"]


@pytest.mark.parametrize(
    ("items", "merged"),
    [
        ("logs($select=status),logs($select=attempt)", "logs($select=status,attempt)"),
        ("logs($select=status),logs($select=status)", "logs($select=status)"),
        ("logs($select=number),logs($select=number,status),logs($select=attempt)",
         "logs($select=number,status,attempt)"),
        ("logs($select=status),logs", "logs"),
        ("logs,logs($select=status),logs($select=number)", "logs"),
        ("logs($top=2;$select=number),logs($select=status;$top=2)",
         "logs($top=2;$select=number,status)"),
        ("logs($expand=point($select=id)),logs($expand=point($select=status))",
         "logs($expand=point($select=id,status))"),
        ("logs($select=number),logs($select=number;$expand=point($select=id))",
         "logs($select=number;$expand=point($select=id))"),
        ("logs($filter=attempt ge @a;@a=1;$select=number),"
         "logs($filter=attempt ge @a;@a=1;$select=log)",
         "logs($filter=attempt ge @a;@a=1;$select=number,log)"),
        ("PointRecord/logs($select=number),logs/IntegrationLog($select=log)",
         "logs($select=number,log)"),
    ],
)  # fmt: skip
def test_items_that_differ_in_what_they_select_are_merged(
    get_expanded: Callable[..., Any], items: str, merged: str
) -> None:
    assert get_expanded(items) == get_expanded(merged)


def test_merged_items_of_a_single_entity_and_their_next_link(
    client_of: Callable[[Settings], Client], data: DataSet, record: Record
) -> None:
    client = client_of(replace(Settings(), odata_expand_page=1))
    log = client.json(
        f"IntegrationLogs({data.logs[0].id})",
        ("$select", "number"),
        ("$expand", "point($select=status),point($select=employeeId)"),
    )
    assert log["point"]["status"] == data.logs[0].point.status
    assert log["@odata.context"].endswith("(number,point(employeeId,status))/$entity")
    expand = "logs($select=status),logs($select=pointId,number)"
    first = client.json(f"PointRecords({record.id})", ("$expand", expand))
    second = client.follow(first["logs@odata.nextLink"])
    assert [key_of(each) for each in second["value"]] == [each.id for each in record.logs[1:]]


def test_navigation_resources_accept_expand(client: Client, record: Record) -> None:
    path = f"PointRecords({record.id})/logs"
    response = client.json(path, ("$expand", "point($select=id)"), ("$top", "1"))
    assert response["value"][0]["point"] == {"id": str(record.id)}
    assert key_of(response["value"][0]) == record.logs[0].id
    path = f"IntegrationLogs({record.logs[0].id})/point"
    assert client.json(path, ("$expand", "logs/$count"))["logs@odata.count"] == 4


def test_expansion_contains_only_records_of_the_principal(client: Client, data: DataSet) -> None:
    own = Client(client.service, Principal(Role.EMPLOYER, employer_id=2))
    records = {str(each.id): each for each in data.records if each.employerId == 2}
    assert any(each.logs for each in records.values())
    response = own.json(
        "PointRecords",
        ("$expand", "logs($expand=point($select=id);$filter=$it/employerId eq 2;$count=true)"),
        ("$top", "1000"),
    )
    assert {each["id"] for each in response["value"]} == set(records)
    for each in response["value"]:
        assert log_ids(each) == [log.id for log in records[each["id"]].logs]
        assert all(log["point"] == {"id": each["id"]} for log in each["logs"])
    logs = own.json("IntegrationLogs", ("$expand", "point($expand=logs/$count)"), ("$top", "1000"))
    assert {each["point"]["id"] for each in logs["value"]} <= set(records)
