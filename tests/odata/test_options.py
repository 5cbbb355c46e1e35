"""System query options, format and version negotiation, and the JSON metadata levels."""

import json

import pytest

from chalicelib.errors import InvalidError, NotAcceptableError, NotImplementedByServiceError
from tests.support.odata.client import ROOT, Client
from tests.support.odata.dataset import DataSet


@pytest.mark.parametrize("name", ["$top", "top", "TOP", "$Top", " $top"])
def test_option_name_may_omit_the_dollar_and_have_any_case(name: str, client: Client) -> None:
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
def test_invalid_option_is_rejected(query: list[tuple[str, str]], client: Client) -> None:
    with pytest.raises(InvalidError):
        client.get("PointRecords", *query)


@pytest.mark.parametrize(
    "name",
    ["$deltatoken", "$index", "Index"],
)
def test_unsupported_option_is_not_implemented(name: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError, match=name.lower().strip("$")):
        client.get("PointRecords", (name, "x"))


@pytest.mark.parametrize("path", ["", "$metadata", "PointRecords/$count"])
def test_option_that_the_resource_does_not_accept_is_rejected(path: str, client: Client) -> None:
    with pytest.raises(InvalidError, match="skiptoken"):
        client.get(path, ("$skiptoken", "x"))


def test_single_entity_does_not_accept_a_filter(client: Client, data: DataSet) -> None:
    with pytest.raises(InvalidError, match="filter"):
        client.get(f"PointRecords({data.records[0].id})", ("$filter", "true"))


def test_custom_options_are_ignored(client: Client) -> None:
    assert (
        client.get("PointRecords", ("x", "1"), ("x", "2"), ("skiptoken", "y"), ("", "")).status
        == 200
    )


def test_top_and_skip_may_exceed_any_number_of_rows(client: Client) -> None:
    many = "9" * 30
    expanded = client.pages("PointRecords", ("$expand", "logs"))
    assert client.pages("PointRecords", ("$expand", f"logs($top={many})")) == expanded
    skipped = client.pages("PointRecords", ("$expand", f"logs($skip={many})"))
    assert not any(record["logs"] for page in skipped for record in page)
    records = client.pages("PointRecords")
    assert client.pages("PointRecords", ("$apply", f"top({many})")) == records
    assert client.pages("PointRecords", ("$apply", f"skip({many})")) == [[]]


def test_select_returns_only_the_selected_properties(client: Client) -> None:
    response = client.json("PointRecords", ("$select", " status , id,logs"), ("$top", "1"))
    assert response["@odata.context"] == f"{ROOT}/$metadata#PointRecords(id,status,logs)"
    assert list(response["value"][0]) == ["id", "status"]
    everything = client.json("PointRecords", ("$select", "*,status"), ("$top", "1"))
    assert len(everything["value"][0]) == 20


def test_entity_without_its_key_has_an_id_annotation(client: Client, data: DataSet) -> None:
    record = data.records[0]
    response = client.json("PointRecords", ("$select", "status"), ("$top", "1"))
    link = f"{ROOT}/PointRecords({record.id})"
    assert response["value"] == [{"@odata.id": link, "status": record.status}]
    without_metadata = client.json(
        "PointRecords",
        ("$select", "status"),
        ("$top", "1"),
        accept="application/json;metadata=none",
    )
    assert without_metadata == {"value": [{"status": record.status}]} | {
        key: value for key, value in without_metadata.items() if key == "@odata.nextLink"
    }


def test_full_metadata_contains_types_ids_and_links(client: Client, data: DataSet) -> None:
    record = data.records[0]
    response = client.json(
        f"PointRecords({record.id})", accept="application/json;odata.metadata=full"
    )
    link = f"{ROOT}/PointRecords({record.id})"
    assert response["@odata.type"] == "#PunchClock.PointRecord"
    assert response["@odata.id"] == response["@odata.editLink"] == link
    assert response["logs@odata.navigationLink"] == f"{link}/logs"
    assert response["id@odata.type"] == "#Guid"
    assert response["includedAt@odata.type"] == "#DateTimeOffset"
    assert response["id"] == str(record.id)


def test_int64_is_a_string_for_ieee754_compatible_clients(client: Client, data: DataSet) -> None:
    response = client.json(
        "PointRecords",
        ("$count", "true"),
        ("$top", "1"),
        accept="application/json;IEEE754Compatible=true",
    )
    assert response["@odata.count"] == str(len(data.records))
    record = data.records[0]
    assert response["value"][0]["employeeId"] == str(record.employeeId)
    assert response["value"][0]["attempts"] == record.attempts


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
        ('application/json;odata.metadata="none";', "application/json;odata.metadata=none"),
        ('application/json; ; charset="UTF-8"',
         "application/json;odata.metadata=minimal;charset=utf-8"),
        ("application/json;charset=utf-8",
         "application/json;odata.metadata=minimal;charset=utf-8"),
        ("application/json;IEEE754Compatible=true",
         "application/json;odata.metadata=minimal;IEEE754Compatible=true"),
    ],
)  # fmt: skip
def test_accept_header_determines_the_content_type(
    accept: str, content_type: str, client: Client
) -> None:
    response = client.get("PointRecords", ("$top", "1"), accept=accept)
    assert response.headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/xml", "application/json;q=0", "application/json;x=y", "nonsense",
     "application/json;odata.metadata=some", "application/json;charset=latin-1",
     "text/plain;q=high"],
)  # fmt: skip
def test_unsupported_format_is_not_acceptable(accept: str, client: Client) -> None:
    with pytest.raises(NotAcceptableError):
        client.get("PointRecords", accept=accept)


def test_format_overrides_accept(client: Client) -> None:
    response = client.get("PointRecords", ("$format", "json"), ("$top", "1"), accept="text/html")
    assert response.headers["Content-Type"] == "application/json;odata.metadata=minimal"
    none = client.get("PointRecords", ("$format", "application/json;odata.metadata=none"))
    assert "@odata.context" not in json.loads(none.body)
    assert client.get("$metadata", ("$format", "xml"), accept="text/html").status == 200
    for media_type in ("xml", "atom"):
        with pytest.raises(NotAcceptableError):
            client.get("PointRecords", ("$format", media_type))


@pytest.mark.parametrize(
    ("max_version", "version"),
    [
        (None, "4.01"),
        ("4.0", "4.0"),
        ("4.01", "4.01"),
        ("4.02", "4.01"),
        ("5.0", "4.01"),
        (" 4.0 ", "4.0"),
    ],
)
def test_response_version_is_at_most_the_max_version(
    max_version: str | None, version: str, client: Client
) -> None:
    headers = {} if max_version is None else {"odata_maxversion": max_version}
    for path in ("", "$metadata", "PointRecords", "PointRecords/$count"):
        assert client.get(path, **headers).headers["OData-Version"] == version
    assert f'Version="{version}"' in client.get("$metadata", **headers).body


@pytest.mark.parametrize("max_version", ["3.0", "1.0", "x", "", "4"])
def test_max_version_below_four_is_rejected(max_version: str, client: Client) -> None:
    with pytest.raises(InvalidError, match="OData-MaxVersion"):
        client.get("PointRecords", odata_maxversion=max_version)


def test_count_option_counts_all_entities_that_match_the_filter(
    client: Client, data: DataSet
) -> None:
    response = client.json(
        "PointRecords",
        ("$filter", "attempts eq 0"),
        ("$count", "TRUE"),
        ("$top", "2"),
        ("$skip", "1"),
    )
    assert response["@odata.count"] == sum(each.attempts == 0 for each in data.records)
    assert "@odata.count" not in client.json("PointRecords", ("$count", "false"))


@pytest.mark.parametrize(
    "option", [("$top", "-1"), ("$skip", "a"), ("$orderby", "nope"), ("$count", "x")]
)
def test_count_path_ignores_valid_options_and_rejects_invalid_ones(
    option: tuple[str, str], client: Client
) -> None:
    with pytest.raises(InvalidError):
        client.get("PointRecords/$count", option)
