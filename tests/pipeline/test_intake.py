"""Step 1 through the routes: what is accepted, where it can be read, and that it is stored once."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib import container
from chalicelib.point_record import punch_id
from tests.support.service import PUNCH, Service, error_of, punch
from tests.support.tokens import INTEGRATION


def stored(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    items = dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
    return [json.loads(item["record"]["S"]) for item in items]


def test_a_punch_is_created_and_the_same_again_is_the_same(service: Service) -> None:
    first = service.post(PUNCH)
    assert first.status_code == 201
    record = first.json_body
    assert first.headers["Location"].endswith(f"/point-record/{record['id']}")
    again = service.post({**PUNCH, "deviceId": "another"})
    assert again.status_code == 200
    assert again.json_body == record
    assert again.headers["Location"] == first.headers["Location"]


def test_the_answer_has_every_property_of_the_contract(service: Service) -> None:
    sent = {**PUNCH, "deviceId": "☎ 7", "latitude": -23.55, "longitude": 1, "accuracyMeters": 4.5}
    record = service.post(sent).json_body
    accepted_at = record.pop("createdAt")
    assert record == {
        "id": str(punch_id(121, 7, "2026-11-22T11:00:00.000000Z")),
        "employeeId": 7,
        "employerId": 121,
        "includedAt": "2026-11-22T11:00:00.000000Z",
        "utcOffsetMinutes": -180,
        "deviceId": "☎ 7",
        "latitude": -23.55,
        "longitude": 1.0,
        "accuracyMeters": 4.5,
        "status": "AWAITING",
        "attempts": 0,
        "nextAttemptAt": None,
        "integratedAt": None,
        "replicatedAt": None,
        "updatedAt": None,
    }
    assert accepted_at.endswith("Z")


@pytest.mark.parametrize(
    "same",
    [
        {"includedAt": "2026-11-22T11:00:00Z"},
        {"includedAt": "2026-11-22t12:30:00.0000009+01:30"},
        {"deviceId": None},
        {"latitude": 1.5},
    ],
    ids=str,
)
def test_the_same_instant_of_the_same_employee_is_the_same_punch(
    service: Service, same: dict[str, Any]
) -> None:
    first = service.post(PUNCH)
    assert (first.status_code, service.post({**PUNCH, **same}).status_code) == (201, 200)


@pytest.mark.parametrize(
    "other",
    [{"employeeId": 8}, {"employerId": 122}, {"includedAt": "2026-11-22T08:00:00.000001-03:00"}],
    ids=str,
)
def test_another_employee_employer_or_instant_is_another_punch(
    service: Service, other: dict[str, Any]
) -> None:
    service.post(PUNCH)
    assert service.post({**PUNCH, **other}).status_code == 201


def test_every_item_of_an_array_is_answered_in_order_and_bad_ones_harm_no_other(
    service: Service, dynamodb: Any, table: str
) -> None:
    service.post(punch(3))
    answer = service.post([punch(1), {"employeeId": 2}, punch(3), "x", punch(4), punch(1)])
    assert answer.status_code == 207
    results = answer.json_body
    # The first and the last are one punch: either may be the one that stored it.
    assert sorted([results[0]["status"], results[5]["status"]]) == [200, 201]
    assert [each["status"] for each in results[1:5]] == [400, 200, 400, 201]
    assert [results[each]["record"]["employeeId"] for each in (0, 2, 4, 5)] == [1, 3, 4, 1]
    assert {each["employeeId"] for each in stored(dynamodb, table)} == {1, 3, 4}


def test_a_hundred_records_may_come_together(service: Service, dynamodb: Any, table: str) -> None:
    answer = service.post([punch(each) for each in range(1, 101)])
    assert [each["status"] for each in answer.json_body] == [201] * 100
    assert len(stored(dynamodb, table)) == 100


def test_of_fifty_at_once_one_creates_the_record(
    service: Service, dynamodb: Any, table: str
) -> None:
    intake = container.intake()
    body = json.dumps(PUNCH).encode()
    with ThreadPoolExecutor(50) as pool:
        accepted = list(pool.map(intake.accept, [body] * 50, [INTEGRATION] * 50))
    assert sorted(each.created for each in accepted) == [False] * 49 + [True]
    assert len({each.record for each in accepted}) == 1
    assert len(stored(dynamodb, table)) == 1


def test_what_was_accepted_can_be_read_at_once_by_id_in_any_spelling(service: Service) -> None:
    record = service.post(PUNCH).json_body
    for spelling in (record["id"], record["id"].upper(), record["id"].replace("-", "")):
        answer = service.get(f"/point-record/{spelling}")
        assert answer.status_code == 200
        assert answer.json_body == record


def test_a_record_that_was_never_accepted_is_not_found(service: Service) -> None:
    answer = service.get(f"/point-record/{uuid.uuid4()}")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "NotFound"


@pytest.mark.parametrize(
    "fields",
    [
        {"employeeId": 2**63 - 1, "employerId": 2**63 - 1},
        {"includedAt": "0001-01-01T00:00:00Z"},
        {"includedAt": "1582-10-10T00:00:00+23:59"},
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
def test_whatever_is_accepted_arrives_as_it_was_sent(
    service: Service, fields: dict[str, Any]
) -> None:
    accepted = service.post({**PUNCH, **fields})
    assert accepted.status_code == 201
    service.replicate()
    assert service.rows("SELECT item, reason FROM quarantine") == []
    arrived = service.get(f"/point-record/{accepted.json_body['id']}").json_body
    by_the_way = {"replicatedAt", "nextAttemptAt"}
    assert {name: value for name, value in arrived.items() if name not in by_the_way} == {
        name: value for name, value in accepted.json_body.items() if name not in by_the_way
    }
