"""Whatever the buffer holds that is not a point record goes to quarantine and blocks nobody."""

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
    """The record of a valid punch with fields replaced, or left out where they are ``...``."""
    changed = {**SUSPECT, **fields}
    return {"S": json.dumps({name: each for name, each in changed.items() if each is not ...})}


def members(first: str) -> dict[str, str]:
    """The record of a valid punch with more members, as they are written, before its own."""
    return {"S": "{" + first + ", " + text()["S"][1:]}


# Each under the id of a valid punch, where it is in the way of that punch.
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
    "id that is none": text(id="7"),
    # What Python reads and Postgres refuses.
    "date by week": text(createdAt="2026-W47-7T08:00:00.000000Z"),
    "too small for a double": members('"latitude": 1e-400'),
    "NUL, overwritten": members('"deviceId": "\\u0000", "deviceId": "d"'),
    "NaN, overwritten": members('"latitude": NaN, "latitude": 1'),
}


def test_every_kind_of_poison_is_quarantined_and_its_neighbours_arrive(
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
def test_an_item_of_another_shape_is_quarantined_as_it_is(
    service: Service, dynamodb: Any, table: str, item: dict[str, Any]
) -> None:
    good = fill(dynamodb, table, GOOD)
    dynamodb.put_item(TableName=table, Item=item)
    service.replicate()
    assert service.statuses() == {"AWAITING": len(good)}
    assert buffered_ids(dynamodb, table) == set()
    ((kept,),) = service.rows("SELECT item FROM quarantine")
    assert json.loads(kept)["id"] == item["id"]


def test_a_page_of_nothing_but_poison_blocks_nobody(
    service: Service, dynamodb: Any, table: str
) -> None:
    good = fill(dynamodb, table, GOOD)
    for first in range(0, 200, 25):
        junk = [put(f"junk-{each}", {"S": "x"}) for each in range(first, first + 25)]
        dynamodb.batch_write_item(RequestItems={table: junk})
    # Refused by Postgres alone: the page is parted until each of them stands alone.
    records = [parse(punch(each), datetime.now(UTC), 60) for each in range(2_000, 2_020)]
    for record in records:
        refused = to_json(record) | {"createdAt": "2026-W47-7T08:00:00.000000Z"}
        dynamodb.put_item(
            TableName=table,
            Item={"id": {"S": str(record.id)}, "record": {"S": json.dumps(refused)}},
        )
    service.replicate()
    assert service.statuses() == {"AWAITING": len(good)}
    assert service.rows("SELECT count(*) FROM quarantine") == [(220,)]
    assert buffered_ids(dynamodb, table) == set()


def test_the_same_poison_met_again_is_one_row(service: Service, dynamodb: Any, table: str) -> None:
    for _ in range(2):
        dynamodb.put_item(TableName=table, Item={"id": {"S": "x"}, "record": {"S": "y"}})
        service.replicate()
    dynamodb.put_item(TableName=table, Item={"id": {"S": "x"}, "record": {"S": "z"}})
    service.replicate()
    assert service.rows("SELECT count(*) FROM quarantine") == [(2,)]


@pytest.mark.parametrize("kind", ["no JSON", "number", "nested 100,000 deep"])
def test_a_punch_whose_place_is_taken_by_poison_waits_for_the_quarantine(
    service: Service, dynamodb: Any, table: str, kind: str
) -> None:
    dynamodb.batch_write_item(RequestItems={table: [put(SUSPECT_ID, POISON[kind])]})
    # Not acknowledged, since it is not stored: the phone sends it again.
    in_the_way = service.post(punch(1_000))
    assert in_the_way.status_code == 503
    assert error_of(in_the_way)["code"] == "Unavailable"
    assert service.get(f"/point-record/{SUSPECT_ID}").status_code == 503
    assert service.get("/health").json_body["buffer"]["waiting"] == 1
    service.replicate()
    assert service.post(punch(1_000)).status_code == 201
    service.replicate()
    assert service.statuses() == {"AWAITING": 1}
