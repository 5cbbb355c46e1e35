"""System query options, headers and formats, as clients send them."""

import json

import pytest

from chalicelib.errors import InvalidError, NotAcceptableError, NotImplementedByServiceError
from tests.support.odata.client import ROOT, Client
from tests.support.odata.dataset import DataSet


@pytest.mark.parametrize("name", ["$top", "top", "TOP", "$Top", " $top"])
def test_names_of_options_have_a_dollar_or_not_and_any_case(name: str, client: Client) -> None:
    assert len(client.json("PointRecords", (name, "3"))["value"]) == 3


@pytest.mark.parametrize(
    "query",
    [
        [("$top", "1"), ("top", "1")],
        [("$filter", "true"), ("$FILTER", "true")],
        [("@a", "1"), ("@a", "1")],
        [("$nope", "1")],
        [("$", "1")],
        [("@", "1")],
        [("@1", "1")],
        [("$top", "-1")],
        [("$top", "1.5")],
        [("$top", "")],
        [("$top", "\u0663")],
        [("$skip", "x")],
        [("$count", "yes")],
        [("$count", "")],
        [("$select", "")],
        [("$select", "nope")],
        [("$select", "id,")],
        [("$select", "ID")],
        [("$orderby", "")],
        [("$orderby", "nope")],
        [("$orderby", "id up")],
        [("$orderby", "id asc desc")],
        [("$orderby", "id,,status")],
        [("$orderby", "logs")],
        [("$orderby", "desc id")],
        [("$orderby", ",".join(["id"] * 17))],
        [("$skiptoken", "")],
        [("$skiptoken", "x")],
        [("$filter", "status eq '\0'")],
        [("$filter", "status eq '\ud800'")],
        [("\ud800", "")],
    ],
    ids=str,
)
def test_options_that_are_none_are_refused(query: list[tuple[str, str]], client: Client) -> None:
    with pytest.raises(InvalidError):
        client.get("PointRecords", *query)


@pytest.mark.parametrize(
    "name",
    [
        "$deltatoken",
        "$index",
        "Index",
    ],
)
def test_options_that_are_not_supported_are_named(name: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError, match=name.lower().strip("$")):
        client.get("PointRecords", (name, "x"))


@pytest.mark.parametrize("path", ["", "$metadata", "PointRecords/$count"])
def test_options_that_mean_nothing_for_a_resource_are_refused(path: str, client: Client) -> None:
    with pytest.raises(InvalidError, match="skiptoken"):
        client.get(path, ("$skiptoken", "x"))


def test_one_entity_cannot_be_filtered(client: Client, data: DataSet) -> None:
    with pytest.raises(InvalidError, match="filter"):
        client.get(f"PointRecords({data.records[0].id})", ("$filter", "true"))


def test_options_of_the_clients_own_are_left_alone(client: Client) -> None:
    assert (
        client.get("PointRecords", ("x", "1"), ("x", "2"), ("skiptoken", "y"), ("", "")).status
        == 200
    )


def test_a_selection_has_what_was_selected(client: Client) -> None:
    answer = client.json("PointRecords", ("$select", " status , id,logs"), ("$top", "1"))
    assert answer["@odata.context"] == f"{ROOT}/$metadata#PointRecords(id,status,logs)"
    assert list(answer["value"][0]) == ["id", "status"]
    everything = client.json("PointRecords", ("$select", "*,status"), ("$top", "1"))
    assert len(everything["value"][0]) == 16


def test_an_entity_without_its_key_says_its_id(client: Client, data: DataSet) -> None:
    record = data.records[0]
    answer = client.json("PointRecords", ("$select", "status"), ("$top", "1"))
    link = f"{ROOT}/PointRecords({record.id})"
    assert answer["value"] == [{"@odata.id": link, "status": record.status}]
    bare = client.json(
        "PointRecords",
        ("$select", "status"),
        ("$top", "1"),
        accept="application/json;metadata=none",
    )
    assert bare == {"value": [{"status": record.status}]} | {
        key: value for key, value in bare.items() if key == "@odata.nextLink"
    }


def test_full_metadata_say_all_that_a_client_could_compute(client: Client, data: DataSet) -> None:
    record = data.records[0]
    answer = client.json(
        f"PointRecords({record.id})", accept="application/json;odata.metadata=full"
    )
    link = f"{ROOT}/PointRecords({record.id})"
    assert answer["@odata.type"] == "#PunchClock.PointRecord"
    assert answer["@odata.id"] == answer["@odata.editLink"] == link
    assert answer["logs@odata.navigationLink"] == f"{link}/logs"
    assert answer["id@odata.type"] == "#Guid"
    assert answer["includedAt@odata.type"] == "#DateTimeOffset"
    assert answer["id"] == str(record.id)


def test_large_numbers_are_text_for_clients_that_ask(client: Client, data: DataSet) -> None:
    answer = client.json(
        "PointRecords",
        ("$count", "true"),
        ("$top", "1"),
        accept="application/json;IEEE754Compatible=true",
    )
    assert answer["@odata.count"] == str(len(data.records))
    record = data.records[0]
    assert answer["value"][0]["employeeId"] == str(record.employeeId)
    assert answer["value"][0]["attempts"] == record.attempts


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/json;odata.metadata=minimal"),
        ("*/*", "application/json;odata.metadata=minimal"),
        ("application/*", "application/json;odata.metadata=minimal"),
        ("text/html, application/json;q=0.5", "application/json;odata.metadata=minimal"),
        ("application/json;odata.metadata=none", "application/json;odata.metadata=none"),
        ("application/json;metadata=none", "application/json;odata.metadata=none"),
        ("application/json;odata.metadata=full;odata.streaming=true",
         "application/json;odata.metadata=full"),
        ("APPLICATION/JSON;ODATA.METADATA=MINIMAL", "application/json;odata.metadata=minimal"),
        ("application/json;q=0.1, application/json;metadata=none;q=0.9",
         "application/json;odata.metadata=none"),
        ("application/json;x=y, application/json", "application/json;odata.metadata=minimal"),
        ("application/json;charset=utf-8",
         "application/json;odata.metadata=minimal;charset=utf-8"),
        ("application/json;IEEE754Compatible=true",
         "application/json;odata.metadata=minimal;IEEE754Compatible=true"),
    ],
)  # fmt: skip
def test_the_format_is_what_the_client_accepts(
    accept: str, content_type: str, client: Client
) -> None:
    answer = client.get("PointRecords", ("$top", "1"), accept=accept)
    assert answer.headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/xml", "application/json;q=0", "application/json;x=y", "nonsense",
     "application/json;odata.metadata=some", "application/json;charset=latin-1",
     "text/plain;q=high"],
)  # fmt: skip
def test_a_format_that_is_not_there_is_not_acceptable(accept: str, client: Client) -> None:
    with pytest.raises(NotAcceptableError):
        client.get("PointRecords", accept=accept)


def test_format_overrides_accept(client: Client) -> None:
    answer = client.get("PointRecords", ("$format", "json"), ("$top", "1"), accept="text/html")
    assert answer.headers["Content-Type"] == "application/json;odata.metadata=minimal"
    none = client.get("PointRecords", ("$format", "application/json;odata.metadata=none"))
    assert "@odata.context" not in json.loads(none.body)
    assert client.get("$metadata", ("$format", "xml"), accept="text/html").status == 200
    for path, form in [("PointRecords", "xml"), ("PointRecords", "atom")]:
        with pytest.raises(NotAcceptableError):
            client.get(path, ("$format", form))


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        (None, "4.01"),
        ("4.0", "4.0"),
        ("4.01", "4.01"),
        ("4.02", "4.01"),
        ("5.0", "4.01"),
        (" 4.0 ", "4.0"),
    ],
)
def test_the_version_is_what_the_client_knows(
    wanted: str | None, version: str, client: Client
) -> None:
    headers = {} if wanted is None else {"odata_maxversion": wanted}
    for path in ("", "$metadata", "PointRecords", "PointRecords/$count"):
        assert client.get(path, **headers).headers["OData-Version"] == version
    assert f'Version="{version}"' in client.get("$metadata", **headers).body


@pytest.mark.parametrize("wanted", ["3.0", "1.0", "x", "", "4"])
def test_a_version_before_four_is_refused(wanted: str, client: Client) -> None:
    with pytest.raises(InvalidError, match="OData-MaxVersion"):
        client.get("PointRecords", odata_maxversion=wanted)


def test_a_count_counts_all_that_the_filter_selects(client: Client, data: DataSet) -> None:
    answer = client.json(
        "PointRecords",
        ("$filter", "attempts eq 0"),
        ("$count", "TRUE"),
        ("$top", "2"),
        ("$skip", "1"),
    )
    assert answer["@odata.count"] == sum(each.attempts == 0 for each in data.records)
    assert "@odata.count" not in client.json("PointRecords", ("$count", "false"))


@pytest.mark.parametrize(
    "option", [("$top", "-1"), ("$skip", "a"), ("$orderby", "nope"), ("$count", "x")]
)
def test_an_option_that_changes_no_count_must_still_be_one(
    option: tuple[str, str], client: Client
) -> None:
    with pytest.raises(InvalidError):
        client.get("PointRecords/$count", option)
