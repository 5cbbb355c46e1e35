"""Related entities, expanded into the entities that they are related to."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from tests.odata.asking import ROOT, Client
from tests.odata.dataset import DataSet, Log, Record

FULL = "application/json;odata.metadata=full"


@pytest.fixture
def record(data: DataSet) -> Record:
    return next(each for each in data.records if len(each.logs) == 4)


@pytest.fixture
def ask(client: Client, record: Record) -> Callable[..., Any]:
    """Expand what the record is related to, with its id alone beside it."""

    def get(expand: str, *query: tuple[str, str], **headers: str) -> Any:
        options = [("$select", "id"), ("$expand", expand), *query]
        return client.json(f"PointRecords({record.id})", *options, **headers)

    return get


def ids(answer: Any) -> list[Any]:
    return [each["id"] for each in answer["logs"]]


@pytest.mark.parametrize(
    ("expand", "chosen"),
    [
        ("logs", lambda logs, _: logs),
        ("logs($top=2)", lambda logs, _: logs[:2]),
        ("logs($skip=1;$top=2)", lambda logs, _: logs[1:3]),
        ("logs($orderby=id desc)", lambda logs, _: logs[::-1]),
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
        ("logs($filter=$this/attempt eq 2)", lambda logs, _: logs[2:3]),
        ("logs($filter=point/employerId eq $it/employerId and $it/logs/$count eq 4)",
         lambda logs, _: logs),
        ("logs($filter=$it/logs/any(l:l/id gt $this/id))", lambda logs, _: logs[:-1]),
        ("logs($filter=contains(log,';)') or true)", lambda logs, _: logs),
        ("logs($search=accepted)", lambda logs, _: [log for log in logs if log.log == "accepted"]),
        ("logs($search=NOT accepted;$filter=attempt lt 3)",
         lambda logs, _: [log for log in logs if log.log != "accepted" and log.attempt < 3]),
        ("logs($compute=attempt mod 2 as odd;$filter=odd eq 1)",
         lambda logs, _: [log for log in logs if log.attempt % 2]),
        ("logs($compute=attempt mul -1 as back;$orderby=back)", lambda logs, _: logs[::-1]),
        (" logs ( TOP = 1 ; Select = id )", lambda logs, _: logs[:1]),
        ("logs(filter=attempt EQ 0)", lambda logs, _: logs[:1]),
        ("logs/PunchClock.IntegrationLog", lambda logs, _: logs),
        ("PunchClock.PointRecord/logs", lambda logs, _: logs),
        ("PointRecord/logs/IntegrationLog($top=1)", lambda logs, _: logs[:1]),
        ("*", lambda logs, _: logs),
        ("logs($levels=1)", lambda logs, _: logs),
        ("logs($levels=max)", lambda logs, _: logs),
        ("logs($top=0)", lambda logs, _: logs[:0]),
        ("logs($skip=99)", lambda logs, _: logs[99:]),
        ("logs($top=999999999999999999)", lambda logs, _: logs),
    ],
)  # fmt: skip
def test_an_expansion_has_the_related_entities_that_its_options_say(
    expand: str,
    chosen: Callable[[list[Log], Record], list[Log]],
    ask: Callable[..., Any],
    record: Record,
) -> None:
    answer = ask(expand, ("@s", "'REJECTED'"), ("@it", "status"))
    assert ids(answer) == [each.id for each in chosen(record.logs, record)]


def test_one_related_entity_is_an_object(client: Client, data: DataSet) -> None:
    for log in data.logs[:5]:
        answer = client.json(
            f"IntegrationLogs({log.id})",
            ("$select", "id"),
            ("$expand", "point($select=id,attempts;$compute=attempts add 1 as next)"),
        )
        assert answer["point"] == {"id": str(log.point.id), "attempts": log.point.attempts}


def test_expansions_of_a_collection_are_of_each_entity(client: Client, data: DataSet) -> None:
    answer = client.json(
        "PointRecords",
        ("$select", "id"),
        ("$expand", "logs($select=id;$count=true;$top=1)"),
        ("$filter", "attempts gt 0"),
        ("$top", "1000"),
    )
    records = [each for each in data.records if each.attempts > 0]
    assert answer["value"] == [
        {
            "id": str(each.id),
            "logs@odata.count": len(each.logs),
            "logs": [{"id": log.id} for log in each.logs[:1]],
        }
        for each in records
    ]


def test_expansions_nest_as_deep_as_the_setting_says(
    client: Client, client_of: Callable[[Settings], Client], record: Record
) -> None:
    two = "logs($select=id;$expand=point($select=id))"
    answer = client.json(f"PointRecords({record.id})", ("$expand", two))
    assert answer["logs"][0] == {"id": record.logs[0].id, "point": {"id": str(record.id)}}
    three = "logs($expand=point($expand=logs))"
    with pytest.raises(InvalidError, match=r"2 deep \(ODATA_EXPAND_DEPTH\)"):
        client.get("PointRecords", ("$expand", three))
    deeper = client_of(replace(Settings(), odata_expand_depth=3))
    answer = deeper.json(f"PointRecords({record.id})", ("$expand", three))
    assert len(answer["logs"][0]["point"]["logs"]) == 4
    for levels in ("logs($levels=3)", "*($levels=3)", "logs($expand=*($levels=2))"):
        with pytest.raises(InvalidError, match="ODATA_EXPAND_DEPTH"):
            client.get("PointRecords", ("$expand", levels))


def test_a_star_expands_what_no_other_item_names(ask: Callable[..., Any], record: Record) -> None:
    assert ids(ask("*,logs($top=1)")) == [record.logs[0].id]
    assert "logs" not in ask("*,logs/$count")
    two = ask("*($levels=2)")["logs"][0]
    assert two["point"]["status"] == record.status
    # What would lead back to where it came from is a reference.
    circle = ask("*($levels=max)")["logs"][0]
    assert circle["point"] == {"@odata.id": f"{ROOT}/PointRecords({record.id})"}
    assert ask("*/$ref")["logs"] == [
        {"@odata.id": f"{ROOT}/IntegrationLogs({each.id})"} for each in record.logs
    ]


@pytest.mark.parametrize("metadata", ["none", "minimal", "full"])
def test_a_reference_is_an_id_and_no_more(
    metadata: str, ask: Callable[..., Any], client: Client, record: Record
) -> None:
    accept = f"application/json;odata.metadata={metadata}"
    answer = ask("logs/$ref($orderby=id desc;$top=1;$count=true)", accept=accept)
    last = {"@odata.id": f"{ROOT}/IntegrationLogs({record.logs[-1].id})"}
    assert (answer["logs"], answer["logs@odata.count"]) == ([last], 4)
    log = f"IntegrationLogs({record.logs[0].id})"
    answer = client.json(log, ("$expand", "point/$ref"), accept=accept)
    assert answer["point"] == {"@odata.id": f"{ROOT}/PointRecords({record.id})"}


def test_references_are_resources_too(client: Client, record: Record) -> None:
    path = f"PointRecords({record.id})"
    answer = client.json(f"{path}/logs/$ref", ("$filter", "attempt eq 2"), ("$count", "true"))
    assert answer == {
        "@odata.context": f"{ROOT}/$metadata#Collection($ref)",
        "@odata.count": 1,
        "value": [{"@odata.id": f"{ROOT}/IntegrationLogs({record.logs[2].id})"}],
    }
    assert client.json(f"IntegrationLogs({record.logs[0].id})/point/$ref") == {
        "@odata.context": f"{ROOT}/$metadata#$ref",
        "@odata.id": f"{ROOT}/{path}",
    }
    pages = client.pages("PointRecords/$ref", prefer="maxpagesize=25")
    assert sum(map(len, pages)) == 60
    for query in [("$select", "id"), ("$expand", "logs"), ("$apply", "aggregate($count as n)")]:
        with pytest.raises(InvalidError):
            client.get("PointRecords/$ref", query)


def test_a_count_of_what_is_related_is_a_number_alone(ask: Callable[..., Any]) -> None:
    answer = ask("logs/$count")
    assert (answer["logs@odata.count"], "logs" in answer) == (4, False)
    assert ask("logs/$count($filter=attempt ge 2)")["logs@odata.count"] == 2
    assert ask("logs/$count($search=accepted;$filter=attempt lt 9)")["logs@odata.count"] == 1
    numbers = ask("logs/$count", accept="application/json;IEEE754Compatible=true")
    assert numbers["logs@odata.count"] == "4"


def test_large_numbers_are_text_within_an_expansion_too(ask: Callable[..., Any]) -> None:
    accept = "application/json;IEEE754Compatible=true;odata.metadata=none"
    answer = ask(
        "logs($select=id,attempt;$top=1;$count=true;$compute=id add 1 as n)", accept=accept
    )
    (log,) = answer["logs"]
    assert answer["logs@odata.count"] == "4"
    assert (type(log["id"]), type(log["attempt"])) == (str, int)


@pytest.mark.parametrize(
    ("select", "expand", "newer", "older"),
    [
        (None, "logs", "(logs())", ""),
        (None, "logs($select=id)", "(logs(id))", "(logs(id))"),
        ("id", "logs", "(id,logs())", "(id)"),
        ("logs,id", "logs", "(id,logs,logs())", "(id,logs)"),
        ("*", "logs($select=status,id)", "(*,logs(id,status))", "(*,logs(id,status))"),
        ("id", "logs($expand=point)", "(id,logs(point()))", "(id)"),
        ("id", "logs/$ref", "(id)", "(id)"),
        ("id", "logs/$count", "(id)", "(id)"),
        (None, "*", "(logs())", ""),
        (None, "logs($top=1;$filter=true)", "(logs())", ""),
    ],
)
def test_the_context_names_what_is_expanded(
    select: str | None, expand: str, newer: str, older: str, client: Client, record: Record
) -> None:
    query = [("$expand", expand)] + ([("$select", select)] if select else [])
    for version, fragment in (("4.01", newer), ("4.0", older)):
        answer = client.json("PointRecords", *query, odata_maxversion=version)
        assert answer["@odata.context"] == f"{ROOT}/$metadata#PointRecords{fragment}"
        answer = client.json(f"PointRecords({record.id})", *query, odata_maxversion=version)
        assert answer["@odata.context"].endswith(f"#PointRecords{fragment}/$entity")


def test_full_metadata_have_the_links_of_a_navigation(
    ask: Callable[..., Any], record: Record
) -> None:
    answer = ask("logs($select=id;$top=1)", accept=FULL)
    link = f"{ROOT}/PointRecords({record.id})/logs"
    names = list(answer)
    assert answer["logs@odata.associationLink"] == f"{link}/$ref"
    assert answer["logs@odata.navigationLink"] == link
    assert names.index("logs") == names.index("logs@odata.navigationLink") + 1
    (log,) = answer["logs"]
    assert log["@odata.type"] == "#PunchClock.IntegrationLog"
    assert log["id@odata.type"] == "#Int64"
    assert "point@odata.navigationLink" not in log  # not selected


def test_an_expanded_entity_without_its_key_says_its_id(
    ask: Callable[..., Any], record: Record
) -> None:
    (log,) = ask("logs($select=status;$top=1)")["logs"]
    first = record.logs[0]
    assert log == {"@odata.id": f"{ROOT}/IntegrationLogs({first.id})", "status": first.status}
    (log,) = ask("logs($select=status;$top=1)", accept="application/json;odata.metadata=none")[
        "logs"
    ]
    assert log == {"status": first.status}


def test_an_expansion_that_is_cut_has_a_link_to_the_rest(
    client_of: Callable[[Settings], Client], record: Record
) -> None:
    client = client_of(replace(Settings(), odata_expand_page=2))
    path = f"PointRecords({record.id})"
    options = "$select=id;$orderby=id desc;$filter=attempt ge @n and log ne '&=#+é'"
    for expand, expected in [
        (f"logs({options};$count=true)", record.logs[::-1]),
        (f"logs({options};$skip=1;$top=3)", record.logs[::-1][1:]),
        (f"logs({options};$top=2)", record.logs[::-1][:2]),
    ]:
        answer = client.json(path, ("$expand", expand), ("@n", "0"))
        found = answer["logs"]
        assert len(found) == 2
        link = answer.get("logs@odata.nextLink")
        assert (link is None) == (len(expected) == 2)
        if link:
            assert link.startswith(f"{ROOT}/{path}/logs?")
            assert link.isascii()
            following = client.follow(link)
            found += following["value"]
            assert following.get("@odata.count") == answer.get("logs@odata.count")
        assert found == [{"id": each.id} for each in expected]
    # No link could say what $it is: there is no page but the whole.
    answer = client.json(path, ("$expand", "logs($filter=$it/attempts ge 0)"))
    assert len(answer["logs"]) == 4
    assert "logs@odata.nextLink" not in answer


def test_a_property_behind_one_navigation_can_be_selected(client: Client, data: DataSet) -> None:
    log = data.logs[0]
    answer = client.json("IntegrationLogs", ("$select", "id,point/status,point/id"), ("$top", "1"))
    assert answer["@odata.context"].endswith("#IntegrationLogs(id,point(id,status))")
    expected = {"id": str(log.point.id), "status": log.point.status}
    assert answer["value"] == [{"id": log.id, "point": expected}]
    same = client.json(
        "IntegrationLogs", ("$select", "id,point/status,point/id"), ("$expand", "point"),
        ("$top", "1"),
    )  # fmt: skip
    assert same["value"] == answer["value"]


def test_navigation_resources_expand_too(client: Client, record: Record) -> None:
    path = f"PointRecords({record.id})/logs"
    answer = client.json(path, ("$expand", "point($select=id)"), ("$select", "id"), ("$top", "1"))
    assert answer["value"] == [{"id": record.logs[0].id, "point": {"id": str(record.id)}}]
    path = f"IntegrationLogs({record.logs[0].id})/point"
    assert client.json(path, ("$expand", "logs/$count"))["logs@odata.count"] == 4


def test_nobody_sees_through_an_expansion_what_is_not_theirs(client: Client, data: DataSet) -> None:
    own = Client(client.service, Principal(Role.EMPLOYER, employer_id=2))
    records = {str(each.id): each for each in data.records if each.employerId == 2}
    answer = own.json(
        "PointRecords",
        ("$expand", "logs($expand=point($select=id);$filter=$it/employerId eq 2;$count=true)"),
        ("$top", "1000"),
    )
    assert {each["id"] for each in answer["value"]} == set(records)
    for each in answer["value"]:
        assert ids(each) == [log.id for log in records[each["id"]].logs]
        assert all(log["point"] == {"id": each["id"]} for log in each["logs"])
    logs = own.json("IntegrationLogs", ("$expand", "point($expand=logs/$count)"), ("$top", "1000"))
    assert {each["point"]["id"] for each in logs["value"]} <= set(records)


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
        ("logs(", "option"), ("logs()", "option"), ("logs)", "cannot stand"), ("logs;", "stand"),
        ("logs($top=1", "never closed"), ("logs($top=1;)", "option"), ("logs(;$top=1)", "option"),
        ("logs($top)", "option"), ("logs($top=1,$skip=1)", "whole number"),
        ("logs($top=1)x", "cannot stand"), ("logs($top=1)(", "cannot stand"),
        ("logs(logs)", "option"), ("logs($top=1;top=2)", "twice"), ("logs($TOP=1;$top=2)", "twice"),
        ("logs($nope=1)", "no option"), ("logs(mine=1)", "no option"),
        ("logs($format=json)", "no option"), ("logs($skiptoken=x)", "no option"),
        ("logs($top=-1)", "whole number"), ("logs($top=)", "whole number"),
        ("logs($skip=x)", "whole number"), ("logs($top=\u0663)", "whole number"),
        ("logs($count=1)", "true or false"), ("logs($levels=0)", "from 1"),
        ("logs($levels=04)", "from 1"), ("logs($levels=x)", "from 1"), ("logs($levels=)", "from 1"),
        ("logs($filter=)", "missing"), ("logs($filter=nope eq 1)", "no property nope"),
        ("logs($filter=employeeId eq 1)", "no property employeeId"),
        ("logs($filter=log)", "Boolean"), ("logs($filter='x)", "never ends"),
        ("logs($filter=status eq 'x')or true", "cannot stand"),
        ("logs($filter=status eq @p)", "no property"), ("logs($filter=(true)", "never closed"),
        ("logs($orderby=nope)", "no property"), ("logs($orderby=id up)", "operator"),
        ("logs($select=nope)", "no property nope"), ("logs($select=)", "missing"),
        ("logs($search=)", "missing"), ("logs($search=gr(een)", "never closed"),
        ('logs($search="x)', "never ends"), ("logs($compute=attempt as status)", "already"),
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


def test_answers_with_expansions_are_json_whatever_is_selected(
    client: Client, record: Record
) -> None:
    for select in ("id", "logs", "*", "status,logs"):
        for expand in ("logs/$count", "logs/$ref", "logs($select=point)", "*"):
            for metadata in ("none", "minimal", "full"):
                answer = client.get(
                    f"PointRecords({record.id})", ("$select", select), ("$expand", expand),
                    accept=f"application/json;odata.metadata={metadata}",
                )  # fmt: skip
                assert any(name.startswith("logs") for name in json.loads(answer.body))
