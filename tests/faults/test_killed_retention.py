"""The end of the retention is killed: a month is there as a whole, or gone as a whole."""

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chalicelib.point_record import parse, to_json
from chalicelib.postgres.partitions import Month, keep_partitions, months_with_partitions
from chalicelib.postgres.point_records import Document, PointRecordStore
from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.service import Service

STATEMENT = "pg8000.native:Connection.run"


@pytest.fixture
def hourly(variables: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of the hourly check, which keeps the present month and the one before."""
    log = tmp_path / "accepted.log"
    log.touch()
    return variables | {
        "ACCEPTED_LOG": f"file:{log}",
        "JOURNAL": f"file:{tmp_path / 'journal'}",
        "RETENTION_MONTHS": "1",
    }


@pytest.mark.parametrize(
    "point",
    [
        KillPoint("before", STATEMENT, statement="LOCK TABLE ONLY point_record"),
        KillPoint("after", STATEMENT, statement="DROP TABLE IF EXISTS integration_log"),
        KillPoint("after", STATEMENT, statement="DROP TABLE IF EXISTS point_record"),
    ],
    ids=str,
)
def test_next_check_drops_the_month_of_a_killed_check(
    service: Service, hourly: dict[str, str], point: KillPoint
) -> None:
    now = datetime.now(UTC)
    body = {"employeeId": 7, "employerId": 1, "includedAt": (now - timedelta(days=95)).isoformat()}
    old = parse(body, now, 60)
    PointRecordStore(service.database).add([Document(str(old.id), json.dumps(to_json(old)))])
    keep_partitions(service.database, now, 6)
    service.rows(
        "UPDATE point_record SET status = 'INTEGRATED', next_attempt_at = NULL RETURNING id"
    )
    service.rows("INSERT INTO journal_use (since) VALUES ('2020-01-01') RETURNING since")
    month = Month(old.included_at).name

    assert killed_process.run("reconcile", hourly, point) == -signal.SIGKILL
    assert month in [each.name for each in months_with_partitions(service.database)]
    assert service.statuses() == {"INTEGRATED": 1}
    assert len(service.rows("SELECT FROM integration_log")) == 1

    assert killed_process.run("reconcile", hourly) == 0
    assert month not in [each.name for each in months_with_partitions(service.database)]
    assert service.statuses() == {}
    assert service.rows("SELECT FROM integration_log") == []
