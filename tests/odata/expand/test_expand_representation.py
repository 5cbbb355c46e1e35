"""The JSON of expansions: context URLs, links, references and ids."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import InvalidError
from chalicelib.settings import Settings
from tests.support.odata.client import ROOT, Client, key_of
from tests.support.odata.dataset import Record

FULL = "application/json;odata.metadata=full"


@pytest.mark.parametrize("metadata", ["none", "minimal", "full"])
def test_expanded_reference_contains_only_the_id(
    metadata: str, get_expanded: Callable[..., Any], client: Client, record: Record
) -> None:
    accept = f"application/json;odata.metadata={metadata}"
    response = get_expanded("logs/$ref($orderby=number desc;$top=1;$count=true)", accept=accept)
    last = {"@odata.id": f"{ROOT}/IntegrationLogs({record.logs[-1].id})"}
    assert (response["logs"], response["logs@odata.count"]) == ([last], 4)
    log = f"IntegrationLogs({record.logs[0].id})"
    response = client.json(log, ("$expand", "point/$ref"), accept=accept)
    assert response["point"] == {"@odata.id": f"{ROOT}/PointRecords({record.id})"}


def test_ref_path_returns_references_of_a_collection_and_an_entity(
    client: Client, record: Record
) -> None:
    path = f"PointRecords({record.id})"
    response = client.json(f"{path}/logs/$ref", ("$filter", "attempt eq 2"), ("$count", "true"))
    assert response == {
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


def test_int64_in_an_expansion_is_a_string_for_ieee754_clients(
    get_expanded: Callable[..., Any],
) -> None:
    accept = "application/json;IEEE754Compatible=true;odata.metadata=none"
    response = get_expanded(
        "logs($select=attempt,n;$top=1;$count=true;$compute=number add 1 as n)", accept=accept
    )
    (log,) = response["logs"]
    assert response["logs@odata.count"] == "4"
    assert (type(log["n"]), type(log["attempt"])) == (str, int)


@pytest.mark.parametrize(
    ("select", "expand", "context_401", "context_40"),
    [
        (None, "logs", "(logs())", ""),
        (None, "logs($select=number)", "(logs(number))", "(logs(number))"),
        ("id", "logs", "(id,logs())", "(id)"),
        ("logs,id", "logs", "(id,logs,logs())", "(id,logs)"),
        ("*", "logs($select=status,number)", "(*,logs(number,status))", "(*,logs(number,status))"),
        ("id", "logs($expand=point)", "(id,logs(point()))", "(id)"),
        ("id", "logs/$ref", "(id)", "(id)"),
        ("id", "logs/$count", "(id)", "(id)"),
        (None, "*", "(logs())", ""),
        (None, "logs($top=1;$filter=true)", "(logs())", ""),
    ],
)
def test_context_url_lists_the_expansions(
    select: str | None,
    expand: str,
    context_401: str,
    context_40: str,
    client: Client,
    record: Record,
) -> None:
    query = [("$expand", expand)] + ([("$select", select)] if select else [])
    for version, fragment in (("4.01", context_401), ("4.0", context_40)):
        response = client.json("PointRecords", *query, odata_maxversion=version)
        assert response["@odata.context"] == f"{ROOT}/$metadata#PointRecords{fragment}"
        response = client.json(f"PointRecords({record.id})", *query, odata_maxversion=version)
        assert response["@odata.context"].endswith(f"#PointRecords{fragment}/$entity")


def test_full_metadata_includes_navigation_and_association_links(
    get_expanded: Callable[..., Any], record: Record
) -> None:
    response = get_expanded("logs($select=number;$top=1)", accept=FULL)
    link = f"{ROOT}/PointRecords({record.id})/logs"
    names = list(response)
    assert response["logs@odata.associationLink"] == f"{link}/$ref"
    assert response["logs@odata.navigationLink"] == link
    assert names.index("logs") == names.index("logs@odata.navigationLink") + 1
    (log,) = response["logs"]
    assert log["@odata.type"] == "#PunchClock.IntegrationLog"
    assert log["number@odata.type"] == "#Int32"
    assert "point@odata.navigationLink" not in log  # not selected


def test_expanded_entity_without_its_key_has_an_id_annotation(
    get_expanded: Callable[..., Any], record: Record
) -> None:
    (log,) = get_expanded("logs($select=status;$top=1)")["logs"]
    first = record.logs[0]
    assert log == {"@odata.id": f"{ROOT}/IntegrationLogs({first.id})", "status": first.status}
    (log,) = get_expanded(
        "logs($select=status;$top=1)", accept="application/json;odata.metadata=none"
    )["logs"]
    assert log == {"status": first.status}


def test_partial_expansion_has_a_next_link_to_the_rest(
    client_of: Callable[[Settings], Client], record: Record
) -> None:
    client = client_of(replace(Settings(), odata_expand_page=2))
    path = f"PointRecords({record.id})"
    options = "$select=pointId,number;$orderby=number desc;$filter=attempt ge @n and log ne '&=#+é'"
    for expand, expected in [
        (f"logs({options};$count=true)", record.logs[::-1]),
        (f"logs({options};$skip=1;$top=3)", record.logs[::-1][1:]),
        (f"logs({options};$top=2)", record.logs[::-1][:2]),
    ]:
        response = client.json(path, ("$expand", expand), ("@n", "0"))
        logs = response["logs"]
        assert len(logs) == 2
        link = response.get("logs@odata.nextLink")
        assert (link is None) == (len(expected) == 2)
        if link:
            assert link.startswith(f"{ROOT}/{path}/logs?")
            assert link.isascii()
            next_page = client.follow(link)
            logs += next_page["value"]
            assert next_page.get("@odata.count") == response.get("logs@odata.count")
        assert [key_of(each) for each in logs] == [each.id for each in expected]
    # A nextLink cannot express $it, so such an expansion has one page.
    response = client.json(path, ("$expand", "logs($filter=$it/attempts ge 0)"))
    assert len(response["logs"]) == 4
    assert "logs@odata.nextLink" not in response


def test_preferred_page_size_bounds_expansions_too(client: Client, record: Record) -> None:
    for path, query in [
        (f"PointRecords({record.id})", ()),
        ("PointRecords", (("$filter", f"id eq {record.id}"),)),
    ]:
        for size, expected in (("3", 3), ("1000", 4)):
            prefer = f"maxpagesize={size}"
            response = client.json(path, ("$expand", "logs"), *query, prefer=prefer)
            (entity,) = response.get("value", [response])
            logs, link = entity["logs"], entity.get("logs@odata.nextLink")
            assert len(logs) == expected
            if link:
                logs = logs + client.follow(link, prefer=prefer)["value"]
            assert [key_of(each) for each in logs] == [each.id for each in record.logs]


def test_response_is_valid_json_for_each_select_and_expand(client: Client, record: Record) -> None:
    for select in ("id", "logs", "*", "status,logs"):
        for expand in ("logs/$count", "logs/$ref", "logs($select=point)", "*"):
            for metadata in ("none", "minimal", "full"):
                response = client.get(
                    f"PointRecords({record.id})", ("$select", select), ("$expand", expand),
                    accept=f"application/json;odata.metadata={metadata}",
                )  # fmt: skip
                assert any(name.startswith("logs") for name in json.loads(response.body))
