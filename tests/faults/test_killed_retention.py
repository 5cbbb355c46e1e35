"""The end of the retention, killed or by a wrong clock: a month is whole or gone as a whole."""

import json
import signal
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest

from chalicelib import schedules
from chalicelib.point_record import parse, to_json
from chalicelib.postgres.documents import Document
from chalicelib.postgres.partitions import Month, keep_partitions, months_with_partitions
from chalicelib.postgres.point_records import PointRecordStore
from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.service import Service, wired

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
    month = add_delivered(service, days_ago=95)

    assert killed_process.run("reconcile", hourly, point) == -signal.SIGKILL
    assert month in [each.name for each in months_with_partitions(service.database)]
    assert service.statuses() == {"INTEGRATED": 1}
    assert len(service.rows("SELECT FROM integration_log")) == 1

    assert killed_process.run("reconcile", hourly) == 0
    assert month not in [each.name for each in months_with_partitions(service.database)]
    assert service.statuses() == {}
    assert service.rows("SELECT FROM integration_log") == []


def add_delivered(service: Service, days_ago: int) -> str:
    """Add a delivered record, journaled since long, to a month of its own; return its name."""
    now = datetime.now(UTC)
    instant = now - timedelta(days=days_ago)
    body = {"employeeId": 7, "employerId": 1, "includedAt": instant.isoformat()}
    old = parse(body, now, 60)
    PointRecordStore(service.database).add([Document(str(old.id), json.dumps(to_json(old)))])
    keep_partitions(service.database, now, 6)
    service.rows(
        "UPDATE point_record SET status = 'INTEGRATED', next_attempt_at = NULL RETURNING id"
    )
    service.rows("INSERT INTO journal_use (since) VALUES ('2020-01-01') RETURNING since")
    return Month(old.included_at).name


@pytest.mark.parametrize(
    ("ahead", "retention_months"), [("this machine", "62"), ("the database", "1")]
)
def test_a_clock_that_is_years_ahead_drops_nothing(
    service: Service,
    hourly: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    ahead: str,
    retention_months: str,
) -> None:
    """By the clock that is ahead, the month is older than the retention."""
    ahead_by = timedelta(days=6 * 365) * (1 if ahead == "this machine" else -1)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + ahead_by

    month = add_delivered(service, days_ago=95)
    monkeypatch.setattr(schedules, "datetime", Clock)
    with wired(hourly | {"RETENTION_MONTHS": retention_months}):
        schedules.end_retention()
    assert month in [each.name for each in months_with_partitions(service.database)]
    assert service.statuses() == {"INTEGRATED": 1}
