"""Step 1 over the routes: a valid punch is accepted, readable at once, and stored once."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib import container
from chalicelib.intake import Accepted
from chalicelib.record_id import punch_id
from tests.support.service import PUNCH, Service, error_of, punch
from tests.support.tokens import INTEGRATION


def stored(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    items = dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
    return [json.loads(item["record"]["S"]) for item in items]


def without(record: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def test_repeated_punch_returns_the_record_that_the_first_one_created(service: Service) -> None:
    first = service.post(PUNCH)
    assert first.status_code == 201
    record = first.json_body
    assert first.headers["Location"].endswith(f"/point-record/{record['id']}")
    repeated = service.post(PUNCH)
    assert repeated.status_code == 200
    assert repeated.json_body == record
    assert repeated.headers["Location"] == first.headers["Location"]


def test_created_record_has_every_property_of_the_contract(service: Service) -> None:
    body = {**PUNCH, "deviceId": "☎ 7", "latitude": -23.55, "longitude": 1, "accuracyMeters": 4.5}
    record = service.post(body).json_body
    accepted_at = record.pop("createdAt")
    assert record == {
        "id": str(punch_id(121, 7, datetime(2026, 11, 22, 11, tzinfo=UTC))),
        "employeeId": 7,
        "employerId": 121,
        "includedAt": "2026-11-22T11:00:00.000000Z",
        "utcOffsetMinutes": -180,
        "localDate": "2026-11-22",
        "localTime": "08:00:00",
        "deviceId": "☎ 7",
        "latitude": -23.55,
        "longitude": 1.0,
        "accuracyMeters": 4.5,
        "postedBy": "local",
        "postedAs": "integration",
        "status": "AWAITING",
        "attempts": 0,
        "nextAttemptAt": None,
        "integratedAt": None,
        "replicatedAt": None,
        "updatedAt": None,
    }
    assert accepted_at.endswith("Z")


@pytest.mark.parametrize(
    "changes",
    [
        {"includedAt": "2026-11-22T11:00:00Z"},
        {"includedAt": "2026-11-22t12:30:00.0000009+01:30"},
        {"deviceId": None},
        {"latitude": 1.5},
    ],
    ids=str,
)
def test_same_employer_employee_and_instant_are_the_same_punch(
    service: Service, changes: dict[str, Any]
) -> None:
    first = service.post(PUNCH)
    assert (first.status_code, service.post({**PUNCH, **changes}).status_code) == (201, 200)


@pytest.mark.parametrize(
    "changes",
    [{"employeeId": 8}, {"employerId": 122}, {"includedAt": "2026-11-22T08:00:00.000001-03:00"}],
    ids=str,
)
def test_different_employer_employee_or_instant_is_a_different_punch(
    service: Service, changes: dict[str, Any]
) -> None:
    service.post(PUNCH)
    assert service.post({**PUNCH, **changes}).status_code == 201


def test_array_has_one_result_per_item_in_order_and_invalid_items_affect_no_other(
    service: Service, dynamodb: Any, table: str
) -> None:
    service.post(punch(3))
    response = service.post([punch(1), {"employeeId": 2}, punch(3), "x", punch(4), punch(1)])
    assert response.status_code == 207
    results = response.json_body
    # The first and the last item are the same punch: either of them may create the record.
    assert sorted([results[0]["status"], results[5]["status"]]) == [200, 201]
    assert [each["status"] for each in results[1:5]] == [400, 200, 400, 201]
    assert [results[each]["record"]["employeeId"] for each in (0, 2, 4, 5)] == [1, 3, 4, 1]
    assert {each["employeeId"] for each in stored(dynamodb, table)} == {1, 3, 4}


def test_array_may_have_a_hundred_records(service: Service, dynamodb: Any, table: str) -> None:
    response = service.post([punch(each) for each in range(1, 101)])
    assert [each["status"] for each in response.json_body] == [201] * 100
    assert len(stored(dynamodb, table)) == 100


def test_one_of_fifty_concurrent_requests_creates_the_record(
    service: Service, dynamodb: Any, table: str
) -> None:
    intake = container.intake()
    body = json.dumps(PUNCH).encode()
    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(intake.accept, [body] * 50, [INTEGRATION] * 50))
    accepted = [each for each in results if isinstance(each, Accepted)]
    assert len(accepted) == 50
    assert sorted(each.created for each in accepted) == [False] * 49 + [True]
    assert len({each.record for each in accepted}) == 1
    assert len(stored(dynamodb, table)) == 1


def test_accepted_record_is_readable_at_once_by_id_in_any_spelling(service: Service) -> None:
    record = service.post(PUNCH).json_body
    for spelling in (record["id"], record["id"].upper(), record["id"].replace("-", "")):
        response = service.get(f"/point-record/{spelling}")
        assert response.status_code == 200
        assert response.json_body == record


def test_unknown_id_is_not_found(service: Service) -> None:
    response = service.get(f"/point-record/{uuid.uuid4()}")
    assert response.status_code == 404
    assert error_of(response)["code"] == "NotFound"


@pytest.mark.parametrize(
    "fields",
    [
        {"employeeId": 2**63 - 1, "employerId": 2**63 - 1},
        {"includedAt": "1930-01-01T00:00:00Z"},
        {"includedAt": "1970-01-01T00:00:00+23:59"},
        {"includedAt": "2024-02-29T23:59:59.999999999-23:59"},
        {"latitude": 90, "longitude": -180},
        {"latitude": 5e-324, "longitude": -0.0, "accuracyMeters": 40_075_017},
        {"latitude": 0.1 + 0.2, "accuracyMeters": 2.2250738585072014e-308},
        {"deviceId": "\x01\x1f\x7f\u0085\u2028\ufffe\U0010ffff😀"},
        {"deviceId": '"\\u0000"\\'},
        {"deviceId": "😀" * 100},
    ],
    ids=lambda fields: f"{fields!a:.60}",
)
def test_accepted_values_reach_postgres_unchanged(service: Service, fields: dict[str, Any]) -> None:
    accepted = service.post({**PUNCH, **fields})
    assert accepted.status_code == 201
    service.replicate()
    assert service.rows("SELECT item, reason FROM quarantine") == []
    replicated = service.get(f"/point-record/{accepted.json_body['id']}").json_body
    set_by_replication = {"replicatedAt", "nextAttemptAt"}
    assert without(replicated, set_by_replication) == without(
        accepted.json_body, set_by_replication
    )
