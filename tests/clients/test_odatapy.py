"""The client of odatapy, unmodified: it requests OData 4.01 and decodes by ``$metadata``."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from odatapy.client import EdmEnabledODataClient, HttpxTransport
from odatapy.client.responses import NotModified, ODataClientError

from tests.clients.conftest import RECORDS, Stack
from tests.support.tokens import OPERATOR

PUNCH = {"employerId": 8, "includedAt": "2026-11-22T08:00:00Z"}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[EdmEnabledODataClient]:
    """A client that decodes responses by the metadata of the service."""
    transport = HttpxTransport(headers=OPERATOR)
    yield EdmEnabledODataClient(f"{stack.root}/", transport)
    transport.close()


def test_odatapy_reads_the_service_document_and_the_metadata(client: EdmEnabledODataClient) -> None:
    document = client.get_service_document()
    assert set(document.entity_sets) == {
        "PointRecords",
        "IntegrationLogs",
        "IntegrationRuns",
    }
    assert client.edm is not None


def test_odatapy_pages_filters_and_counts(client: EdmEnabledODataClient, stack: Stack) -> None:
    uri = client.entity_set_uri("PointRecords").filter(f"employeeId le {RECORDS}")
    ids = {str(each.get_value("id")) for each in client.iter_entities(uri)}
    assert ids == set(stack.ids.values())
    count_uri = client.entity_set_uri("PointRecords").filter(f"employeeId le {RECORDS}")
    assert client.get_count(count_uri.append_count_segment()) == RECORDS
    page = client.get_entity_set(uri.copy().count().top(3).orderby("employeeId desc"))
    assert page.count == RECORDS
    assert [each.get_value("employeeId") for each in page] == [25, 24, 23]


def test_odatapy_expands(client: EdmEnabledODataClient, stack: Stack) -> None:
    uri = client.entity_uri("PointRecords", UUID(stack.ids[3])).expand("logs")
    entity = client.get_entity(uri)
    assert entity.get_value("employeeId") == 3
    logs = entity.get_navigation_link("logs").inline_entity_set
    assert [each.get_value("status") for each in logs] == ["AWAITING"]


def test_odatapy_accepts_not_modified(client: EdmEnabledODataClient, stack: Stack) -> None:
    uri = client.entity_uri("PointRecords", UUID(stack.ids[3]))
    entity = client.get_entity(uri)
    assert entity.etag
    again = client.get_entity(uri, if_none_match=entity.etag)
    assert isinstance(again, NotModified)


def test_odatapy_creates_and_reads_the_error_of_an_invalid_record(
    client: EdmEnabledODataClient,
) -> None:
    created = client.create_entity("PointRecords", {"employeeId": 1001, **PUNCH})
    assert created.get_value("status") == "AWAITING"
    read = client.get_entity(client.entity_uri("PointRecords", created.get_value("id")))
    assert read.get_value("employeeId") == 1001
    with pytest.raises(ODataClientError) as rejection:
        client.create_entity("PointRecords", {"employeeId": "x", **PUNCH})
    assert rejection.value.response.status_code == 400
    assert "employeeId" in str(rejection.value)


@pytest.mark.parametrize("batch_format", ["multipart", "json"])
def test_odatapy_sends_batches(
    client: EdmEnabledODataClient, batch_format: str, stack: Stack
) -> None:
    batch = client.batch(format=batch_format, continue_on_error=True)
    retrieved = batch.add_retrieve(client.entity_uri("PointRecords", UUID(stack.ids[3])))
    change_set = batch.add_changeset()
    employee = 2001 if batch_format == "json" else 2002
    created = change_set.create("PointRecords", {"employeeId": employee, **PUNCH})
    second = change_set.create("PointRecords", {"employeeId": employee + 10, **PUNCH})
    missing = batch.add_retrieve("Nope")
    result = client.execute_batch(batch)
    assert retrieved.entity().get_value("employeeId") == 3
    created_part = result.by_content_id(created.content_id or "")
    assert created_part is not None
    assert created_part.status_code == 201
    assert created.entity().get_value("employeeId") == employee
    assert second.entity().get_value("employeeId") == employee + 10
    assert missing.response is not None
    assert missing.response.status_code == 404
