"""Statements that lock tables, on a real PostgreSQL: others hardly notice, and none is lost."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.errors import UnavailableError
from chalicelib.point_record import parse, to_json
from chalicelib.postgres import locks
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document, Poison
from chalicelib.postgres.partitions import keep_partitions
from chalicelib.postgres.personal_records import PersonalRecords
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.restoration import Restoration
from tests.support.waiting import wait_until

NOW = datetime.now(UTC)
TOUCH = "UPDATE point_record SET updated_at = now() WHERE id = CAST(:id AS uuid)"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PAUSE_S", 0.3)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def add(database: Database, minutes_ago: int) -> str:
    """Add a record, and return its id."""
    included_at = NOW - timedelta(minutes=minutes_ago)
    body = {"employerId": 7, "employeeId": 5, "includedAt": included_at.isoformat()}
    record = parse(body | {"deviceId": "phone-9"}, NOW, 60)
    PointRecordStore(database).add([Document(str(record.id), json.dumps(to_json(record)))])
    return str(record.id)


def waiting(database: Database) -> int:
    """How many sessions wait for a lock."""
    with database.transaction() as connection:
        ((count,),) = connection.run(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
    return int(count)


def read_erasures(database: Database) -> str:
    with database.transaction(statement_timeout_s=2) as connection:
        ((count,),) = connection.run("SELECT count(*) FROM erasure")
    return str(count)


def test_query_that_reads_the_log_first_does_not_fail_while_partitions_are_made(
    database: Database, pool: ThreadPoolExecutor
) -> None:
    with database.transaction() as query:
        query.run("SELECT count(*) FROM integration_log")
        made = pool.submit(keep_partitions, database, NOW + timedelta(days=90), 62)
        wait_until(lambda: waiting(database) == 1)
        assert query.run("SELECT count(*) FROM point_record") == [[0]]
    assert made.result(30)


def test_additions_do_not_queue_behind_an_erasure_that_waits(
    database: Database, pool: ThreadPoolExecutor
) -> None:
    with database.transaction() as addition:
        addition.run("SELECT FROM erasure")
        erased = pool.submit(PersonalRecords(database).erase_evidence, 7, 5, NOW)
        wait_until(lambda: waiting(database) == 1)
        assert pool.submit(read_erasures, database).result(30) == "0"
    assert erased.result(30) == (0, 0)
    assert read_erasures(database) == "1"


def test_item_may_arrive_that_equals_an_edited_one(
    database: Database, pool: ThreadPoolExecutor
) -> None:
    records, without = PersonalRecords(database), '{"employeeId": 5}'
    evidence = Poison("a", '{"employeeId": 5, "deviceId": "x"}', "reason")
    PointRecordStore(database).add([], [evidence])
    with database.transaction() as arrival:
        arrival.run(
            "INSERT INTO quarantine (item_id, item, reason) VALUES ('a', :item, 'reason')",
            item=without,
        )
        edited = pool.submit(
            records.edit_quarantine, 5, lambda item: None if item == without else without
        )
        wait_until(lambda: waiting(database) == 1)
    assert edited.result(30) == 1
    assert records.quarantined(5) == [without]


def test_deliveries_are_marked_while_a_run_settles_them_in_another_order(
    database: Database, pool: ThreadPoolExecutor
) -> None:
    first, last = sorted((add(database, 1), add(database, 2)))
    deliveries = [{"id": each, "integrated_at": NOW.isoformat()} for each in (first, last)]
    with database.transaction() as run:
        run.run(TOUCH, id=last)
        marked = pool.submit(Restoration(database).mark_delivered, deliveries)
        wait_until(lambda: waiting(database) == 1)
        run.run(TOUCH, id=first)
    assert marked.result(30) == 2


@pytest.mark.parametrize("touched", [(0, 1), (1, 0)])
def test_evidence_is_erased_while_a_run_settles_in_another_order(
    touched: tuple[int, int], database: Database, pool: ThreadPoolExecutor
) -> None:
    ids = [add(database, 1), add(database, 2)]
    with database.transaction() as run:
        run.run(TOUCH, id=ids[touched[0]])
        until = NOW + timedelta(minutes=1)
        erased = pool.submit(PersonalRecords(database).erase_evidence, 7, 5, until)
        wait_until(lambda: waiting(database) == 1)
        run.run(TOUCH, id=ids[touched[1]])
    count = erased.result(30)[0]
    print("COUNT", count)
    assert erased.result(30)[0] == 2
    with database.transaction() as connection:
        assert connection.run("SELECT DISTINCT device_id FROM point_record") == [[None]]


def test_what_meets_no_lock_is_not_repeated() -> None:
    calls: list[Any] = []

    def fail() -> None:
        calls.append(1)
        raise UnavailableError("The database cannot be reached.")

    with pytest.raises(UnavailableError):
        locks.retry_on_lock(fail)
    assert calls == [1]
