"""The end of the retention on a real PostgreSQL: whole months go, or are held with a reason."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Semaphore
from typing import Any

import pytest
from pg8000.native import Connection

from chalicelib.point_record import parse, to_json
from chalicelib.postgres import retention
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document
from chalicelib.postgres.partitions import Month, keep_partitions, months_with_partitions
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.retention import Ended, end_retention

NOW = datetime(2031, 11, 28, 12, tzinfo=UTC)
OLD = datetime(2026, 8, 31, 23, 59, tzinfo=UTC)  # 63 months before
KEPT = datetime(2026, 9, 1, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def rows(database: Database, sql: str, **values: Any) -> list[Any]:
    with database.transaction() as connection:
        return list(connection.run(sql, **values) or [])


def check(database: Database, *, is_journaled: bool = True) -> Ended:
    return end_retention(
        database, NOW, retention_months=62, run_retention_days=35, is_journaled=is_journaled
    )


@pytest.fixture
def months(database: Database) -> Database:
    """A database with delivered records of an old month and of the oldest that is kept."""
    documents = []
    for number, instant in enumerate((OLD, OLD, KEPT, NOW)):
        body = {"employeeId": number + 1, "employerId": 7, "includedAt": instant.isoformat()}
        record = parse(body, NOW, 60)
        documents.append(Document(str(record.id), json.dumps(to_json(record))))
    PointRecordStore(database).add(documents)
    keep_partitions(database, NOW, 64)
    rows(
        database,
        "UPDATE point_record SET status = 'INTEGRATED', next_attempt_at = NULL,"
        " integrated_at = now()",
    )
    rows(database, "INSERT INTO journal_use (since) VALUES (:since)", since=LONG_AGO)
    return database


def names(database: Database) -> list[str]:
    return [month.name for month in months_with_partitions(database)]


def test_old_month_goes_with_its_records_and_logs(months: Database) -> None:
    assert check(months) == Ended(dropped=["2026_08"])
    assert rows(months, "SELECT count(*) FROM point_record") == [[2]]
    assert rows(months, "SELECT count(*) FROM integration_log") == [[2]]
    assert names(months)[0] == "2026_09"
    assert check(months) == Ended()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            "UPDATE point_record SET status = 'ERROR', next_attempt_at = now(),"
            " integrated_at = NULL WHERE employee_id = 2",
            "records wait for the legacy",
        ),
        (
            "INSERT INTO delivery_outbox SELECT id, now() FROM point_record WHERE employee_id = 1",
            "deliveries are not in the journal yet",
        ),
        ("UPDATE journal_use SET since = '2026-08-15'", "the journal began later"),
    ],
)
def test_month_is_held_while_something_of_it_would_be_lost(
    months: Database, statement: str, reason: str
) -> None:
    rows(months, statement)
    assert check(months) == Ended(held={"2026_08": reason})
    assert "2026_08" in names(months)
    assert rows(months, "SELECT count(*) FROM point_record") == [[4]]


def test_parked_records_do_not_hold_a_month(months: Database) -> None:
    rows(months, "UPDATE point_record SET status = 'REJECTED', integrated_at = NULL")
    assert check(months).dropped == ["2026_08"]


def test_records_that_wait_in_another_month_do_not_hold_one(months: Database) -> None:
    rows(
        months,
        "UPDATE point_record SET status = 'AWAITING', next_attempt_at = now(),"
        " integrated_at = NULL WHERE employee_id > 2",
    )
    assert check(months).dropped == ["2026_08"]


def test_without_a_journal_nothing_is_dropped_and_its_time_begins_again(months: Database) -> None:
    assert check(months, is_journaled=False).held == {"2026_08": "the stage has no journal"}
    assert check(months).held == {"2026_08": "the journal began later"}


def test_two_checks_at_once_drop_a_month_once(
    months: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_read, reason_to_hold = Barrier(2, timeout=30), retention._reason_to_hold
    first_reads = Semaphore(2)

    def read(connection: Connection, month: Month) -> str:
        reason = reason_to_hold(connection, month)
        if first_reads.acquire(blocking=False):
            both_have_read.wait()
        return reason

    monkeypatch.setattr(retention, "_reason_to_hold", read)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: check(months), range(2)))
    assert names(months)[0] == "2026_09"
    assert rows(months, "SELECT count(*) FROM point_record") == [[2]]


def test_statistics_of_old_runs_are_deleted_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_DELETE_BATCH", 3)
    for number, days in enumerate((34, 36, 36, 37, 40, 99, 100)):
        rows(
            database,
            "INSERT INTO integration_run (run_id, flush, at, max_open_requests, open_requests,"
            " delivered, failed, rejected, policy)"
            " VALUES (CAST(:run AS uuid), 1, :at, 1, 1, 0, 0, 0, 'classic')",
            run=str(uuid.UUID(int=number)),
            at=NOW - timedelta(days=days),
        )
    assert check(database).runs == 6
    assert rows(database, "SELECT count(*) FROM integration_run") == [[1]]
