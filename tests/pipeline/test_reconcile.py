"""Reconcile accepted records with the stores; release quarantined items."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

import app
from chalicelib.buffered_items import BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.errors import (
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    PunchClockError,
    UnavailableError,
)
from chalicelib.operations.accepted_log import from_cloudwatch, from_file
from chalicelib.point_record import from_json
from chalicelib.postgres.connection import Database
from local.dynamodb.server import CREDENTIALS
from tests.support.lambda_events import context
from tests.support.service import PUNCH, Service, punch, wired
from tests.support.tokens import operator_event

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "api.log"


@pytest.fixture
def service(
    variables: dict[str, str], database: Database, log: Path, tmp_path: Path
) -> Iterator[Service]:
    with wired({**variables, "ACCEPTED_LOG": f"file:{log}"}):
        yield Service.of(database, tmp_path)


def reconcile(service: Service, log: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Reconcile against the log that the service has written to standard output so far."""
    with log.open("a") as lines:
        lines.write(capsys.readouterr().out)
    result: dict[str, Any] = app.reconcile_period(operator_event(), context())
    return result


def test_reconcile_counts_each_accepted_record_in_the_store_that_has_it(
    service: Service, log: Path, capsys: pytest.CaptureFixture[str], dynamodb: Any, table: str
) -> None:
    moved = service.accept(range(1, 8))
    service.replicate()
    poisoned, *waiting = service.accept(range(8, 12))
    junk = {"id": {"S": poisoned}, "record": {"S": "junk"}}
    dynamodb.put_item(TableName=table, Item=junk)
    buffer = BufferedItems(dynamodb, table)
    kept = [item for item in next(buffer.pages(0, 1, 100)) if item["id"]["S"] in waiting]
    buffer.delete(waiting, DeletePace())
    service.replicate()
    for item in kept:
        dynamodb.put_item(TableName=table, Item=item)
    service.accept([1])  # again: this record is in Postgres and in the buffer

    assert reconcile(service, log, capsys) == {
        "accepted": len(moved) + len(waiting) + 1,
        "in_buffer": len(waiting),
        "in_postgres": len(moved),
        "in_quarantine": 1,
        "missing": 0,
        "unlogged": 0,
        "missing_ids": [],
        "unlogged_ids": [],
        "more": False,
    }


def test_reconcile_reports_missing_and_unlogged_records(
    service: Service, log: Path, capsys: pytest.CaptureFixture[str], dynamodb: Any, table: str
) -> None:
    lost, kept, logged_twice = service.accept(range(1, 4))
    BufferedItems(dynamodb, table).delete([lost], DeletePace())
    service.replicate()
    service.rows(
        "INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt, status)"
        " VALUES (CAST(:id AS uuid), 121, 1, 9, 0, 'AWAITING') RETURNING number",
        id=logged_twice,
    )

    result = reconcile(service, log, capsys)

    assert result["missing_ids"] == [lost], result
    assert result["unlogged_ids"] == [logged_twice]
    assert result["in_postgres"] == len([kept, logged_twice])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (logged,) = [line for line in lines if line["message"] == "period reconciled"]
    assert logged["level"] == "ERROR"
    assert logged["missing_ids"] == [lost]


def test_buffer_looks_up_more_ids_than_one_request_holds(dynamodb: Any, table: str) -> None:
    buffer = BufferedItems(dynamodb, table)
    stored = [f"{number:036}" for number in range(0, 700, 2)]
    for item_id in stored:
        dynamodb.put_item(TableName=table, Item={"id": {"S": item_id}})
    assert buffer.existing_ids([f"{number:036}" for number in range(700)]) == set(stored)


def test_log_file_yields_the_ids_of_the_period_and_skips_invalid_lines(tmp_path: Path) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    line = '{"at": "%s", "level": "INFO", "message": "accepted", "id": "%s", "created": true}\n'
    path = tmp_path / "log"
    path.write_text(
        line % ((now - timedelta(hours=3)).isoformat(), "before")
        + line % ((now - timedelta(hours=1)).isoformat(), "within")
        + line % (now.isoformat(), "after")
        + '"accepted" in a line of another program\n'
        + (line % (now.isoformat(), "cut"))[:60]
    )
    assert list(from_file(path, now - timedelta(hours=2), now)) == ["within"]
    path.rename(path.with_suffix(".old"))
    assert list(from_file(path, now - timedelta(hours=2), now)) == ["within"]


def test_log_file_that_does_not_exist_is_no_empty_log(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with pytest.raises(MisconfiguredError, match="does not exist"):
        list(from_file(tmp_path / "log", now - timedelta(hours=2), now))


def test_cloudwatch_yields_the_ids_that_a_function_logged() -> None:
    now = datetime.now(UTC)
    group = "/aws/lambda/punch-clock-prod"
    lines = [
        {"at": now.isoformat(), "message": "accepted", "id": f"id-{number}", "created": True}
        for number in range(3)
    ] + [{"at": now.isoformat(), "message": "replicated", "read": 3}]
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        logs = boto3.client("logs")
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        logs.put_log_events(
            logGroupName=group,
            logStreamName="s",
            logEvents=[
                {"timestamp": int(now.timestamp() * 1000), "message": json.dumps(line)}
                for line in lines
            ],
        )
        hour = timedelta(hours=1)
        ids = list(from_cloudwatch(logs, [group], now - hour, now + hour))
    assert sorted(ids) == ["id-0", "id-1", "id-2"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ThrottlingException", UnavailableError),
        ("ServiceUnavailableException", UnavailableError),
        ("ResourceNotFoundException", MisconfiguredError),
        ("AccessDeniedException", MisconfiguredError),
    ],
)
def test_cloudwatch_that_refuses_a_later_page_is_no_end_of_the_log(
    code: str, error: type[PunchClockError]
) -> None:
    now = datetime.now(UTC)
    line = {"at": now.isoformat(), "message": "accepted", "id": "first"}
    logs = boto3.client("logs", region_name="us-east-1", **KEYS)
    hour = timedelta(hours=1)
    with Stubber(logs) as stub:
        page = {"events": [{"message": json.dumps(line)}], "nextToken": "more"}
        stub.add_response("filter_log_events", page)
        stub.add_response("filter_log_events", {"events": [], "nextToken": "and more"})
        stub.add_client_error("filter_log_events", code)
        ids = from_cloudwatch(logs, ["g"], now - hour, now + hour)
        assert next(ids) == "first"
        with pytest.raises(error, match=code):
            next(ids)


def execute(service: Service, statement: str) -> None:
    with service.database.transaction() as connection:
        connection.run(statement)


def quarantined(service: Service) -> list[tuple[Any, ...]]:
    return service.rows("SELECT id, item FROM quarantine ORDER BY id")


def test_a_repaired_item_is_released_once(service: Service, dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item={"id": {"S": "x"}, "employeeId": {"S": "seven"}})
    service.replicate()
    ((number, _),) = quarantined(service)
    (listed,) = app.release(operator_event(), context())
    assert (listed["id"], listed["item_id"]) == (number, "x")

    with pytest.raises(InvalidError, match="not a valid point record"):
        app.release(operator_event(quarantineId=number), context())
    with pytest.raises(InvalidError, match="employeeId"):
        app.release(operator_event(quarantineId=number, record=punch(0)), context())
    assert len(quarantined(service)) == 1

    record_id = app.release(operator_event(quarantineId=number, record=PUNCH), context())

    assert not quarantined(service)
    assert service.logs(record_id) == [(0, "AWAITING", None)]
    service.integrate()
    assert service.get(f"/point-record/{record_id}").json_body["status"] == "INTEGRATED"
    with pytest.raises(NotFoundError):
        app.release(operator_event(quarantineId=number, record=PUNCH), context())


def test_a_valid_item_is_released_unchanged(service: Service) -> None:
    execute(service, "ALTER TABLE point_record ADD CONSTRAINT odd CHECK (employee_id <> 7)")
    (record_id,) = service.accept([7])
    service.replicate()
    ((number, item),) = quarantined(service)
    with pytest.raises(InvalidError, match="odd"):
        app.release(operator_event(quarantineId=number), context())

    execute(service, "ALTER TABLE point_record DROP CONSTRAINT odd")
    assert app.release(operator_event(quarantineId=number), context()) == record_id

    (created_at,) = service.rows("SELECT created_at FROM point_record")[0]
    assert created_at == from_json(json.loads(item)["record"]["S"]).created_at
