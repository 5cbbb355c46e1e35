"""Accept many records at once, and check exactly where each of them is."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from chalicelib.point_record import parse, to_json
from tests.conftest import SimulatedLegacy
from tests.support.service import Service, punch

# The rounds of each test that kills processes at random: few in CI, many in a soak test.
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "4"))


def fill(dynamodb: Any, table: str, employees: Iterable[int]) -> list[str]:
    """Put the punches of these employees into the buffer as intake does; return their ids."""
    records = [parse(punch(each), datetime.now(UTC), 60) for each in employees]
    for first in range(0, len(records), 25):
        puts = [
            put(str(record.id), {"S": json.dumps(to_json(record), separators=(",", ":"))})
            for record in records[first : first + 25]
        ]
        response = dynamodb.batch_write_item(RequestItems={table: puts})
        assert not response["UnprocessedItems"]
    return [str(record.id) for record in records]


def put(item_id: str, record: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """The request to put one item, as a part of ``BatchWriteItem``."""
    return {"PutRequest": {"Item": {"id": {"S": item_id}, "record": record, **attributes}}}


def buffered_ids(dynamodb: Any, table: str) -> set[str]:
    ids = set()
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        ids |= {item["id"]["S"] for item in page["Items"]}
    return ids


def replicated_ids(service: Service) -> set[str]:
    return {record_id for (record_id,) in service.rows("SELECT CAST(id AS text) FROM point_record")}


def assert_replicated(service: Service, dynamodb: Any, table: str, accepted: list[str]) -> None:
    """Each accepted record is in Postgres, with one AWAITING log row, and not in the buffer."""
    assert buffered_ids(dynamodb, table) == set()
    assert replicated_ids(service) == set(accepted)
    logged = service.rows("SELECT CAST(point_id AS text), attempt, status FROM integration_log")
    assert sorted(logged) == sorted((record_id, 0, "AWAITING") for record_id in accepted)
    assert service.rows("SELECT item, reason FROM quarantine") == []


def assert_integrated(service: Service, legacy: SimulatedLegacy, ids: list[str]) -> None:
    """Each record is INTEGRATED, the legacy has it once, and its last log row is INTEGRATED."""
    assert service.statuses() == {"INTEGRATED": len(ids)}
    assert sorted(legacy.accepted_ids()) == sorted(ids)
    assert_not_stuck(service)
    last = service.rows(
        "SELECT DISTINCT ON (point_id) CAST(point_id AS text), status FROM integration_log"
        " ORDER BY point_id, number DESC"
    )
    assert sorted(last) == sorted((record_id, "INTEGRATED") for record_id in ids)
    integrated = service.rows(
        "SELECT CAST(point_id AS text) FROM integration_log WHERE status = 'INTEGRATED'"
    )
    assert max(Counter(integrated).values()) == 1


def assert_not_stuck(service: Service) -> None:
    """No record is still claimed by a run that has ended."""
    assert service.rows("SELECT id FROM point_record WHERE status = 'INTEGRATING'") == []
