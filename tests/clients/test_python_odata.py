"""python-odata, unmodified, used as an application uses it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from odata import ODataService
from odata.exceptions import ODataError

from tests.clients.conftest import PAGE, RECORDS, Stack
from tests.support.tokens import OPERATOR

# An application without time zones sends naive datetimes. The service reads them as UTC.
NAIVE = datetime(2026, 11, 22, 11)  # noqa: DTZ001


@pytest.fixture(scope="module")
def service(stack: Stack) -> Iterator[Any]:
    """A service whose entity classes the client generated from ``$metadata``."""
    session = requests.Session()
    session.headers.update(OPERATOR)
    service = ODataService(stack.root, reflect_entities=True, session=session, quiet_progress=True)
    yield service
    service.default_context.connection.session.close()


def test_python_odata_generates_classes_from_the_metadata(service: Any) -> None:
    assert set(service.entities) == {"PointRecords", "IntegrationLogs", "IntegrationRuns"}
    record = service.entities["PointRecords"]
    schema = {each["name"]: each for each in record.__odata_schema__["properties"]}
    assert schema["id"]["is_primary_key"]
    assert {name for name, each in schema.items() if not each["is_computed_value"]} == {
        "id", "employeeId", "employerId", "includedAt", "deviceId", "latitude", "longitude",
        "accuracyMeters",
    }  # fmt: skip


def test_python_odata_reads_all_pages(service: Any, stack: Stack) -> None:
    record = service.entities["PointRecords"]
    assert RECORDS > 2 * PAGE
    ids = {each.id for each in service.query(record).filter(record.employeeId <= RECORDS)}
    assert ids == set(stack.ids.values())


def test_python_odata_filters_and_sorts(service: Any) -> None:
    record = service.entities["PointRecords"]
    query = service.query(record)
    records = (
        query.filter((record.employeeId > 4) & (record.employeeId < 12))
        .filter(record.deviceId.contains("phone"))
        .filter(record.includedAt == NAIVE)
        .order_by(record.employeeId.desc())
        .limit(3)
        .all()
    )
    assert [each.employeeId for each in records] == [11, 9, 7]
    assert records[0].deviceId == "phone 11's"
    assert records[0].includedAt == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert records[0].latitude == 5.5
    quoted = service.query(record).filter(record.deviceId == "phone 7's").one()
    assert quoted.employeeId == 7
    has_no_device = record.deviceId == None  # noqa: E711
    without_device = service.query(record).filter(has_no_device).order_by(record.employeeId.asc())
    assert without_device.first().employeeId == 2


def test_python_odata_reads_an_entity_by_key(service: Any, stack: Stack) -> None:
    record = service.entities["PointRecords"]
    assert service.query(record).get(stack.ids[3]).employeeId == 3


def test_python_odata_expands_and_follows_navigations(service: Any, stack: Stack) -> None:
    record = service.entities["PointRecords"]
    query = service.query(record).filter(record.employeeId == 3).expand(record.logs)
    (expanded,) = query.all()
    assert [each.status for each in expanded.logs] == ["AWAITING"]
    assert expanded.logs[0].pointId == stack.ids[3]
    log = service.entities["IntegrationLogs"]
    (other,) = service.query(log).filter(log.pointId == stack.ids[4]).all()
    assert other.point.employeeId == 4


def test_python_odata_counts(service: Any) -> None:
    record = service.entities["PointRecords"]
    assert service.query(record).filter(record.employeeId <= RECORDS).count() == RECORDS


def test_python_odata_creates_and_reads_errors(service: Any, stack: Stack) -> None:
    record = service.entities["PointRecords"]
    new = record()
    new.employeeId, new.employerId = 2**53 + 1, 9
    new.includedAt = NAIVE
    new.latitude = 1.5
    service.default_context.save(new)
    assert (new.status, new.employeeId, new.latitude) == ("AWAITING", 2**53 + 1, 1.5)
    stack.replicate()
    assert service.query(record).get(new.id).deviceId is None
    invalid = record()
    invalid.employeeId, invalid.includedAt = 0, NAIVE
    with pytest.raises(ODataError) as rejection:
        service.default_context.save(invalid)
    assert rejection.value.status_code == "HTTP 400"
    assert "employerId" in rejection.value.message
    with pytest.raises(ODataError, match="405"):
        service.delete(new)
