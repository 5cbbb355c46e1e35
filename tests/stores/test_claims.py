"""Claims on a real PostgreSQL: leases of runs and records, and the settlement of outcomes."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from pg8000.native import Connection

from bench.punches import random_id
from chalicelib.point_record import Status, parse, to_json
from chalicelib.postgres.claims import _CLAIM, _DUE, Claimed, Claims
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.restoration import Restoration
from chalicelib.postgres.settlements import _FLUSH, Sample, Settlement

SAMPLE = Sample(6.09, 1, 1, 0, 0, 12, 20, "classic")


def new_run(database: Database, run_lease_s: float = 30, record_lease_s: float = 120) -> Claims:
    return Claims(database, run_lease_s=run_lease_s, record_lease_s=record_lease_s)


def rows(database: Database, sql: str) -> list[Any]:
    with database.transaction() as connection:
        return list(connection.run(sql) or [])


@pytest.fixture
def waiting(database: Database) -> list[str]:
    """The ids of ten replicated records, the oldest punch first."""
    documents = []
    for minute in range(10):
        body = {"employeeId": 1, "employerId": 2, "includedAt": f"2026-11-22T08:0{minute}:00-03:00"}
        accepted_at = datetime(2026, 11, 22, 12, minute, tzinfo=UTC)
        record = parse({**body, "deviceId": "d"}, accepted_at, 60)
        documents.append(Document(str(record.id), json.dumps(to_json(record))))
    PointRecordStore(database).add(documents)
    return [document.id for document in documents]


def explain(connection: Connection, statement: str, **values: Any) -> str:
    return "\n".join(line for (line,) in connection.run(f"EXPLAIN {statement}", **values))


def settlement(record: Claimed, status: Status, wait_s: float | None = None) -> Settlement:
    return Settlement(
        id=record.id,
        status=status,
        attempt=record.attempts + 1,
        attempts=record.attempts + 1,
        overloads=0,
        wait_s=wait_s,
        log=None if status is Status.INTEGRATED else "HTTP 500: no",
        http_status=200 if status is Status.INTEGRATED else 500,
        latency_ms=12,
    )


def test_one_run_is_active_until_it_ends(database: Database) -> None:
    first, second = new_run(database), new_run(database)
    assert first.begin() == (None, None, 0)
    assert second.begin() is None
    first.end([])
    assert second.begin() == (None, None, 0)


def test_a_run_with_an_expired_lease_is_succeeded(database: Database) -> None:
    expired = new_run(database, run_lease_s=0)
    expired.begin()
    assert expired.flush([], SAMPLE, {"limit": 7.5})
    successor = new_run(database)
    rows(
        database,
        "UPDATE integrator_state SET leased_until = now(), limiter = limiter"
        " || jsonb_build_object('stored_at', extract(epoch FROM now()) - 90)",
    )
    last_run = successor.begin()
    assert last_run
    assert (last_run.policy, (last_run.learned or {})["limit"]) == ("classic", 7.5)
    assert 90 <= last_run.idle_s < 120
    assert not expired.flush([], SAMPLE, {"limit": 1.0})
    assert expired.claim(10) == []
    expired.end([])
    assert new_run(database).begin() is None


def test_a_lease_of_a_time_when_the_clock_was_ahead_is_over(database: Database) -> None:
    assert new_run(database).begin()
    rows(database, "UPDATE integrator_state SET leased_until = now() + interval '2 hours'")
    assert new_run(database).begin()
    # The pause of a restore is the longest lease.
    Restoration(database).pause_integration()
    assert new_run(database).begin() is None


def test_a_claimed_record_is_not_claimed_again(database: Database, waiting: list[str]) -> None:
    run = new_run(database)
    run.begin()
    first, second = run.claim(6), run.claim(6)
    assert [record.id for record in (*first, *second)] == waiting
    assert run.claim(6) == []
    assert rows(database, "SELECT DISTINCT status FROM point_record") == [["INTEGRATING"]]


def test_a_claim_returns_the_body_to_send(database: Database, waiting: list[str]) -> None:
    run = new_run(database)
    run.begin()
    (record,) = run.claim(1)
    assert json.loads(record.body) == {
        "id": waiting[0],
        "employeeId": 1,
        "employerId": 2,
        "includedAt": "2026-11-22T11:00:00.000000Z",
        "utcOffsetMinutes": -180,
        "localDate": "2026-11-22",
        "localTime": "08:00:00",
        "deviceId": "d",
    }
    assert record == Claimed(waiting[0], record.body, attempts=0, overloads=0)


@pytest.mark.parametrize("device", ["", " a  b ", 'quoted "\\', "a\nb\r\n\u2028c", "\x85\x0b é😀"])
def test_a_claim_preserves_any_text_of_a_record(
    database: Database, waiting: list[str], device: str
) -> None:
    with database.transaction() as connection:
        connection.run("UPDATE point_record SET device_id = :device", device=device)
    run = new_run(database)
    run.begin()
    records = run.claim(10)
    assert [record.id for record in records] == waiting
    assert {json.loads(record.body)["deviceId"] for record in records} == {device}


def test_an_expired_record_lease_is_taken_over_and_logged(
    database: Database, waiting: list[str]
) -> None:
    dead = new_run(database, run_lease_s=0, record_lease_s=0)
    dead.begin()
    assert len(dead.claim(1)) == 1
    run = new_run(database)
    run.begin()
    assert sorted(record.id for record in run.claim(20)) == sorted(waiting)
    logs = rows(database, "SELECT attempt, status, log FROM integration_log WHERE attempt > 0")
    assert logs == [
        [1, "ERROR", "The run ended before the response arrived. The record is retried."],
    ]


@pytest.mark.usefixtures("waiting")
def test_a_flush_writes_the_outcome_of_each_record(database: Database) -> None:
    run = new_run(database)
    run.begin()
    delivered, failed, parked = run.claim(3)
    assert run.flush(
        [
            settlement(delivered, Status.INTEGRATED),
            settlement(failed, Status.ERROR, wait_s=60),
            settlement(parked, Status.REJECTED),
        ],
        SAMPLE,
        {},
    )
    records = rows(
        database,
        "SELECT status, attempts, integrated_at IS NOT NULL, next_attempt_at > now() + interval"
        " '50 s', claimed_by, updated_at IS NOT NULL FROM point_record WHERE attempts > 0"
        " ORDER BY included_at",
    )
    assert records == [
        ["INTEGRATED", 1, True, None, None, True],
        ["ERROR", 1, False, True, None, True],
        ["REJECTED", 1, False, None, None, True],
    ]
    logs = rows(
        database,
        "SELECT status, attempt, log, http_status, latency_ms FROM integration_log"
        " WHERE attempt > 0 ORDER BY point_id, number",
    )
    assert logs == [
        ["INTEGRATED", 1, None, 200, 12],
        ["ERROR", 1, "HTTP 500: no", 500, 12],
        ["REJECTED", 1, "HTTP 500: no", 500, 12],
    ]


@pytest.mark.usefixtures("waiting")
def test_a_repeated_flush_is_written_once(database: Database) -> None:
    run = new_run(database)
    run.begin()
    first, second = run.claim(2)
    settlements = [settlement(first, Status.INTEGRATED)]
    run.flush(settlements, SAMPLE, {})
    run._flushes -= 1  # Postgres committed, and the response was lost
    assert run.flush(settlements, SAMPLE, {})
    assert run.flush([settlement(second, Status.INTEGRATED)], SAMPLE, {})
    assert rows(database, "SELECT count(*) FROM integration_log WHERE attempt > 0") == [[2]]
    assert rows(database, "SELECT count(*) FROM integration_run") == [[2]]


@pytest.mark.usefixtures("waiting")
def test_a_flush_repeated_after_a_takeover_is_written_once(database: Database) -> None:
    late = new_run(database, run_lease_s=0)
    late.begin()
    delivered, failed = late.claim(2)
    settlements = [
        settlement(delivered, Status.INTEGRATED),
        settlement(failed, Status.ERROR, wait_s=0),
    ]
    late.flush(settlements, SAMPLE, {})
    late._flushes -= 1  # Postgres committed, and the response was lost
    successor = new_run(database)
    successor.begin()
    assert successor.flush([], SAMPLE, {"limit": 9.0})
    assert not late.flush(settlements, SAMPLE, {"limit": 1.0})
    logs = rows(
        database, "SELECT status FROM integration_log WHERE attempt > 0 ORDER BY point_id, number"
    )
    assert logs == [["INTEGRATED"], ["ERROR"]]
    assert rows(database, "SELECT count(*) FROM integration_run") == [[1]]
    # The successor's limiter state and claims are unchanged.
    assert rows(database, "SELECT limiter ->> 'limit' FROM integrator_state") == [["9.0"]]
    assert failed.id in [record.id for record in successor.claim(10)]
    assert not late.flush(settlements, SAMPLE, {})
    status = rows(database, f"SELECT status FROM point_record WHERE id = '{failed.id}'")
    assert status == [["INTEGRATING"]]


@pytest.mark.usefixtures("waiting")
def test_a_run_that_lost_a_record_may_only_confirm_its_delivery(database: Database) -> None:
    late = new_run(database, run_lease_s=0)
    late.begin()
    delivered, failed = late.claim(2)
    rows(database, "UPDATE point_record SET next_attempt_at = created_at")  # the leases expire
    successor = new_run(database)
    successor.begin()
    assert [record.id for record in successor.claim(2)] == [delivered.id, failed.id]
    assert not late.flush(
        [settlement(delivered, Status.INTEGRATED), settlement(failed, Status.ERROR, wait_s=9)],
        SAMPLE,
        {},
    )
    statuses = rows(
        database, "SELECT status FROM point_record WHERE updated_at IS NOT NULL ORDER BY created_at"
    )
    assert statuses == [["INTEGRATED"], ["INTEGRATING"]]
    # A row that changed nothing says so: it may follow rows of the later run.
    logs = rows(
        database,
        f"SELECT log, status FROM integration_log WHERE point_id = '{failed.id}' ORDER BY number",
    )
    text, status = logs[-1]
    assert text.startswith("Late, from a run that had lost the record. Its outcome was ERROR. ")
    assert status == "INTEGRATING"  # as the record
    logs = rows(
        database,
        f"SELECT log FROM integration_log WHERE point_id = '{delivered.id}' ORDER BY number",
    )
    assert not str(logs[-1][0]).startswith("Late")
    assert successor.flush([settlement(delivered, Status.ERROR, wait_s=9)], SAMPLE, {})
    statuses = rows(database, f"SELECT status FROM point_record WHERE id = '{delivered.id}'")
    assert statuses == [["INTEGRATED"]]


def test_end_returns_unsent_records_to_the_queue(database: Database, waiting: list[str]) -> None:
    run = new_run(database)
    run.begin()
    records = run.claim(5)
    run.end([records[0].id])
    records_now = rows(
        database,
        "SELECT CAST(id AS text), status, next_attempt_at <= now() FROM point_record"
        " ORDER BY included_at",
    )
    assert records_now == [
        [waiting[0], "INTEGRATING", False],
        *([each, "AWAITING", True] for each in waiting[1:]),
    ]


def test_next_due_s_is_the_time_until_the_next_record_is_due(
    database: Database, waiting: list[str]
) -> None:
    run = new_run(database)
    assert run.next_due_s() <= 0
    run.begin()
    run.claim(len(waiting))
    assert 110 < run.next_due_s() <= 120
    rows(
        database,
        "UPDATE point_record SET status = 'REJECTED', next_attempt_at = NULL,"
        " claimed_by = NULL RETURNING 1",
    )
    assert run.next_due_s() == float("inf")


@pytest.mark.parametrize("max_records", [10, 5_000])
def test_the_plan_of_a_claim_scans_an_index_with_many_records_waiting(
    database: Database, max_records: int
) -> None:
    run = new_run(database)
    run.begin()
    rows(
        database,
        "INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes,"
        f" created_at, next_attempt_at) SELECT {random_id('now()')}, n, 1, now(), 0, now(),"
        " now() - n * interval '1 ms' FROM generate_series(1, 100000) AS n RETURNING 1",
    )
    with database.transaction() as connection:
        connection.run("ANALYZE point_record")
        due = explain(
            connection, _DUE, name="integrator", run_id=run.run_id, max_records=max_records
        )
        ids = [each.id for each in run.claim(max_records)]
        claim = explain(connection, _CLAIM, run_id=run.run_id, lease_s=45, ids=ids)
    # Due records are read in the order of the indexes, and each is updated by its primary key.
    month = f"point_record_{datetime.now(UTC):%Y_%m}"
    assert "Merge Append" in due, due
    assert f"Index Scan using {month}_next_attempt_at_idx" in due, due
    assert f"on {month}_pkey" in claim, claim
    assert "Update on point_record_default" not in claim, claim
    assert "Seq Scan on point_record" not in due + claim, due + claim


def test_the_plan_of_a_flush_has_no_quadratic_join_with_stale_statistics(
    database: Database,
) -> None:
    insert = (
        "INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes,"
        f" created_at, status, next_attempt_at) SELECT {random_id('now()')}, n, 1, now(), 0, now(),"
        " {} FROM generate_series(1, 5000) AS n RETURNING 1"
    )
    rows(database, insert.format("'INTEGRATED', NULL"))
    rows(database, "ANALYZE point_record")
    rows(database, insert.format("'AWAITING', now()"))
    with database.transaction() as connection:
        ids = [
            record_id for (record_id,) in connection.run("SELECT id FROM point_record LIMIT 500")
        ]
        plan = explain(
            connection,
            _FLUSH,
            name="integrator",
            run_id=new_run(database).run_id,
            lease_s=45,
            limiter="{}",
            number=1,
            settlements="[]",
            first_id=min(ids),
            last_id=max(ids),
            is_journaled=True,
            **asdict(SAMPLE),
        )
    assert "Nested Loop" not in plan or "Index Cond: (id = settlement" in plan, plan
    assert "point_record_default" not in plan, plan
