"""Every resource that a path can name, and what is answered for it."""

import json
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
from tests.support.odata.client import ROOT, Client
from tests.support.odata.dataset import DataSet, Log, Record
from tests.support.tokens import INTEGRATION

NOBODY = "00000000-0000-0000-0000-000000000000"


def with_logs(data: DataSet) -> Record:
    return next(each for each in data.records if len(each.logs) > 1)


@pytest.mark.parametrize("path", ["", "/"])
def test_the_service_document_names_the_entity_sets(path: str, client: Client) -> None:
    answer = client.json(path)
    assert answer["@odata.context"] == f"{ROOT}/$metadata"
    assert [each["url"] for each in answer["value"]] == list(ENTITY_SETS)
    assert {each["kind"] for each in answer["value"]} == {"EntitySet"}


@pytest.mark.parametrize("path", ["$metadata", "%24metadata", "/$metadata/"])
def test_the_metadata_describe_every_property_exactly(path: str, client: Client) -> None:
    answer = client.get(path, accept="*/*")
    assert answer.headers["Content-Type"] == "application/xml"
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    document = ElementTree.fromstring(answer.body)  # noqa: S314 - our own
    assert document.attrib == {"Version": "4.01"}
    types = {each.attrib["Name"]: each for each in document.iter(f"{edm}EntityType")}
    for entity in ENTITY_SETS.values():
        element = types[entity.name]
        assert [each.attrib["Name"] for each in element.iter(f"{edm}PropertyRef")] == ["id"]
        found = {each.attrib["Name"]: each.attrib for each in element.iter(f"{edm}Property")}
        for prop in entity.properties:
            attributes = found.pop(prop.name)
            assert attributes["Type"] == prop.type.value
            assert attributes["Nullable"] == str(prop.nullable).lower()
        assert not found
    device = next(each for each in types["PointRecord"] if each.attrib.get("Name") == "deviceId")
    assert device.attrib["MaxLength"] == "100"
    binding = next(document.iter(f"{edm}NavigationPropertyBinding"))
    assert binding.attrib == {"Path": "logs", "Target": "IntegrationLogs"}


def test_the_metadata_agree_with_the_tables(filled: Database) -> None:
    with filled.transaction() as connection:
        rows = connection.run(
            "SELECT table_name, column_name, is_nullable, data_type"
            " FROM information_schema.columns WHERE table_schema = 'public'"
        )
    columns = {(table, column): (nullable == "YES", kind) for table, column, nullable, kind in rows}
    kinds = {"timestamptz": "timestamp with time zone"}
    for entity in ENTITY_SETS.values():
        for prop in entity.properties:
            nullable, kind = columns[entity.table, prop.column]
            # What waits for the replicator is shown, and was never replicated.
            assert prop.nullable == (nullable or prop.name == "replicatedAt"), prop
            assert kind == kinds.get(prop.type.sql, prop.type.sql), prop


def test_a_record_has_every_property_with_its_value(client: Client, data: DataSet) -> None:
    record = data.records[0]
    answer = client.json(f"PointRecords({record.id})")
    assert answer.pop("@odata.context") == f"{ROOT}/$metadata#PointRecords/$entity"
    assert answer.pop("@odata.etag").startswith('W/"')
    assert answer == as_json(record)


def test_all_records_are_there_as_they_are(client: Client, data: DataSet) -> None:
    answer = client.json("PointRecords", ("$top", "1000"))
    assert answer["@odata.context"] == f"{ROOT}/$metadata#PointRecords"
    assert answer["value"] == [as_json(each) for each in data.records]


def test_all_logs_are_there_as_they_are(client: Client, data: DataSet) -> None:
    answer = client.json("IntegrationLogs", ("$top", "1000"))
    assert answer["value"] == [as_json(each) for each in data.logs]


def as_json(entity: Record | Log) -> dict[str, object]:
    names = [each.name for each in ENTITY_SETS[f"{_NAMES[type(entity)]}s"].properties]
    values = {name: getattr(entity, name) for name in names}
    return {
        name: to_text(value)
        if hasattr(value, "year")
        else value
        if value is None or isinstance(value, int | float | str)
        else str(value)
        for name, value in values.items()
    }


_NAMES = {Record: "PointRecord", Log: "IntegrationLog"}


def test_one_record_is_the_same_by_its_id_and_by_odata(
    client: Client, filled: Database, data: DataSet
) -> None:
    for record in data.records:
        text = record_json(ReadSession(filled, 10), str(record.id), INTEGRATION)
        answer = client.json(f"PointRecords({record.id})", ("$format", "json"))
        del answer["@odata.context"], answer["@odata.etag"]
        assert text is not None
        assert json.loads(text) == answer
    assert record_json(ReadSession(filled, 10), NOBODY, INTEGRATION) is None


@pytest.mark.parametrize(
    "form",
    ["PointRecords({})", "PointRecords(id={})", "PointRecords( id = {} )", "PointRecords(@k)"],
)
def test_a_key_has_many_forms(form: str, client: Client, data: DataSet) -> None:
    key = data.records[3].id
    for path in (form.format(key), quote(form.format(str(key).upper()), safe="")):
        assert client.json(path, ("@k", str(key)))["id"] == str(key)


def test_navigation_leads_both_ways(client: Client, data: DataSet) -> None:
    record = with_logs(data)
    path = f"PointRecords({record.id})"
    answer = client.json(f"{path}/logs")
    assert answer["@odata.context"] == f"{ROOT}/$metadata#IntegrationLogs"
    assert [each["id"] for each in answer["value"]] == [each.id for each in record.logs]
    log = record.logs[1]
    assert client.json(f"{path}/logs({log.id})")["id"] == log.id
    assert client.json(f"IntegrationLogs({log.id})/point")["id"] == str(record.id)
    assert (
        client.json(f"IntegrationLogs({log.id})/point/logs/$count".replace("/$count", ""))["value"]
        == answer["value"]
    )
    for count in ("logs/$count", "logs%2F$count", "logs%2f%24count", "%2Flogs/%24count"):
        assert client.get(f"{path}/{count}").body == str(len(record.logs))
    assert client.get(f"{path}/logs/$count", ("$filter", f"id eq {log.id}")).body == "1"
    assert client.json(f"{path}/logs({log.id})/status")["value"] == log.status


def test_a_cast_to_the_type_that_it_has_changes_nothing(client: Client, data: DataSet) -> None:
    record = with_logs(data)
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


def test_a_collection_of_logs_has_all_options(client: Client, data: DataSet) -> None:
    record = with_logs(data)
    answer = client.json(
        f"PointRecords({record.id})/logs",
        ("$filter", "attempt ge 0"),
        ("$orderby", "id desc"),
        ("$select", "id,attempt"),
        ("$top", "1"),
        ("$skip", "1"),
        ("$count", "true"),
    )
    second = record.logs[-2]
    assert answer["value"] == [{"id": second.id, "attempt": second.attempt}]
    assert answer["@odata.count"] == len(record.logs)


def test_a_property_is_an_object_and_its_value_is_text(client: Client, data: DataSet) -> None:
    record = next(each for each in data.records if each.deviceId and each.latitude is not None)
    path = f"PointRecords({record.id})"
    answer = client.json(f"{path}/deviceId")
    assert answer == {
        "@odata.context": f"{ROOT}/$metadata#{path}/deviceId",
        "value": record.deviceId,
    }
    assert client.json(f"{path}/latitude")["value"] == record.latitude
    plain = client.get(f"{path}/deviceId/$value", accept="application/json")
    assert (plain.body, plain.headers["Content-Type"]) == (
        record.deviceId,
        "text/plain;charset=utf-8",
    )
    assert client.get(f"{path}/includedAt/$value").body == to_text(record.includedAt)


def test_a_null_property_has_no_content(client: Client, data: DataSet) -> None:
    record = next(each for each in data.records if each.deviceId is None)
    for path in ("deviceId", "deviceId/$value"):
        answer = client.get(f"PointRecords({record.id})/{path}")
        assert (answer.status, answer.body) == (204, "")


def test_a_count_is_plain_text_whatever_is_accepted(client: Client, data: DataSet) -> None:
    answer = client.get("PointRecords/$count", ("$top", "1"), accept="application/json")
    assert answer.body == str(len(data.records))
    assert answer.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize(
    "path",
    [
        "Nope", "pointrecords", "PointRecord", "PointRecords/nope", "PointRecords/logs",
        "PointRecords/status",
        f"PointRecords({NOBODY})", f"PointRecords({NOBODY})/status", f"PointRecords({NOBODY})/logs",
        f"PointRecords({NOBODY})/logs/$count", f"PointRecords({NOBODY})/status/$value",
        "IntegrationLogs(0)",
        "IntegrationLogs(0)/point", "IntegrationLogs(-1)", "$metadata/x", "PointRecords/$count/x",
        "$count",
        "PointRecords/PunchClock.IntegrationLog", "PointRecords/PunchClock.",
        "PunchClock.PointRecord",
        "PointRecords/$value", "IntegrationRuns(1)/point", "'", "(1)", "..", "PointRecords(",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(path: str, client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.get(path)


@pytest.mark.parametrize(
    "path",
    [
        "PointRecords()", "PointRecords(1)", "PointRecords('x')", f"PointRecords('{NOBODY}')",
        f"PointRecords(key={NOBODY})", f"PointRecords(id={NOBODY},x=1)", "PointRecords(null)",
        "PointRecords(@missing)", "IntegrationLogs(x)", "IntegrationLogs(1.5)",
        "IntegrationLogs(1e3)",
        f"IntegrationLogs({NOBODY})", "IntegrationLogs(9223372036854775808)",
        "IntegrationLogs(1,2)",
        "IntegrationLogs(1 or 1)", "IntegrationLogs(\u0661)", "/".join(["PointRecords"] * 20),
        f"PointRecords({NOBODY}) or true)", f"PointRecords(0{NOBODY})",
        f"PointRecords({NOBODY})({NOBODY})",
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused(path: str, client: Client) -> None:
    with pytest.raises(InvalidError):
        client.get(path)


@pytest.mark.parametrize(
    "path", ["$all", "$entity", "$crossjoin(PointRecords)", "PointRecords/$filter(true)",
             "PointRecords/$each", "PointRecords/$query"],
)  # fmt: skip
def test_paths_that_are_not_supported_are_named(path: str, client: Client) -> None:
    with pytest.raises(NotImplementedByServiceError, match="not supported"):
        client.get(path)


def test_an_empty_database_answers_empty_collections(database: Database) -> None:
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    for entity_set in ENTITY_SETS:
        assert client.json(entity_set, ("$count", "true")) == {
            "@odata.context": f"{ROOT}/$metadata#{entity_set}",
            "@odata.count": 0,
            "value": [],
        }


def test_a_run_of_the_integrator_is_shown(database: Database) -> None:
    with database.transaction() as connection:
        connection.run(
            "INSERT INTO integration_run (run_id, at, max_open_requests, open_requests, delivered,"
            " failed, rejected, policy)"
            " VALUES (:id, '2026-01-02T03:04:05Z', 6.09, 6, 1, 2, 3, 'classic')",
            id=NOBODY,
        )
    client = Client(ODataService(ReadSession(database, 10), Settings()))
    condition = "maxOpenRequests gt 6 and year(at) eq 2026 and latencyP50Ms eq null"
    answer = client.json("IntegrationRuns", ("$filter", condition), ("$orderby", "at desc"))
    (run,) = answer["value"]
    assert (run["maxOpenRequests"], run["at"], run["policy"]) == (
        6.09,
        "2026-01-02T03:04:05.000000Z",
        "classic",
    )
