"""Erasures on a real PostgreSQL while others write about the same person at the same time."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from pg8000.native import Connection

from chalicelib.point_record import parse, to_json
from chalicelib.postgres import documents, personal_records, point_records
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document
from chalicelib.postgres.partitions import keep_partitions
from chalicelib.postgres.personal_records import PersonalRecords
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.quarantined_items import QuarantinedItems
from tests.support.waiting import wait_until

NOW = datetime.now(UTC)
EMPLOYER, EMPLOYEE = 7, 5
EVIDENCE = {"deviceId": "phone-9", "latitude": 1.0, "longitude": 2.0}


def document() -> Document:
    body = {"employerId": EMPLOYER, "employeeId": EMPLOYEE, "includedAt": NOW.isoformat()}
    record = parse(body | EVIDENCE, NOW, 60)
    return Document(str(record.id), json.dumps(to_json(record)))


def rows(database: Database, sql: str, **values: Any) -> list[Any]:
    with database.transaction() as connection:
        return list(connection.run(sql, **values) or [])


def waits_for_a_lock(database: Database) -> bool:
    """Whether another session waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return rows(database, waiting) != [[0]]


class Pause:
    """Where one thread waits in a function, until the test lets it go on."""

    def __init__(self) -> None:
        self.is_reached, self._go_on = Event(), Event()

    def __call__(self) -> None:
        self.is_reached.set()
        assert self._go_on.wait(30)

    @contextmanager
    def during(self, call: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
        """Start a call, and yield once it has reached the pause: what lets it go on and end."""
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(call)
            assert self.is_reached.wait(30)

            def result() -> Any:
                self._go_on.set()
                return ended.result(30)

            try:
                yield result
            finally:
                self._go_on.set()


def pause_after_the_logs(monkeypatch: pytest.MonkeyPatch) -> Pause:
    """Pause each erasure of punches between its logs and its records."""
    pause, erase = Pause(), personal_records._erase

    class Paused:
        def __init__(self, connection: Connection) -> None:
            self._connection = connection

        def run(self, sql: str, **values: Any) -> Any:
            result = self._connection.run(sql, **values)
            if sql is personal_records._DELETE_LOGS:
                pause()
            return result

        @property
        def row_count(self) -> int:
            return self._connection.row_count

    monkeypatch.setattr(
        personal_records, "_erase", lambda connection, ids: erase(Paused(connection), ids)
    )
    return pause


def test_item_that_is_released_during_an_erasure_loses_its_evidence(database: Database) -> None:
    punch, pause = document(), Pause()
    rows(database, "INSERT INTO quarantine (item_id, item, reason) VALUES ('a', 'b', 'c')")
    ((quarantine_id,),) = rows(database, "SELECT id FROM quarantine")

    def repair(_: str) -> Document:
        pause()
        return punch

    release = QuarantinedItems(database).release
    until = NOW + timedelta(minutes=1)
    with pause.during(lambda: release(quarantine_id, repair)) as released:
        PersonalRecords(database).erase_evidence(EMPLOYER, EMPLOYEE, until)
        assert released().written == 1
    assert rows(database, "SELECT device_id, latitude FROM point_record") == [[None, None]]


def test_released_item_of_an_erased_punch_adds_nothing(database: Database) -> None:
    punch = document()
    PersonalRecords(database).erase_punches([punch.id])
    rows(database, "INSERT INTO quarantine (item_id, item, reason) VALUES ('a', 'b', 'c')")
    ((quarantine_id,),) = rows(database, "SELECT id FROM quarantine")
    assert QuarantinedItems(database).release(quarantine_id, lambda _: punch).written == 0
    assert rows(database, "SELECT FROM point_record UNION ALL SELECT FROM quarantine") == []


def test_punch_that_is_added_again_during_its_erasure_is_erased(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    punch, pause, store = document(), Pause(), PointRecordStore(database)
    store.add([punch])
    rows(
        database,
        "UPDATE point_record SET status = 'INTEGRATED', next_attempt_at = NULL,"
        " integrated_at = now(), updated_at = now() - interval '2 hours'",
    )

    def paused(connection: Connection, added: list[Document]) -> Any:
        pause()
        return documents.insert_documents(connection, added)

    monkeypatch.setattr(point_records, "insert_documents", paused)
    records = PersonalRecords(database)
    with pause.during(lambda: store.add([punch])) as added, ThreadPoolExecutor(1) as pool:
        erasure = pool.submit(records.erase_settled, [punch.id], lambda _: None)
        wait_until(lambda: waits_for_a_lock(database))
        added()
        assert erasure.result(30) == 1
    assert rows(database, "SELECT FROM point_record") == []


def test_log_row_of_a_punch_during_its_erasure_does_not_make_it_fail(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    punch, store = document(), PointRecordStore(database)
    store.add([punch])
    pause = pause_after_the_logs(monkeypatch)
    log = (
        "INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt, status)"
        " SELECT id, employer_id, employee_id, 9, 1, 'ERROR' FROM point_record"
    )
    records = PersonalRecords(database)
    with (
        pause.during(lambda: records.erase_punches([punch.id])) as erased,
        ThreadPoolExecutor(1) as pool,
    ):
        logged = pool.submit(rows, database, log)
        wait_until(lambda: logged.done() or waits_for_a_lock(database))
        assert erased() == 1
        logged.exception(30)  # its record is gone: it may fail
    assert rows(database, "SELECT FROM point_record") == []


def test_punches_are_erased_while_partitions_are_made(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    punch = document()
    PointRecordStore(database).add([punch])
    pause = pause_after_the_logs(monkeypatch)
    records, later = PersonalRecords(database), NOW + timedelta(days=90)
    with (
        pause.during(lambda: records.erase_punches([punch.id])) as erased,
        ThreadPoolExecutor(1) as pool,
    ):
        made = pool.submit(keep_partitions, database, later, 62)
        wait_until(lambda: waits_for_a_lock(database))
        assert erased() == 1
        assert made.result(30)
