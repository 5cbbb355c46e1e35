"""Resource paths: each kind of resource, its keys, and paths that do not exist."""

import json
import re
from datetime import datetime
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from chalicelib.errors import InvalidError, NotFoundError, NotImplementedByServiceError
from chalicelib.instant import to_text
from chalicelib.odata.model import ENTITY_SETS
from chalicelib.odata.plain_record import record_json
from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import ReadSession
from chalicelib.settings import Settings
from tests.support.odata.client import ROOT, Client, key_of, rows
from tests.support.odata.dataset import DataSet, Log, Record
from tests.support.tokens import INTEGRATION

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"


def record_with_logs(data: DataSet) -> Record:
    return next(each for each in data.records if len(each.logs) > 1)


@pytest.mark.parametrize("path", ["", "/"])
def test_service_document_lists_the_entity_sets(path: str, client: Client) -> None:
    response = client.json(path)
    assert response["@odata.context"] == f"{ROOT}/$metadata"
    assert [each["url"] for each in response["value"]] == list(ENTITY_SETS)
    assert {each["kind"] for each in response["value"]} == {"EntitySet"}


@pytest.mark.parametrize("path", ["$metadata", "%24metadata", "/$metadata/"])
def test_metadata_describes_every_property(path: str, client: Client) -> None:
    response = client.get(path, accept="*/*")
    assert response.headers["Content-Type"] == "application/xml"
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    document = ElementTree.fromstring(response.body)  # noqa: S314 - trusted: the service wrote it
    assert document.attrib == {"Version": "4.01"}
    types = {each.attrib["Name"]: each for each in document.iter(f"{edm}EntityType")}
    for entity in ENTITY_SETS.values():
        element = types[entity.name]
        key = ["pointId", "number"] if entity.name == "IntegrationLog" else ["id"]
        assert [each.attrib["Name"] for each in element.iter(f"{edm}PropertyRef")] == key
        described = {each.attrib["Name"]: each.attrib for each in element.iter(f"{edm}Property")}
        for prop in entity.properties:
            attributes = described.pop(prop.name)
            assert attributes["Type"] == prop.type.value
            assert attributes["Nullable"] == str(prop.nullable).lower()
        assert not described
    device = next(each for each in types["PointRecord"] if each.attrib.get("Name") == "deviceId")
    assert device.attrib["MaxLength"] == "100"
    binding = next(document.iter(f"{edm}NavigationPropertyBinding"))
    assert binding.attrib == {"Path": "logs", "Target": "IntegrationLogs"}


def test_metadata_agrees_with_the_tables(filled: Database) -> None:
    with filled.transaction() as connection:
        rows = connection.run(
            "SELECT table_name, column_name, is_nullable, data_type"
            " FROM information_schema.columns WHERE table_schema = 'public'"
        )
    columns = {(table, column): (nullable == "YES", kind) for table, column, nullable, kind in rows}
    kinds = {"timestamptz": "timestamp with time zone", "time": "time without time zone"}
    for entity in ENTITY_SETS.values():
        for prop in entity.properties:
            nullable, kind = columns[entity.table, prop.column]
            # The service also returns pending records, which have no replicatedAt.
            assert prop.nullable == (nullable or prop.name == "replicatedAt"), prop
            assert kind == kinds.get(prop.type.sql, prop.type.sql), prop


def test_entity_contains_every_property(client: Client, data: DataSet) -> None:
    record = data.records[0]
    response = client.json(f"PointRecords({record.id})")
    assert response.pop("@odata.context") == f"{ROOT}/$metadata#PointRecords/$entity"
    assert response.pop("@odata.etag").startswith('W/"')
    assert response == as_json(record)


def test_collection_contains_every_record(client: Client, data: DataSet) -> None:
    response = client.json("PointRecords", ("$top", "1000"))
    assert response["@odata.context"] == f"{ROOT}/$metadata#PointRecords"
    assert response["value"] == [as_json(each) for each in data.records]


def test_collection_contains_every_log(client: Client, data: DataSet) -> None:
    response = client.json("IntegrationLogs", ("$top", "1000"))
    assert response["value"] == [as_json(each) for each in data.logs]


def as_json(entity: Record | Log) -> dict[str, object]:
    names = [each.name for each in ENTITY_SETS[f"{_NAMES[type(entity)]}s"].properties]
    values = {name: getattr(entity, name, None) for name in names}  # nobody posted them
    return {
        name: to_text(value)
        if isinstance(value, datetime)
        else value
        if value is None or isinstance(value, int | float | str)
        else re.sub(r"(\.\d*?)0+$", r"\1", str(value))  # a time of day
        for name, value in values.items()
    }


_NAMES = {Record: "PointRecord", Log: "IntegrationLog"}


def test_plain_record_equals_the_odata_entity(
    client: Client, filled: Database, data: DataSet
) -> None:
    for record in data.records:
        text = record_json(ReadSession(filled, 10), str(record.id), INTEGRATION)
        response = client.json(f"PointRecords({record.id})", ("$format", "json"))
        del response["@odata.context"], response["@odata.etag"]
        assert text is not None
        assert json.loads(text) == response
    assert record_json(ReadSession(filled, 10), UNKNOWN_ID, INTEGRATION) is None


@pytest.mark.parametrize(
    "form",
    ["PointRecords({})", "PointRecords(id={})", "PointRecords( id = {} )", "PointRecords(@k)"],
)
def test_key_may_be_positional_named_or_an_alias(form: str, client: Client, data: DataSet) -> None:
    key = data.records[3].id
    for path in (form.format(key), quote(form.format(str(key).upper()), safe="")):
        assert client.json(path, ("@k", str(key)))["id"] == str(key)


def test_navigation_works_in_both_directions(client: Client, data: DataSet) -> None:
    record = record_with_logs(data)
    path = f"PointRecords({record.id})"
    response = client.json(f"{path}/logs")
    assert response["@odata.context"] == f"{ROOT}/$metadata#IntegrationLogs"
    assert [key_of(each) for each in response["value"]] == [each.id for each in record.logs]
    log = record.logs[1]
    for key in (
        log.id,
        log.number,
        f"number={log.number}",
        f" number = {log.number} , {log.id[:44]}",
    ):
        assert key_of(client.json(f"{path}/logs({key})")) == log.id
    assert client.json(f"IntegrationLogs({log.id})/point")["id"] == str(record.id)
    assert client.json(f"IntegrationLogs({log.id})/point/logs")["value"] == response["value"]
    for count in ("logs/$count", "logs%2F$count", "logs%2f%24count", "%2Flogs/%24count"):
        assert client.get(f"{path}/{count}").body == str(len(record.logs))
    assert client.get(f"{path}/logs/$count", ("$filter", f"number eq {log.number}")).body == "1"
    assert client.json(f"{path}/logs({log.id})/status")["value"] == log.status


def test_path_that_returns_to_a_record_has_its_entities(client: Client, data: DataSet) -> None:
    record = record_with_logs(data)
    first, second, *_ = record.logs
    other = next(each for each in data.records if each.logs and each is not record)
    back = f"IntegrationLogs({first.id})/point/logs({second.number})/point"
    assert client.json(back)["id"] == str(record.id)
    assert client.json(f"{back}/status")["value"] == record.status
    logs = client.json(f"{back}/logs")["value"]
    assert [key_of(each) for each in logs] == [each.id for each in record.logs]
    assert client.get(f"PointRecords({record.id})/logs(1)/point/logs/$count").body == str(len(logs))
    for missing in (
        f"IntegrationLogs({first.id})/point/logs(99)/point",
        f"IntegrationLogs({first.id})/point/logs({other.logs[0].id})/point",
        f"PointRecords({record.id})/logs({other.logs[0].id})/point/logs",
    ):
        with pytest.raises(NotFoundError):
            client.get(missing)


def test_filter_of_a_path_is_evaluated_only_on_its_entities(client: Client, data: DataSet) -> None:
    texts = [None if each.log is None else len(each.log) for each in data.logs]
    assert 700 in texts
    record = next(
        each
        for each in data.records
        if len(each.logs) > 1 and not any(len(log.log or "") == 700 for log in each.logs)
    )
    first, second, *_ = record.logs
    condition = ("$filter", "1 div (length(log) sub 700) lt 5 or log eq null")
    for path in (
        f"PointRecords({record.id})/logs",
        f"IntegrationLogs({first.id})/point/logs",
        f"IntegrationLogs({first.id})/point/logs({second.number})/point/logs",
    ):
        assert len(client.json(path, condition)["value"]) == len(record.logs)
        assert client.get(f"{path}/$count", condition).body == str(len(record.logs))
        counted = rows(client, path, f"filter({condition[1]})/aggregate($count as n)")
        assert counted == [{"n": len(record.logs)}]


def test_cast_to_the_declared_type_is_a_no_op(client: Client, data: DataSet) -> None:
    record = record_with_logs(data)
    of_records, of_logs = "PunchClock.PointRecord", "PunchClock.IntegrationLog"
    entity = f"PointRecords({record.id})"
    for path, cast in (
        ("PointRecords", f"PointRecords/{of_records}"),
        ("PointRecords/$count", f"PointRecords/{of_records}/$count"),
        (entity, f"PointRecords/{of_records}({record.id})"),
        (entity, f"{entity}/{of_records}"),
        (f"{entity}/status", f"{entity}/{of_records}/status"),
        (f"{entity}/logs", f"{entity}/{of_records}/logs/{of_logs}"),
    ):
        assert client.get(cast).body == client.get(path).body


def test_navigation_collection_accepts_all_options(client: Client, data: DataSet) -> None:
    record = record_with_logs(data)
    response = client.json(
        f"PointRecords({record.id})/logs",
        ("$filter", "attempt ge 0"),
        ("$orderby", "number desc"),
        ("$select", "pointId,number,attempt"),
        ("$top", "1"),
        ("$skip", "1"),
        ("$count", "true"),
    )
    second = record.logs[-2]
    assert [key_of(each) for each in response["value"]] == [second.id]
    assert response["value"][0]["attempt"] == second.attempt
    assert response["@odata.count"] == len(record.logs)


def test_property_is_json_and_its_raw_value_is_text(client: Client, data: DataSet) -> None:
    record = next(each for each in data.records if each.deviceId and each.latitude is not None)
    path = f"PointRecords({record.id})"
    response = client.json(f"{path}/deviceId")
    assert response == {
        "@odata.context": f"{ROOT}/$metadata#{path}/deviceId",
        "value": record.deviceId,
    }
    assert client.json(f"{path}/latitude")["value"] == record.latitude
    raw = client.get(f"{path}/deviceId/$value", accept="application/json")
    assert (raw.body, raw.headers["Content-Type"]) == (
        record.deviceId,
        "text/plain;charset=utf-8",
    )
    assert client.get(f"{path}/includedAt/$value").body == to_text(record.includedAt)


def test_null_property_has_no_content(client: Client, data: DataSet) -> None:
    record = next(each for each in data.records if each.deviceId is None)
    for path in ("deviceId", "deviceId/$value"):
        response = client.get(f"PointRecords({record.id})/{path}")
        assert (response.status, response.body) == (204, "")


def test_entity_has_no_raw_value(client: Client, data: DataSet) -> None:
    """Protocol 4.01, section 11.2.4: an entity without a media stream is 400."""
    record = data.records[0]
    for path in (f"PointRecords({record.id})", f"PointRecords({record.id})/logs(1)"):
        with pytest.raises(InvalidError, match="no media entity"):
            client.get(f"{path}/$value")


def test_count_is_plain_text_for_any_accept_header(client: Client, data: DataSet) -> None:
    response = client.get("PointRecords/$count", ("$top", "1"), accept="application/json")
    assert response.body == str(len(data.records))
    assert response.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize(
    "path",
    [
        "Nope", "pointrecords", "PointRecord", "PointRecords/nope", "PointRecords/logs",
        "PointRecords/status",
        f"PointRecords({UNKNOWN_ID})", f"PointRecords({UNKNOWN_ID})/status",
        f"PointRecords({UNKNOWN_ID})/logs", f"PointRecords({UNKNOWN_ID})/logs/$count",
        f"PointRecords({UNKNOWN_ID})/status/$value",
        f"IntegrationLogs(pointId={UNKNOWN_ID},number=1)",
        f"IntegrationLogs(pointId={UNKNOWN_ID},number=-1)/point",
        "$metadata/x", "PointRecords/$count/x",
        "$count",
        "PointRecords/PunchClock.IntegrationLog", "PointRecords/PunchClock.",
        "PunchClock.PointRecord",
        "PointRecords/$value", "IntegrationRuns(1)/point", "'", "(1)", "..", "PointRecords(",
    ],
)  # fmt: skip
def test_unknown_path_is_not_found(path: str, client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.get(path)


@pytest.mark.parametrize(
    "path",
    [
        "PointRecords()", "PointRecords(1)", "PointRecords('x')", f"PointRecords('{UNKNOWN_ID}')",
        f"PointRecords(key={UNKNOWN_ID})", f"PointRecords(id={UNKNOWN_ID},x=1)",
        "PointRecords(null)", "PointRecords(@missing)", "IntegrationLogs(x)",
        "IntegrationLogs(1.5)", "IntegrationLogs(1e3)",
        f"IntegrationLogs({UNKNOWN_ID})", "IntegrationLogs(1)",
        f"IntegrationLogs(pointId={UNKNOWN_ID},number=2147483648)",
        f"IntegrationLogs(pointId={UNKNOWN_ID})", f"IntegrationLogs(pointId={UNKNOWN_ID},number=x)",
        f"IntegrationLogs(pointId={UNKNOWN_ID},number=1,number=1)",
        f"IntegrationLogs(pointId={UNKNOWN_ID},number=1,attempt=1)",
        f"IntegrationLogs(pointId={UNKNOWN_ID},1)",
        "IntegrationLogs(1,2)",
        "IntegrationLogs(1 or 1)", "IntegrationLogs(\u0661)", "/".join(["PointRecords"] * 20),
        f"PointRecords({UNKNOWN_ID}) or true)", f"PointRecords(0{UNKNOWN_ID})",
        f"PointRecords({UNKNOWN_ID})({UNKNOWN_ID})",
    ],
)  # fmt: skip
def test_invalid_key_is_rejected(path: str, client: Client) -> None:
    with pytest.raises(InvalidError):
        client.get(path)


@pytest.mark.parametrize(
    "path", ["$all", "$entity", "$crossjoin(PointRecords)", "PointRecords/$filter(true)",
             "PointRecords/$each", "PointRecords/$query"],
)  # fmt: skip
def test_unsupported_path_is_not_implemented(path: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError, match="not supported"):
        client.get(path)


def test_empty_database_returns_empty_collections(database: Database) -> None:
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    for entity_set in ENTITY_SETS:
        assert client.json(entity_set, ("$count", "true")) == {
            "@odata.context": f"{ROOT}/$metadata#{entity_set}",
            "@odata.count": 0,
            "value": [],
        }


def test_integration_run_is_readable(database: Database) -> None:
    with database.transaction() as connection:
        connection.run(
            "INSERT INTO integration_run (run_id, at, max_open_requests, open_requests, delivered,"
            " failed, rejected, policy)"
            " VALUES (:id, '2026-01-02T03:04:05Z', 6.09, 6, 1, 2, 3, 'classic')",
            id=UNKNOWN_ID,
        )
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    condition = "maxOpenRequests gt 6 and year(at) eq 2026 and latencyP50Ms eq null"
    response = client.json("IntegrationRuns", ("$filter", condition), ("$orderby", "at desc"))
    (run,) = response["value"]
    assert (run["maxOpenRequests"], run["at"], run["policy"]) == (
        6.09,
        "2026-01-02T03:04:05.000000Z",
        "classic",
    )
