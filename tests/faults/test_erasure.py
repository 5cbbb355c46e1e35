"""Erasure and export: one person's data goes from every store, killed or not, and no other's."""

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib import container
from chalicelib.errors import InvalidError, UnavailableError
from chalicelib.operations import personal_data
from chalicelib.postgres.personal_records import PersonalRecords
from local.postgres import Postgres
from tests.conftest import SimulatedLegacy
from tests.faults.test_restore import now, restore
from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.lambda_events import context
from tests.support.postgres_backup import Backup
from tests.support.record_counts import buffered_ids, put
from tests.support.service import UNREACHABLE, Service, punch, wired
from tests.support.tokens import operator_event

EVIDENCE = {"deviceId": "=phone-of-7", "latitude": -23.5, "longitude": -46.6, "accuracyMeters": 5}
PERSON = {"employer": 121, "employee": 7}
COLUMNS = "num_nonnulls(device_id, latitude, longitude, accuracy_meters, posted_by)"


@pytest.fixture
def variables(variables: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a service with a journal."""
    return variables | {
        "JOURNAL": f"file:{tmp_path / 'journal'}",
        "JOURNAL_TIMEOUT_S": "5",
        "LOG_LEVEL": "WARNING",
    }


@pytest.fixture(autouse=True)
def journal_is_never_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure waits before its second look at the journal. Nothing is on its way here."""
    monkeypatch.setattr("chalicelib.operations.erase.sleep", lambda _: None)


def erase(**members: Any) -> dict[str, Any]:
    result: dict[str, Any] = app.erase(operator_event(**PERSON, **members), context(60))
    return result


def post(service: Service, hour: int, employee: int = 7) -> str:
    body = punch(employee, **EVIDENCE, includedAt=f"2026-11-2{employee % 10}T{hour:02}:00:00Z")
    response = service.post(body)
    assert response.status_code == 201
    return str(response.json_body["id"])


def journal_text(tmp_path: Path) -> str:
    """Return all lines of records in the journal."""
    journal = container.journal()
    assert journal
    names = journal.names("records", datetime(2026, 1, 1, tzinfo=UTC))
    return "\n".join(line for name in names for line in journal.read(name))


def evidence_in(text: str) -> list[int]:
    """Return the employees whose evidence the lines have."""
    records = [json.loads(line) for line in text.splitlines() if '"deviceId"' in line]
    return sorted(each.get("employeeId", 0) for each in records)


@pytest.fixture
def stored(service: Service, dynamodb: Any, table: str, tmp_path: Path) -> list[str]:
    """Person 7 has records in Postgres, the buffer and the quarantine; person 8 the same.

    Returns:
        The ids of person 7.
    """
    ids = [post(service, 1), post(service, 2)]
    post(service, 1, employee=8)
    record = {"S": json.dumps({"employeeId": 7, "employerId": 121, "deviceId": "x", "bad": 1})}
    dynamodb.batch_write_item(RequestItems={table: [put("junk", record)]})
    service.replicate()
    service.integrate()
    service.rows(
        "UPDATE integration_log SET log = 'employee 7 at -23.5' WHERE status = 'INTEGRATED'"
        " RETURNING 1"
    )
    ids += [post(service, 3)]
    post(service, 2, employee=8)
    assert evidence_in(journal_text(tmp_path)).count(7) == 2
    return ids


def assert_no_evidence_of_7(service: Service, dynamodb: Any, table: str, tmp_path: Path) -> None:
    rows = service.rows(f"SELECT employee_id, sum({COLUMNS}) FROM point_record GROUP BY 1")
    assert dict(rows)[8] >= 4
    assert dict(rows).get(7, 0) == 0
    logs = service.rows(
        "SELECT DISTINCT log FROM integration_log JOIN point_record AS p ON p.id = point_id"
        " WHERE log IS NOT NULL AND p.employee_id = 7"
    )
    assert [log for (log,) in logs if "-23.5" in log] == []
    assert all("deviceId" not in item for (item,) in service.rows("SELECT item FROM quarantine"))
    items = dynamodb.scan(TableName=table)["Items"]
    texts = [json.loads(item["record"]["S"]) for item in items]
    assert [each["employeeId"] for each in texts if "deviceId" in each] in ([], [8])
    assert 7 not in evidence_in(journal_text(tmp_path))


def test_evidence_is_erased_in_every_store_and_stays_erased_after_a_restore(
    service: Service,
    stored: list[str],
    postgres_server: Postgres,
    dynamodb: Any,
    table: str,
    legacy: SimulatedLegacy,
    tmp_path: Path,
) -> None:
    since = now()
    backup = Backup(postgres_server, service)
    result = erase()
    assert result["cursor"] is None
    counts = {name: result[name] for name in ("buffer", "records", "logs", "quarantine", "punches")}
    assert counts == {"buffer": 1, "records": 2, "logs": 2, "quarantine": 1, "punches": 0}
    assert result["journal_files"] >= 1
    assert_no_evidence_of_7(service, dynamodb, table, tmp_path)
    again = erase()
    assert all(again[name] == 0 for name in (*counts, "journal_files"))
    backup.restore()
    assert restore(since)["erasures"] >= 1
    service.replicate()
    service.integrate()
    assert_no_evidence_of_7(service, dynamodb, table, tmp_path)
    # Evidence of later punches is lawful again.
    later = post(service, 9)
    service.replicate()
    assert service.rows(f"SELECT {COLUMNS} FROM point_record WHERE id = :id", id=later) == [(5,)]
    assert legacy.report()["duplicates"] == 0
    backup.remove()


def test_settled_punches_are_erased_are_not_missing_and_do_not_come_back(
    service: Service, stored: list[str], dynamodb: Any, table: str, tmp_path: Path
) -> None:
    since = now()
    recent = erase(punches=True)
    assert (recent["punches"], recent["unsettled"]) == (0, 2)
    service.rows("UPDATE point_record SET updated_at = now() - interval '2 hours' RETURNING 1")
    result = erase(punches=True)
    assert (result["punches"], result["unsettled"]) == (2, 0)
    settled = set(stored[:2])
    assert not any(each in journal_text(tmp_path) for each in settled)
    assert container.point_record_store().locate(settled).records == settled
    restore(since)
    post(service, 1)  # the phone sends it again
    service.replicate()
    assert buffered_ids(dynamodb, table) == set()
    left = service.rows("SELECT CAST(id AS text) FROM point_record WHERE employee_id = 7")
    assert left == [(stored[2],)]
    assert service.rows("SELECT count(*) FROM point_record WHERE employee_id = 8") == [(2,)]


def test_a_punch_that_is_replayed_during_its_erasure_stays(
    service: Service,
    stored: list[str],
    legacy: SimulatedLegacy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replayed, other = stored[:2]
    service.rows("UPDATE point_record SET updated_at = now() - interval '2 hours' RETURNING 1")
    service.rows(
        "UPDATE point_record SET status = 'REJECTED', integrated_at = NULL"
        " WHERE id = :id RETURNING 1",
        id=replayed,
    )
    settled_ids = PersonalRecords.settled_ids

    def replay_meanwhile(*arguments: Any) -> Any:
        result = settled_ids(*arguments)
        assert app.replay(operator_event(filter="true"), context())
        return result

    since = now()
    monkeypatch.setattr(PersonalRecords, "settled_ids", replay_meanwhile)
    result = erase(punches=True)
    assert (result["punches"], result["unsettled"]) == (1, 1)
    assert other not in journal_text(tmp_path)
    assert restore(since)["erasures"] == 2  # the register does not have the punch that stays
    ids = "SELECT CAST(id AS text) FROM point_record WHERE employee_id = 7"
    assert service.rows(ids) == [(replayed,)]
    service.integrate()
    assert service.rows("SELECT status FROM point_record WHERE employee_id = 7") == [
        ("INTEGRATED",)
    ]


KILLS = [
    KillPoint("after", "chalicelib.journal.journal_files:Journal.write"),
    KillPoint("after", "chalicelib.postgres.personal_records:PersonalRecords.erase_evidence"),
    KillPoint("after", "chalicelib.buffered_items:BufferedItems.replace"),
    KillPoint("before", "chalicelib.journal.journal_files:Journal.replace"),
]


def test_an_erasure_that_is_killed_again_and_again_is_completed(
    service: Service,
    stored: list[str],
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    tmp_path: Path,
) -> None:
    for point in KILLS:
        assert killed_process.run("erase", variables, point, operator_event(**PERSON)) == -9, point
        with pytest.raises(UnavailableError, match="Another erasure"):
            erase()
        service.advance_time(100)
    assert erase()["cursor"] is None
    assert_no_evidence_of_7(service, dynamodb, table, tmp_path)
    service.replicate()
    service.integrate()
    ids = service.rows("SELECT CAST(id AS text) FROM point_record WHERE employee_id = 7")
    assert sorted(record_id for (record_id,) in ids) == sorted(stored)


def test_a_lease_of_a_time_when_the_clock_was_ahead_does_not_stop_erasures(
    service: Service,
) -> None:
    service.rows(
        "INSERT INTO integrator_state (name, run_id, leased_until)"
        " VALUES ('erasure', gen_random_uuid(), now() + interval '1 day') RETURNING 1"
    )
    assert erase()["cursor"] is None


def test_a_page_that_was_read_before_the_erasure_is_added_without_evidence(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str, tmp_path: Path
) -> None:
    post(service, 1)
    post(service, 1, employee=8)
    add = "chalicelib.postgres.point_records:PointRecordStore.add"
    replicator = killed_process.start(
        "replicate", variables, KillPoint("before", add, by=signal.SIGSTOP)
    )
    killed_process.wait_until_stopped(replicator)
    app.erase(operator_event(**PERSON), context(60))
    assert replicator.pid
    os.kill(replicator.pid, signal.SIGCONT)
    replicator.join(60)
    assert replicator.exitcode == 0
    assert_no_evidence_of_7(service, dynamodb, table, tmp_path)


def test_export_has_all_of_the_person_in_pages_as_json_and_csv(
    service: Service, stored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "_PAGE", 1)
    pages: list[dict[str, Any]] = []
    csv = ""
    for form, cursor in (("json", None), ("csv", None)):
        while True:
            event = operator_event(**PERSON, format=form, **({"cursor": cursor} if cursor else {}))
            page = app.export(event, context(60))
            if form == "json":
                pages.append(page)
            else:
                csv += page["csv"]
            cursor = page["cursor"]
            if cursor is None:
                break
    records = [record for page in pages for record in page["records"]]
    assert sorted(record["id"] for record in records) == sorted(stored[:2])
    assert [len(record["logs"]) for record in records] == [2, 2]
    assert [each["id"] for each in pages[0]["buffered"]] == [stored[2]]
    assert len(pages[0]["quarantined"]) == 1
    header, *lines = csv.splitlines()
    assert header.startswith("id,employerId,employeeId,includedAt")
    assert sorted(line.split(",")[0] for line in lines) == sorted(stored)
    assert all(",'=phone-of-7," in line for line in lines)


def test_audit_log_counts_the_records_of_a_page_and_not_its_lines() -> None:
    page = personal_data.PersonalData(records=[{"id": "1"}], csv='id\r\n"1\n"\r\n')
    assert page.counts["records"] == 1
    assert page.answer()["records"] == []


@pytest.mark.parametrize(
    ("command", "members", "target"),
    [
        ("erase", {"employer": 0, "employee": 7}, "employer"),
        ("erase", {"employer": 121}, "employee"),
        ("erase", {"employer": 121, "employee": True}, "employee"),
        ("erase", {"employer": 121, "employee": 7, "punches": "yes"}, "punches"),
        ("erase", {"employer": 121, "employee": 7, "punches": 1}, "punches"),
        ("erase", {"employer": 121, "employee": 7, "cursor": 7}, "cursor"),
        ("export", {"employer": "121", "employee": 7}, "employer"),
        ("export", {"employer": 121, "employee": 7, "format": "xml"}, "format"),
        ("export", {"employer": 121, "employee": 7, "cursor": "x"}, "cursor"),
    ],
)
def test_faulty_command_is_refused(command: str, members: dict[str, Any], target: str) -> None:
    with wired(UNREACHABLE), pytest.raises(InvalidError) as refused:
        getattr(app, command)(operator_event(**members), context(60))
    assert refused.value.target == target
