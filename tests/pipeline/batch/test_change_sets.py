"""Change sets create all of their records or none."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.odata.batch import (
    GET,
    change_set,
    multipart,
    part,
    post,
    send,
    send_json,
    statuses,
)
from tests.support.service import Service, punch, wired

LOG = "IntegrationLogs(pointId=00000000-0000-8000-8000-000000000000,number=1)"


def test_change_set_of_one_request_creates_a_record_to_refer_to(service: Service) -> None:
    response = send(
        service,
        multipart(
            change_set(part(post(7), "1")),
            part("GET $1 HTTP/1.1\n\n", "2"),
            part("GET $1/status/$value HTTP/1.1\n\n"),
            part("GET $2?$select=employeeId HTTP/1.1\n\n"),
            part("GET $1/logs/$count HTTP/1.1\n\n"),
        ),
    )
    assert statuses(response) == [201, 200, 200, 200, 200]
    assert "\r\nAWAITING\r\n" in response.body.decode()
    service.replicate()
    assert service.statuses() == {"AWAITING": 1}


def test_change_set_creates_all_of_its_records(service: Service) -> None:
    posts = [part(post(each), str(each)) for each in (7, 8, 9)]
    response = send(service, multipart(change_set(*posts), part("GET $8/employeeId HTTP/1.1\n\n")))
    assert statuses(response) == [201, 201, 201, 200]
    assert re.findall(r"Content-ID: (\d)", response.body.decode()) == ["7", "8", "9"]
    again = send(service, multipart(change_set(*posts, part(post(10)), part(post(10)))))
    assert statuses(again) == [200, 200, 200, 201, 200]
    service.replicate()
    assert service.statuses() == {"AWAITING": 4}


def test_atomicity_group_creates_all_of_its_records(service: Service) -> None:
    group = {"method": "post", "url": "PointRecords", "atomicityGroup": "g"}
    minimal = {"Prefer": "return=minimal"}
    responses = send_json(
        service,
        {**group, "id": "1", "body": punch(7)},
        {**group, "id": "2", "body": punch(8), "headers": minimal},
        {"id": "3", "method": "get", "url": "$2", "dependsOn": ["g"]},
    )
    assert [each["status"] for each in responses] == [201, 204, 200]
    assert [each.get("atomicityGroup") for each in responses] == ["g", "g", None]
    assert responses[2]["body"]["employeeId"] == 8


@pytest.mark.parametrize(
    ("other", "status"),
    [
        (post(8, nope=1), 400),
        (post(8, "OData-Version: 9.0"), 400),
        (post(8).replace("POST PointRecords", "POST IntegrationLogs"), 405),
        (post(8).replace("POST PointRecords", "POST http://elsewhere/odata/PointRecords"), 404),
        (
            f"DELETE {LOG} HTTP/1.1\n\n",
            405,
        ),
        ("DELETE Nope HTTP/1.1\n\n", 404),
        ("OPTIONS PointRecords HTTP/1.1\n\n", 501),
        ("POST PointRecords/$query HTTP/1.1\nContent-Type: text/plain\n\n", 501),
    ],
)
def test_change_set_with_a_failed_request_stores_nothing(
    service: Service, other: str, status: int
) -> None:
    response = send(service, multipart(change_set(part(post(7), "1"), part(other, "2"))))
    assert statuses(response) == [status]
    assert "boundary=changeset" not in response.body.decode()
    assert "Content-ID: 2" in response.body.decode()
    service.replicate()
    assert service.statuses() == {}


def test_atomicity_group_with_a_failed_request_stores_nothing(service: Service) -> None:
    group = {"method": "post", "url": "PointRecords", "atomicityGroup": "g"}
    responses = send_json(
        service,
        {**group, "id": "1", "body": punch(7)},
        {**group, "id": "2", "body": punch(8, nope=1)},
        {"id": "3", "method": "get", "url": "PointRecords", "dependsOn": ["g"]},
        {"id": "4", "method": "get", "url": "$1"},
        {"id": "5", "method": "get", "url": "PointRecords"},
    )
    assert [each["status"] for each in responses] == [424, 400, 424, 424, 200]
    service.replicate()
    assert service.statuses() == {}


def test_request_may_depend_on_an_earlier_one_of_its_group(service: Service) -> None:
    group = {"method": "post", "url": "PointRecords", "atomicityGroup": "g"}
    first, second = {**group, "id": "1", "body": punch(7)}, {**group, "id": "2", "body": punch(8)}
    for name, status in (("1", 201), ("2", 400), ("g", 400), ("3", 400)):
        responses = send_json(service, first, {**second, "dependsOn": [name]})
        assert responses[1]["status"] == status, name
    responses = send_json(service, first, {**second, "body": {}, "dependsOn": ["1"]})
    assert [each["status"] for each in responses] == [424, 400]
    read = {"method": "get", "url": "PointRecords", "atomicityGroup": "g"}
    responses = send_json(service, {**read, "id": "1"}, {**read, "id": "2", "dependsOn": ["1"]})
    assert [each["status"] for each in responses] == [200, 200]


def test_reference_inside_a_change_set_is_not_supported(service: Service) -> None:
    nested = post(8).replace("POST PointRecords", "POST $1/logs")
    response = send(service, multipart(change_set(part(post(7), "1"), part(nested, "2"))))
    assert statuses(response) == [501]
    assert "after the change set" in response.body.decode()
    later = post(8).replace("POST PointRecords", "POST $2/logs")
    response = send(service, multipart(change_set(part(post(7), "1"), part(later, "2"))))
    assert statuses(response) == [400]
    service.replicate()
    assert service.statuses() == {}


def test_atomicity_group_must_not_mix_reads_and_creations(service: Service) -> None:
    read = {"method": "get", "url": "PointRecords", "atomicityGroup": "g"}
    both = send_json(service, {**read, "id": "1"}, {**read, "id": "2"})
    assert [each["status"] for each in both] == [200, 200]
    create = {"id": "1", "method": "post", "url": "PointRecords", "atomicityGroup": "g"}
    mixed = send_json(service, {**create, "body": punch(7)}, {**read, "id": "2"})
    assert [each["status"] for each in mixed] == [424, 501]


def test_change_set_larger_than_one_transaction_is_rejected(
    variables: dict[str, str], database: Any, tmp_path: Path
) -> None:
    with wired(variables | {"ODATA_BATCH_REQUESTS": "200"}):
        service = Service.of(database, tmp_path)
        posts = [part(post(each)) for each in range(1, 102)]
        assert statuses(send(service, multipart(change_set(*posts)))) == [501]
        assert statuses(send(service, multipart(change_set(*posts[:100])))) == [201] * 100


def test_failed_change_set_has_one_response_with_the_error(service: Service) -> None:
    response = send(service, multipart(change_set(part(post(7, nope=1), "1")), part(GET)))
    assert statuses(response) == [400]
    assert "boundary=changeset" not in response.body.decode()
    assert "Content-ID: 1" in response.body.decode()
    assert '"target": "nope"' in response.body.decode()
