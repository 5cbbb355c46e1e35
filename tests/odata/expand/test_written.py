"""How expansions are written: contexts, links, references, ids."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import InvalidError
from chalicelib.settings import Settings
from tests.support.odata.client import ROOT, Client
from tests.support.odata.dataset import Record

FULL = "application/json;odata.metadata=full"


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
