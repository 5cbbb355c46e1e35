"""JSON batches: each request gets the same response as the same request alone."""

import json
from typing import Any

import pytest

from tests.support.odata.batch import UNKNOWN_ID, send, send_json
from tests.support.service import Service, punch


def test_depends_on_must_name_an_earlier_request(service: Service) -> None:
    one = {"method": "get", "url": "PointRecords"}
    requests = [
        {"id": "1", **one, "dependsOn": ["1"]},
        {"id": "2", **one, "dependsOn": ["3"]},
        {"id": "3", **one, "dependsOn": ["2"]},
    ]
    responses = send_json(service, *requests)
    assert [each["status"] for each in responses] == [400, 400, 424]
    assert [each["body"]["error"].get("target") for each in responses[:2]] == ["dependsOn"] * 2


@pytest.mark.parametrize("host", ["[::1", "a]b", "[x]:y", "\u2100.example"])
def test_malformed_host_header_is_rejected(service: Service, host: str) -> None:
    response = send(
        service, {"requests": [{"id": "1", "method": "get", "url": "PointRecords"}]}, Host=host
    )
    assert response.status_code == 400
    path = f"/odata/$entity?$id=PointRecords({UNKNOWN_ID})"
    assert service.http.get(path, headers={"Host": host}).status_code == 400


def test_json_batch_executes_individual_requests(service: Service) -> None:
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
    ("accept", "metadata", "document"),
    [
        ("application/json;odata.metadata=none", "none", "application/json"),
        ("multipart/mixed;q=0.1, application/json;odata.metadata=full", "full", "application/json"),
        ("*/*", "minimal", "application/xml"),
        ("multipart/mixed", "minimal", "application/xml"),
    ],
)
def test_request_inherits_an_accept_header_that_is_about_its_response(
    service: Service, accept: str, metadata: str, document: str
) -> None:
    own = {"accept": "application/json;metadata=minimal"}
    requests = [
        {"id": "1", "method": "get", "url": "PointRecords?$top=0"},
        {"id": "2", "method": "get", "url": "PointRecords?$top=0", "headers": own},
        {"id": "3", "method": "get", "url": "$metadata"},
        {"id": "4", "method": "post", "url": "PointRecords", "body": punch(9)},
    ]
    response = service.http.post(
        "/odata/$batch?$format=json",
        headers={"Content-Type": "application/json", "Accept": accept},
        body=json.dumps({"requests": requests}).encode(),
    )
    types = [each["headers"]["content-type"] for each in response.json_body["responses"]]
    assert types == [
        f"application/json;odata.metadata={metadata}",
        "application/json;odata.metadata=minimal",
        document,
        f"application/json;odata.metadata={metadata}",
    ]


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
        ({"method": "get", "url": "$unknown"}, 400),
        ({"method": "post", "url": "PointRecords", "body": "!",
          "headers": {"content-type": "application/x"}}, 400),
        ({"method": "post", "url": "PointRecords", "body": {},
          "headers": {"content-type": "text/plain"}}, 400),
        ({"method": "post", "url": "PointRecords", "body": "x",
          "headers": {"content-type": "text/plain"}}, 415),
        ({"method": "post", "url": "PointRecords/$query", "body": "$top=1",
          "headers": {"content-type": "text/plain"}}, 200),
        ({"method": "patch", "url": f"PointRecords({UNKNOWN_ID})", "body": {}}, 405),
    ],
)  # fmt: skip
def test_malformed_json_request_gets_an_error_response_of_its_own(
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
