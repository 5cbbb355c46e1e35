"""Invalid items of the buffer go to the quarantine, and do not block valid records."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.point_record import parse, to_json
from tests.support.record_counts import buffered_ids, fill, put
from tests.support.service import Service, error_of, punch

GOOD = range(1, 31)
SUSPECT = to_json(parse(punch(1_000), datetime.now(UTC), 60))
SUSPECT_ID = SUSPECT["id"]


def text(**fields: Any) -> dict[str, str]:
    """A valid record with some fields replaced. A field whose value is ``...`` is left out."""
    changed = {**SUSPECT, **fields}
    return {"S": json.dumps({name: each for name, each in changed.items() if each is not ...})}


def members(first: str) -> dict[str, str]:
    """A valid record with this JSON text inserted before its own members."""
    return {"S": "{" + first + ", " + text()["S"][1:]}


# Values of the attribute ``record``, each under the id of a valid punch, which it blocks.
POISON: dict[str, dict[str, Any]] = {
    "no JSON": {"S": "punch"},
    "empty": {"S": ""},
    "no object": {"S": "[1]"},
    "null": {"S": "null"},
    "cut off": {"S": text()["S"][:-1]},
    "nested 100,000 deep": {"S": "[" * 100_000},
    "number": {"N": "7"},
    "binary": {"B": b"\x00\xff"},
    "map": {"M": {"employeeId": {"N": "7"}}},
    "list": {"L": [{"NULL": True}, {"BOOL": False}, {"B": b"\xff"}]},
    "set": {"SS": ["a", "b"]},
    "field missing": text(employerId=...),
    "field too many": text(salary=1),
    "wrong type": text(employeeId="7"),
    "true for a number": text(employeeId=True),
    "beyond bigint": text(employeeId=2**63),
    "beyond every number": text(employeeId=10**40),
    "5,000 digits": {
        "S": text()["S"].replace('"employeeId": 1000', '"employeeId": ' + "9" * 5_000)
    },
    "zero": text(employerId=0),
    "NaN": text(latitude=float("nan")),
    "infinity": text(accuracyMeters=float("inf")),
    "NUL": text(deviceId="a\0b"),
    "half a surrogate pair": text(deviceId="\ud800"),
    "long text": text(deviceId="x" * 101),
    "no date": text(includedAt="yesterday"),
    "29 February 2026": text(includedAt="2026-02-29T00:00:00.000000Z"),
    "year 0": text(includedAt="0000-01-01T00:00:00.000000Z"),
    "date without zone": text(createdAt="2026-11-22T08:00:00.0000000"),
    "another punch's id": text(employeeId=8),
    "malformed id": text(id="7"),
    # Python accepts these, and Postgres rejects them.
    "date by week": text(createdAt="2026-W47-7T08:00:00.000000Z"),
    "too small for a double": members('"latitude": 1e-400'),
    "NUL, overwritten": members('"deviceId": "\\u0000", "deviceId": "d"'),
    "NaN, overwritten": members('"latitude": NaN, "latitude": 1'),
}


def test_invalid_record_is_quarantined_and_the_rest_of_its_page_is_replicated(
    service: Service, dynamodb: Any, table: str
) -> None:
    for number, (kind, record) in enumerate(POISON.items(), start=1):
        fill(dynamodb, table, [2 * number, 2 * number + 1])
        dynamodb.batch_write_item(RequestItems={table: [put(SUSPECT_ID, record)]})
        service.replicate()
        assert service.statuses() == {"AWAITING": 2 * number}, kind
        assert buffered_ids(dynamodb, table) == set(), kind
        quarantined = service.rows("SELECT item_id, item, reason FROM quarantine ORDER BY id")
        assert len(quarantined) == number, kind
        item_id, item, reason = quarantined[-1]
        assert item_id == SUSPECT_ID
        assert json.loads(item)["id"] == {"S": SUSPECT_ID}
        assert json.loads(item).keys() == {"id", "record"}
        assert reason
    health = service.get("/health").json_body
    assert health["replica"]["quarantined"] == len(POISON)


@pytest.mark.parametrize(
    "item",
    [
        {"id": {"S": "no-uuid"}},
        {"id": {"S": "a\0b"}, "record": text()},
        {"id": {"S": "\U0010ffff" * 400}, "record": {"S": "x"}},
        {"id": {"S": SUSPECT_ID.upper()}, "record": text()},
        {"id": {"S": SUSPECT_ID}},
        {"id": {"S": SUSPECT_ID}, "record": text(), "ttl": {"N": "1"}},
        {"id": {"S": SUSPECT_ID}, "record": text(), "\0": {"B": b"\0"}},
    ],
    ids=lambda item: f"{item!a:.50}",
)
def test_item_with_other_attributes_is_quarantined(
    service: Service, dynamodb: Any, table: str, item: dict[str, Any]
) -> None:
    good = fill(dynamodb, table, GOOD)
    dynamodb.put_item(TableName=table, Item=item)
    service.replicate()
    assert service.statuses() == {"AWAITING": len(good)}
    assert buffered_ids(dynamodb, table) == set()
    ((kept,),) = service.rows("SELECT item FROM quarantine")
    assert json.loads(kept)["id"] == item["id"]


def test_pages_of_invalid_items_do_not_block_valid_records(
    service: Service, dynamodb: Any, table: str
) -> None:
    good = fill(dynamodb, table, GOOD)
    for first in range(0, 200, 25):
        invalid_items = [put(f"invalid-{each}", {"S": "x"}) for each in range(first, first + 25)]
        dynamodb.batch_write_item(RequestItems={table: invalid_items})
    # Only Postgres rejects these, so the replicator bisects the page until each is isolated.
    records = [parse(punch(each), datetime.now(UTC), 60) for each in range(2_000, 2_020)]
    for record in records:
        invalid = to_json(record) | {"createdAt": "2026-W47-7T08:00:00.000000Z"}
        dynamodb.put_item(
            TableName=table,
            Item={"id": {"S": str(record.id)}, "record": {"S": json.dumps(invalid)}},
        )
    service.replicate()
    assert service.statuses() == {"AWAITING": len(good)}
    assert service.rows("SELECT count(*) FROM quarantine") == [(220,)]
    assert buffered_ids(dynamodb, table) == set()


def test_invalid_item_that_is_replicated_again_is_quarantined_once(
    service: Service, dynamodb: Any, table: str
) -> None:
    for _ in range(2):
        dynamodb.put_item(TableName=table, Item={"id": {"S": "x"}, "record": {"S": "y"}})
        service.replicate()
    dynamodb.put_item(TableName=table, Item={"id": {"S": "x"}, "record": {"S": "z"}})
    service.replicate()
    assert service.rows("SELECT count(*) FROM quarantine") == [(2,)]


@pytest.mark.parametrize("kind", ["no JSON", "number", "nested 100,000 deep"])
def test_punch_under_the_id_of_an_invalid_item_is_accepted_after_the_quarantine(
    service: Service, dynamodb: Any, table: str, kind: str
) -> None:
    dynamodb.batch_write_item(RequestItems={table: [put(SUSPECT_ID, POISON[kind])]})
    # The punch is not stored, so it is not acknowledged, and the phone retries.
    blocked = service.post(punch(1_000))
    assert blocked.status_code == 503
    assert error_of(blocked)["code"] == "Unavailable"
    assert service.get(f"/point-record/{SUSPECT_ID}").status_code == 503
    assert service.get("/health").json_body["buffer"]["waiting"] == 1
    service.replicate()
    assert service.post(punch(1_000)).status_code == 201
    service.replicate()
    assert service.statuses() == {"AWAITING": 1}


@pytest.mark.parametrize(
    "kind", ["cut off", "date by week", "too small for a double", "NUL, overwritten"]
)
def test_invalid_further_post_is_quarantined_and_does_not_stop_replication(
    service: Service, dynamodb: Any, table: str, kind: str
) -> None:
    key = f"{SUSPECT_ID}/employee/0"
    other = f"{SUSPECT_ID}/employer/0"
    items = {SUSPECT_ID: text(), key: POISON[kind], other: text(deviceId="d", postedAs="employer")}
    dynamodb.batch_write_item(
        RequestItems={table: [put(name, record) for name, record in items.items()]}
    )
    good = fill(dynamodb, table, GOOD)
    service.replicate()
    assert service.statuses() == {"AWAITING": len(good) + 1}
    assert buffered_ids(dynamodb, table) == set()
    ((item_id, item),) = service.rows("SELECT item_id, item FROM quarantine")
    assert item_id == key
    assert json.loads(item) == {"id": {"S": key}, "record": POISON[kind]}
    # The post of the other role, in the same batch, is in the log.
    logs = "SELECT count(*) FROM integration_log WHERE starts_with(log, 'Posted again as employer')"
    assert service.rows(logs) == [(1,)]


def test_invalid_further_post_without_its_record_is_quarantined_at_once(
    service: Service, dynamodb: Any, table: str
) -> None:
    posts = {
        f"{SUSPECT_ID}/employee/0": members('"latitude": 1e-400'),
        f"{SUSPECT_ID}/employee/1": text(deviceId="d"),
    }
    dynamodb.batch_write_item(
        RequestItems={table: [put(name, record) for name, record in posts.items()]}
    )
    service.replicate()
    assert service.rows("SELECT item_id FROM quarantine") == [(f"{SUSPECT_ID}/employee/0",)]
    assert buffered_ids(dynamodb, table) == {f"{SUSPECT_ID}/employee/1"}  # it waits for its record
