"""The drill: Postgres is taken back, or the buffer is lost, and the journal puts all of it back."""

import gzip
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib import container, schedules
from chalicelib.buffer import UNAVAILABLE
from chalicelib.errors import InvalidError, UnavailableError
from chalicelib.journal.journal_lines import page_lines
from chalicelib.point_record import parse, to_json
from chalicelib.postgres.delivery_outbox import DeliveryOutbox
from chalicelib.postgres.documents import Document
from chalicelib.replicator.replication import Replicator
from local.dynamodb import server as dynamodb_server
from local.postgres import Postgres
from tests.conftest import SimulatedLegacy
from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.lambda_events import context
from tests.support.postgres_backup import Backup
from tests.support.record_counts import (
    assert_integrated,
    assert_replicated,
    buffered_ids,
    fill,
    put,
    replicated_ids,
)
from tests.support.service import UNREACHABLE, Service, punch, wired
from tests.support.tokens import operator_event

PUT = "chalicelib.journal.journal_directory:DirectoryFiles.put"
ADD = "chalicelib.postgres.point_records:PointRecordStore.add"
MARK = "chalicelib.postgres.restoration:Restoration.mark_delivered"
REMOVE = "chalicelib.postgres.delivery_outbox:DeliveryOutbox.remove"


@pytest.fixture
def variables(variables: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a service with a journal and small pages."""
    return variables | {
        "JOURNAL": f"file:{tmp_path / 'journal'}",
        "JOURNAL_TIMEOUT_S": "5",
        "REPLICATION_PAGE": "10",
        "LOG_LEVEL": "WARNING",
    }


def now() -> str:
    return datetime.now(UTC).isoformat()


def restore(since: str, seconds: float = 60.0, **members: Any) -> dict[str, Any]:
    event = operator_event(since=since, **members)
    result: dict[str, Any] = app.restore(event, context(seconds))
    return result


@pytest.fixture
def disaster(
    service: Service,
    postgres_server: Postgres,
    dynamodb: Any,
    table: str,
    legacy: SimulatedLegacy,
) -> Iterator[tuple[list[str], str]]:
    """Postgres was taken back to an instant. Returns all accepted ids, and the instant.

    At the instant, records 1 to 10 were delivered, and 11 to 20 were not. Since then 11 to 40 were
    delivered, 41 to 50 were replicated only, and 51 to 60 are in the buffer. An item was
    quarantined.
    """
    accepted = fill(dynamodb, table, range(1, 11))
    service.replicate()
    service.integrate()
    accepted += fill(dynamodb, table, range(11, 21))
    service.replicate()
    since = now()
    backup = Backup(postgres_server, service)
    accepted += fill(dynamodb, table, range(21, 41))
    dynamodb.batch_write_item(RequestItems={table: [put("junk", {"N": "1"})]})
    service.replicate()
    service.integrate()
    service.replicate()  # writes the deliveries to the journal
    accepted += fill(dynamodb, table, range(41, 51))
    service.replicate()
    accepted += fill(dynamodb, table, range(51, 61))
    backup.restore()
    assert service.statuses() == {"INTEGRATED": 10, "AWAITING": 10}
    yield accepted, since
    backup.remove()


def assert_all_is_back(
    service: Service, dynamodb: Any, table: str, legacy: SimulatedLegacy, accepted: list[str]
) -> None:
    """Every record is in Postgres once; what was delivered is not sent again; the rest is."""
    assert len(service.rows("SELECT id FROM quarantine")) == 1
    service.replicate()
    assert replicated_ids(service) == set(accepted)
    assert buffered_ids(dynamodb, table) == set()
    service.integrate()
    assert_integrated(service, legacy, accepted)
    assert legacy.report()["duplicates"] == 0
    arrivals = service.rows(
        "SELECT count(*), count(DISTINCT point_id) FROM integration_log"
        " WHERE status = 'AWAITING' AND log IS NULL"
    )
    assert arrivals == [(len(accepted), len(accepted))]


def test_restore_puts_back_each_record_and_delivery_once_in_many_invocations(
    service: Service,
    disaster: tuple[list[str], str],
    dynamodb: Any,
    table: str,
    legacy: SimulatedLegacy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each invocation has the time for one file. Meanwhile the integrator claims nothing."""
    accepted, since = disaster
    total = {"files": 0, "records": 0, "deliveries": 0}
    cursor: str | None = None
    while True:
        left = iter([60.0, 0.0])
        monkeypatch.setattr(app, "_remaining_s", lambda _: lambda: next(left, 0.0))  # noqa: B023
        result = restore(since, cursor=cursor)
        for name in total:
            total[name] += result[name]
        cursor = result["cursor"]
        if cursor is None:
            break
        calls = legacy.report()["calls"]
        monkeypatch.undo()
        service.integrate()
        assert legacy.report()["calls"] == calls
    monkeypatch.undo()
    assert total["files"] > 4
    assert (total["records"], total["deliveries"]) == (30, 30)
    again = restore(since)
    assert (again["records"], again["deliveries"], again["cursor"]) == (0, 0, None)
    assert_all_is_back(service, dynamodb, table, legacy, accepted)


def evidence(service: Service) -> tuple[list[Any], list[Any]]:
    """Return the evidence and poster of each record, and the texts of all logs."""
    records = service.rows("SELECT id, device_id, posted_by, posted_as FROM point_record")
    logs = service.rows("SELECT point_id, log FROM integration_log WHERE log IS NOT NULL")
    return sorted(records), sorted(logs)


def fill_with_posts(dynamodb: Any, table: str, employees: range) -> None:
    """Store records that the employer posted, each with a later post by the employee."""
    at = datetime.now(UTC)
    for employee in employees:
        record = parse(punch(employee, deviceId="desk"), at, 60).posted("eve", "employer")
        post = parse(punch(employee, deviceId="phone"), at + timedelta(seconds=1), 60)
        post = post.posted("ada", "employee")
        for key, each in ((str(record.id), record), (f"{record.id}/employee/0", post)):
            item = put(key, {"S": json.dumps(to_json(each))})["PutRequest"]["Item"]
            dynamodb.put_item(TableName=table, Item=item)


@pytest.mark.parametrize("is_away", [False, True])
def test_restore_tells_the_evidence_of_a_record_from_that_of_later_posts(
    service: Service,
    dynamodb: Any,
    table: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_away: bool,
) -> None:
    """Pages have records and posts in any order. While the journal was away, records came late."""
    since = now()
    fill_with_posts(dynamodb, table, range(1, 41))
    if is_away:
        place = tmp_path / "journal"
        place.touch()
        with pytest.raises(UnavailableError):
            service.replicate()
        place.unlink()
    service.replicate()
    before = evidence(service)
    assert len(before[0]) == len(before[1]) == 40
    for name in ("integration_log", "point_record"):
        service.rows(f"DELETE FROM {name} RETURNING 1")
    logged, cursor = 0, None
    while True:  # each invocation has the time for one file
        left = iter([60.0, 0.0])
        monkeypatch.setattr(app, "_remaining_s", lambda _: lambda: next(left, 0.0))  # noqa: B023
        result = restore(since, cursor=cursor)
        logged += result["other_evidence"]
        assert result["without_record"] == 0
        cursor = result["cursor"]
        if cursor is None:
            break
    monkeypatch.undo()
    assert logged == 40
    assert evidence(service) == before


def test_post_that_was_journaled_before_its_record_is_restored_after_it(
    service: Service, dynamodb: Any, table: str
) -> None:
    since = now()
    fill_with_posts(dynamodb, table, range(1, 3))
    journal = container.journal()
    assert journal
    documents = [
        Document(
            item["id"]["S"][:36], item["record"]["S"], item["id"]["S"][36:] and item["id"]["S"]
        )
        for item in dynamodb.scan(TableName=table)["Items"]
    ]
    orphan, *_ = posts = [each for each in documents if each.post_key]
    records = [each for each in documents if not each.post_key and each.id != orphan.id]
    journal.write("records", page_lines(posts, []))
    journal.write("records", page_lines(records, []))
    result = restore(since)
    assert (result["records"], result["other_evidence"], result["without_record"]) == (1, 1, 1)
    assert [row[1:] for row in evidence(service)[0]] == [("desk", "eve", "employer")]


@pytest.mark.parametrize("cursor", ["records", "records/ x", "x records/", "records/\0", 7])
def test_a_cursor_of_another_form_is_refused(service: Service, cursor: Any) -> None:
    with pytest.raises(InvalidError) as refused:
        restore(now(), cursor=cursor)
    assert refused.value.target == "cursor"


def test_a_revoked_key_that_a_restore_makes_valid_is_revoked_again_by_the_audit_log(
    service: Service, postgres_server: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/recovery.md says."""

    def status() -> int:
        headers = {"Authorization": f"Bearer {key['key']}"}
        return int(service.http.get("/odata/PointRecords", headers=headers).status_code)

    key = app.access_keys(operator_event(name="payroll", employerId=121), context())
    backup = Backup(postgres_server, service)
    app.access_keys(operator_event(revoke=key["id"]), context())
    assert status() == 401
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (revoked,) = [
        line["result"]["revoked"]
        for line in lines
        if (line.get("action"), line.get("outcome")) == ("access-keys", "done")
        and "revoked" in line["result"]
    ]
    backup.restore()
    assert status() == 200
    app.access_keys(operator_event(revoke=revoked), context())
    assert status() == 401
    backup.remove()


def test_restore_that_is_killed_again_and_again_is_completed(
    service: Service,
    disaster: tuple[list[str], str],
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    legacy: SimulatedLegacy,
) -> None:
    accepted, since = disaster
    calls = legacy.report()["calls"]
    event = operator_event(since=since)
    for point in (KillPoint("after", ADD, 2), KillPoint("before", MARK), KillPoint("after", MARK)):
        assert killed_process.run("restore", variables, point, event) == -signal.SIGKILL
        service.integrate()  # the integrator stands still, so nothing is sent that was delivered
        assert legacy.report()["calls"] == calls
    assert killed_process.run("restore", variables, event=event) == 0
    assert_all_is_back(service, dynamodb, table, legacy, accepted)


def test_replication_and_deliveries_killed_while_they_are_journaled_are_completed(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, range(1, 41))
    for point in (KillPoint("before", PUT, 2), KillPoint("after", PUT)):
        assert killed_process.run("replicate", variables, point) == -signal.SIGKILL
        assert buffered_ids(dynamodb, table) | journaled_ids() == set(accepted)
    assert killed_process.run("replicate", variables) == 0
    assert_replicated(service, dynamodb, table, accepted)
    assert journaled_ids() == set(accepted)
    service.integrate()
    for point in (KillPoint("before", PUT), KillPoint("before", REMOVE)):
        assert killed_process.run("replicate", variables, point) == -signal.SIGKILL
    assert killed_process.run("replicate", variables) == 0
    assert service.rows("SELECT * FROM delivery_outbox") == []
    assert journaled_ids("deliveries") == set(accepted)


def test_deliveries_are_journaled_and_partitions_made_though_replication_fails(
    service: Service, dynamodb: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = fill(dynamodb, table, range(1, 6))
    service.replicate()
    service.integrate()
    made: list[bool] = []

    def fail(*_: Any, **__: Any) -> None:
        raise UnavailableError(UNAVAILABLE)

    monkeypatch.setattr(Replicator, "run", fail)
    monkeypatch.setattr(schedules, "keep_partitions", lambda: made.append(True))
    with pytest.raises(UnavailableError, match=UNAVAILABLE):
        service.replicate()
    assert journaled_ids("deliveries") == set(accepted)
    assert service.rows("SELECT * FROM delivery_outbox") == []
    assert made == [True]


def test_records_are_replicated_though_deliveries_cannot_be_journaled(
    service: Service, dynamodb: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise UnavailableError(UNAVAILABLE)

    accepted = fill(dynamodb, table, range(1, 6))
    monkeypatch.setattr(DeliveryOutbox, "next", fail)
    with pytest.raises(UnavailableError, match=UNAVAILABLE):
        service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def journaled_ids(kind: str = "records") -> set[str]:
    """Return the ids in the journal's files of a kind."""
    journal = container.journal()
    assert journal
    lines = [
        line
        for name in journal.names(kind, datetime(2026, 1, 1, tzinfo=UTC))
        for line in journal.read(name)
    ]
    return {line.partition('"id"')[2].split('"')[1] for line in lines}


def test_records_stay_in_the_buffer_and_are_delivered_while_the_journal_is_away(
    service: Service,
    dynamodb: Any,
    table: str,
    legacy: SimulatedLegacy,
    tmp_path: Path,
) -> None:
    accepted = fill(dynamodb, table, range(1, 41))
    (tmp_path / "journal").touch()  # a file, where the directory should be
    for _ in range(2):
        with pytest.raises(UnavailableError, match="The journal is unavailable"):
            service.replicate()
    assert buffered_ids(dynamodb, table) == set(accepted) == replicated_ids(service)
    service.integrate()
    assert_integrated(service, legacy, accepted)
    (tmp_path / "journal").unlink()
    service.replicate()
    assert buffered_ids(dynamodb, table) == set()
    assert journaled_ids() == journaled_ids("deliveries") == set(accepted)


def test_both_stores_are_lost_but_for_what_was_never_replicated(
    service: Service,
    postgres_server: Postgres,
    dynamodb: Any,
    table: str,
    legacy: SimulatedLegacy,
) -> None:
    since = now()
    empty = Backup(postgres_server, service)
    accepted = fill(dynamodb, table, range(1, 31))
    service.replicate()
    service.integrate()
    service.replicate()
    never_replicated = fill(dynamodb, table, range(31, 33))
    empty.restore()
    dynamodb.delete_table(TableName=table)
    dynamodb.get_waiter("table_not_exists").wait(TableName=table, WaiterConfig={"Delay": 1})
    dynamodb_server.create_table(dynamodb, table)
    assert restore(since)["records"] == 30
    service.replicate()
    service.integrate()
    assert_integrated(service, legacy, accepted)
    assert legacy.report()["duplicates"] == 0
    located = container.point_record_store().locate([*accepted, *never_replicated])
    assert located.records == set(accepted)
    empty.remove()


def test_damaged_files_are_named_and_the_others_are_restored(
    service: Service, dynamodb: Any, table: str, tmp_path: Path
) -> None:
    since = now()
    fill(dynamodb, table, range(1, 31))
    service.replicate()
    (cut, foreign, *others) = (tmp_path / "journal" / "records").rglob("*.gz")
    cut.write_bytes(cut.read_bytes()[:-4])
    foreign.write_bytes(gzip.compress(b"no record\n"))
    service.rows("DELETE FROM integration_log RETURNING 1")
    service.rows("DELETE FROM point_record RETURNING 1")
    result = restore(since)
    damaged = [str(each.relative_to(tmp_path / "journal")) for each in (cut, foreign)]
    assert sorted(result["damaged"]) == sorted(damaged)
    lines = [line for each in others for line in gzip.decompress(each.read_bytes()).splitlines()]
    assert 0 < result["records"] == len(lines) < 30


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"since": None}, "since is missing"),
        ({"since": "yesterday"}, "since must be an RFC 3339"),
        ({"since": "2999-01-01T00:00:00Z"}, "since is in the future"),
        ({"cursor": "/etc/passwd"}, "cursor must be the one"),
        ({"cursor": 7}, "cursor must be the one"),
    ],
)
def test_faulty_command_is_refused(members: dict[str, Any], fault: str) -> None:
    with wired(UNREACHABLE), pytest.raises(InvalidError, match=fault):
        restore(**({"since": now()} | members))


def test_a_stage_without_a_journal_says_so() -> None:
    with wired({**UNREACHABLE, "JOURNAL": ""}), pytest.raises(InvalidError, match="no journal"):
        restore(now())
