"""Batches of JSON: each request is answered as it would be alone."""

from typing import Any

import pytest

from tests.support.odata.batch import (
    NOBODY,
    send,
    send_json,
)
from tests.support.service import Service, punch


def test_what_is_depended_on_must_come_before(service: Service) -> None:
    one = {"method": "get", "url": "PointRecords"}
    requests = [
        {"id": "1", **one, "dependsOn": ["1"]},
        {"id": "2", **one, "dependsOn": ["3"]},
        {"id": "3", **one, "dependsOn": ["2"]},
    ]
    answers = send_json(service, *requests)
    assert [each["status"] for each in answers] == [400, 400, 424]
    assert [each["body"]["error"].get("target") for each in answers[:2]] == ["dependsOn"] * 2


@pytest.mark.parametrize("host", ["[::1", "a]b", "[x]:y", "\u2100.example"])
def test_a_host_that_is_none_is_only_repeated(service: Service, host: str) -> None:
    answer = send(
        service, {"requests": [{"id": "1", "method": "get", "url": "PointRecords"}]}, Host=host
    )
    assert [each["status"] for each in answer.json_body["responses"]] == [200]
    path = f"/odata/$entity?$id=PointRecords({NOBODY})"
    assert service.http.get(path, headers={"Host": host}).status_code == 404


def test_a_batch_of_json(service: Service) -> None:
    (created, read, count, metadata, minimal, nope, after) = send_json(
        service,
        {"id": "1", "method": "POST", "url": "PointRecords", "body": punch(7)},
        {"id": "2", "method": "get", "url": "$1?$select=employeeId", "dependsOn": ["1"]},
        {"id": "3", "method": "get", "url": "/odata/PointRecords/$count", "body": None},
        {"id": "4", "method": "get", "url": "$metadata", "headers": {"accept": "application/xml"}},
        {
            "id": "5", "method": "post", "url": "PointRecords", "body": punch(8),
            "atomicityGroup": "g", "headers": {"Prefer": "return=minimal"},
        },
        {"id": "6", "method": "get", "url": "Nope"},
        {"id": "7", "method": "get", "url": "PointRecords", "dependsOn": ["6"]},
    )  # fmt: skip
    assert (created["id"], created["status"]) == ("1", 201)
    assert created["body"]["employeeId"] == 7
    assert created["headers"]["location"].endswith(f"/odata/PointRecords({created['body']['id']})")
    assert (read["status"], read["body"]["employeeId"]) == (200, 7)
    assert (count["body"], count["headers"]["content-type"]) == ("0", "text/plain")
    assert metadata["status"] == 200
    assert isinstance(metadata["body"], str)
    assert (minimal["status"], minimal["atomicityGroup"], "body" in minimal) == (204, "g", False)
    assert (nope["status"], nope["body"]["error"]["code"]) == (404, "NotFound")
    assert (after["status"], after["body"]["error"]["code"]) == (424, "FailedDependency")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"url": "PointRecords"}, 400),
        ({"method": "get"}, 400),
        ({"method": 1, "url": "PointRecords"}, 400),
        ({"method": "get", "url": "PointRecords", "headers": []}, 400),
        ({"method": "get", "url": "PointRecords", "headers": {"accept": 1}}, 400),
        ({"method": "get", "url": "PointRecords", "body": {}}, 400),
        ({"method": "get", "url": "PointRecords", "dependsOn": "1"}, 400),
        ({"method": "get", "url": "PointRecords", "dependsOn": ["later"]}, 400),
        ({"method": "get", "url": "PointRecords", "if": "$1/$succeeded"}, 424),
        ({"method": "get", "url": "$nobody"}, 400),
        ({"method": "post", "url": "PointRecords", "body": "!",
          "headers": {"content-type": "application/x"}}, 400),
        ({"method": "post", "url": "PointRecords", "body": {},
          "headers": {"content-type": "text/plain"}}, 400),
        ({"method": "post", "url": "PointRecords", "body": "x",
          "headers": {"content-type": "text/plain"}}, 415),
        ({"method": "post", "url": "PointRecords/$query", "body": "$top=1",
          "headers": {"content-type": "text/plain"}}, 200),
        ({"method": "patch", "url": f"PointRecords({NOBODY})", "body": {}}, 405),
    ],
)  # fmt: skip
def test_a_broken_request_of_json_is_answered_by_itself(
    service: Service, request_: dict[str, Any], status: int
) -> None:
    first, second = send_json(
        service, {"id": "x", **request_}, {"id": "y", "method": "get", "url": "PointRecords"}
    )
    assert (first["status"], second["status"]) == (status, 200)
    only = send_json(
        service,
        {"id": "x", **request_},
        {"id": "y", "method": "get", "url": "PointRecords"},
        Prefer="continue-on-error=false",
    )
    assert len(only) == (2 if status == 200 else 1)
