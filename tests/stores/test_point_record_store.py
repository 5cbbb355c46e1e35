"""PointRecordStore on a real PostgreSQL: adding records, the quarantine, and the stage counts."""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from bench.punches import random_id
from chalicelib.point_record import parse, to_json
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document, Poison
from chalicelib.postgres.point_records import Added, PointRecordStore
from chalicelib.postgres.stage_counts import _STAGES

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


def document(employee: int, **evidence: Any) -> Document:
    body = {"employeeId": employee, "employerId": 2, "includedAt": "2026-11-22T08:00:00-03:00"}
    record = parse({**body, **evidence}, NOW, 60)
    return Document(str(record.id), json.dumps(to_json(record)))


def rows(database: Database, sql: str) -> list[Any]:
    with database.transaction() as connection:
        return list(connection.run(sql) or [])


def test_an_added_record_has_the_values_that_were_accepted(database: Database) -> None:
    PointRecordStore(database).add(
        [document(7, deviceId='it\'s a "phone"', latitude=1e-200, longitude=-46.63308)]
    )
    records = rows(
        database,
        "SELECT employee_id, employer_id, included_at, utc_offset_minutes, device_id, latitude,"
        " longitude, accuracy_meters, status, attempts, created_at FROM point_record",
    )
    assert records == [
        [
            7,
            2,
            datetime(2026, 11, 22, 11, 0, tzinfo=UTC),
            -180,
            'it\'s a "phone"',
            1e-200,
            -46.63308,
            None,
            "AWAITING",
            0,
            NOW,
        ]
    ]


def test_adding_a_record_twice_writes_one_row_and_one_log_row(database: Database) -> None:
    store = PointRecordStore(database)
    documents = [document(employee) for employee in range(1, 11)]
    assert store.add(documents) == Added(10, ())
    assert store.add(documents) == Added(0, ())
    assert store.add([*documents, document(11), document(11)]) == Added(1, ())
    logs = rows(
        database,
        "SELECT count(*), count(DISTINCT point_id), min(status), max(attempt) FROM integration_log",
    )
    assert logs == [[11, 11, "AWAITING", 0]]


def test_rejected_documents_are_quarantined_and_the_rest_is_written(database: Database) -> None:
    good = [document(employee) for employee in range(1, 20)]
    absurd = Document("absurd", good[0].text.replace("2026-11-22T11", "2026-99-22T11"))
    nul = Document("nul", document(50, deviceId="x").text.replace('"x"', '"\\u0000"'))
    negative = Document("negative", good[0].text.replace('"employerId": 2', '"employerId": -2'))
    added = PointRecordStore(database).add([*good[:5], absurd, *good[5:], nul, negative])
    assert added.written == 19
    assert {each.item_id for each in added.rejected} == {"absurd", "nul", "negative"}
    quarantined = rows(database, "SELECT item_id, reason FROM quarantine ORDER BY item_id")
    assert [item_id for item_id, _ in quarantined] == ["absurd", "negative", "nul"]
    assert all(reason.startswith("Postgres rejects the record: ") for _, reason in quarantined)


def test_poison_that_is_added_twice_is_one_row(database: Database) -> None:
    poison = [Poison("k\0ey", '{"x": {"S": "\\u0000"}}', "not a record"), Poison("b", "{}", "no")]
    for _ in range(2):
        PointRecordStore(database).add([document(1)], poison)
    assert rows(database, "SELECT item_id, item, reason FROM quarantine ORDER BY id") == [
        ["k\ufffdey", '{"x": {"S": "\\u0000"}}', "not a record"],
        ["b", "{}", "no"],
    ]


def test_adding_the_same_records_in_opposite_orders_does_not_deadlock(database: Database) -> None:
    documents = [document(employee) for employee in range(1, 301)]
    written: list[int] = []

    def add(batch: list[Document]) -> None:
        written.append(PointRecordStore(database).add(batch).written)

    for _ in range(3):
        rows(database, "TRUNCATE point_record CASCADE")
        written.clear()
        threads = [
            threading.Thread(target=add, args=(batch,))
            for batch in (documents, documents[::-1], documents)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(written) == 300
        assert len(written) == 3


def test_stages_counts_each_stage_up_to_the_bound(database: Database) -> None:
    store = PointRecordStore(database)
    assert store.stages(10) == {
        "accepted": 0,
        "delivered": 0,
        "waiting": {},
        "parked": 0,
        "quarantined": 0,
        "unpartitioned": 0,
        "oldestAgeSeconds": None,
        "estimated": [],
    }
    store.add([document(employee) for employee in range(1, 13)], [Poison("a", "{}", "no")])
    rows(
        database,
        "UPDATE point_record SET status = 'REJECTED', next_attempt_at = NULL WHERE employee_id < 3",
    )
    stages = store.stages(5)
    assert stages["waiting"] == {"AWAITING": 5}
    assert (stages["accepted"], stages["parked"], stages["quarantined"]) == (5, 2, 1)
    assert stages["estimated"] == ["accepted", "waiting"]  # without statistics, the bound itself
    stages = store.stages(100)
    assert (stages["accepted"], stages["waiting"], stages["parked"]) == (12, {"AWAITING": 10}, 2)
    assert stages["estimated"] == []
    ((age_s,),) = rows(
        database, "SELECT extract(epoch FROM now() - min(created_at)) FROM point_record"
    )
    assert abs(stages["oldestAgeSeconds"] - float(age_s)) < 60


def test_the_plan_of_the_stage_counts_uses_an_index_of_each_stage(database: Database) -> None:
    rows(
        database,
        "INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes,"
        " created_at, status, next_attempt_at, updated_at)"
        f" SELECT {random_id('now()')}, n, 1, now(), 0, now(), 'AWAITING', now(), NULL"
        " FROM generate_series(1, 30000) AS n RETURNING 1",
    )
    with database.transaction() as connection:
        connection.run("ANALYZE point_record")
        plan = "\n".join(line for (line,) in connection.run(f"EXPLAIN {_STAGES}", max_count=100))
    month = f"point_record_{datetime.now(UTC):%Y_%m}"
    for column in ("next_attempt_at", "integrated_at", "updated_at"):
        assert f"{month}_{column}_idx" in plan, plan
    assert PointRecordStore(database).stages(100)["estimated"] == ["accepted", "waiting"]


def test_stages_beyond_the_bound_are_estimated_within_a_tenth(database: Database) -> None:
    rows(
        database,
        "INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes,"
        " created_at, status, next_attempt_at)"
        f" SELECT {random_id('now()')}, n, 1, now(), 0, now(), status, due_at"
        " FROM (VALUES ('INTEGRATED', NULL, 20000), ('AWAITING', now(), 12000),"
        " ('ERROR', now(), 7990), ('REJECTED', NULL, 10)) AS stage (status, due_at, depth),"
        " generate_series(1, depth) AS n RETURNING 1",
    )
    rows(database, "ANALYZE point_record")
    stages = PointRecordStore(database).stages(1_000)
    assert stages["estimated"] == ["accepted", "delivered", "waiting"]
    assert stages["accepted"] == pytest.approx(40_000, rel=0.1)
    assert stages["delivered"] == pytest.approx(20_000, rel=0.1)
    assert stages["waiting"]["AWAITING"] == pytest.approx(12_000, rel=0.1)
    assert stages["waiting"]["ERROR"] == pytest.approx(7_990, rel=0.1)
    assert stages["parked"] == 10  # below the bound: counted
    # The statistics are those of the last ANALYZE, and never below what was counted.
    rows(
        database, "UPDATE point_record SET status = 'REJECTED', next_attempt_at = NULL RETURNING 1"
    )
    assert PointRecordStore(database).stages(1_000)["parked"] >= 1_000
