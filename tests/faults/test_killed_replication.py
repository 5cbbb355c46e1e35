"""Replication is killed anywhere: each accepted record is replicated once and logged once."""

import signal
from itertools import count
from typing import Any

import pytest

from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.record_counts import (
    ROUNDS,
    assert_replicated,
    buffered_ids,
    fill,
    replicated_ids,
)
from tests.support.service import Service, punch

READ = "chalicelib.buffered_items:BufferedItems.pages"
ADD = "chalicelib.postgres.point_records:PointRecordStore.add"
STATEMENT = "pg8000.native:Connection.run"
DELETE = "chalicelib.buffered_items:BufferedItems.delete"

# Pages so small that a hundred records reach every kill point several times.
SMALL_PAGES = {"REPLICATION_PAGE": "25", "REPLICATION_SEGMENTS": "2", "REPLICATION_DELETERS": "2"}


@pytest.fixture
def small_pages(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a replicator with small pages."""
    return variables | SMALL_PAGES


# The first two commits of a run look for shares of a deep buffer.
@pytest.mark.parametrize(
    "point",
    [
        KillPoint("before", READ),
        KillPoint("before", ADD),
        KillPoint("before", ADD, 3),
        KillPoint("before", STATEMENT, 3, statement="COMMIT"),
        KillPoint("before", STATEMENT, 5, statement="COMMIT"),
        KillPoint("after", STATEMENT, 3, statement="COMMIT"),
        KillPoint("after", STATEMENT, 5, statement="COMMIT"),
        KillPoint("before", DELETE),
        KillPoint("before", DELETE, 3),
        KillPoint("after", DELETE),
        KillPoint("after", DELETE, 3),
    ],
    ids=str,
)
def test_next_run_completes_a_run_that_was_killed_at_a_given_point(
    service: Service, small_pages: dict[str, str], dynamodb: Any, table: str, point: KillPoint
) -> None:
    accepted = fill(dynamodb, table, range(1, 101))
    assert killed_process.run("replicate", small_pages, point) == -signal.SIGKILL
    replicated = replicated_ids(service)
    # At every instant, each record is in at least one of the stores.
    assert buffered_ids(dynamodb, table) | replicated == set(accepted)
    assert killed_process.run("replicate", small_pages) == 0
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.timeout(120 + 2 * ROUNDS)
def test_runs_killed_at_random_times_lose_and_duplicate_nothing(
    service: Service, small_pages: dict[str, str], dynamodb: Any, table: str
) -> None:
    employees = count(1)

    def accept_more() -> list[str]:
        return fill(dynamodb, table, [next(employees) for _ in range(150)])

    accepted = killed_process.run_killed_at_random(
        "replicate", small_pages, 2 * ROUNDS, accept_more
    )
    assert killed_process.run("replicate", small_pages) == 0
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize(
    "point",
    [
        KillPoint("before", STATEMENT, statement="COMMIT"),
        KillPoint("after", STATEMENT, statement="COMMIT"),
        KillPoint("after", STATEMENT, 2, statement="COMMIT"),
        KillPoint("after", DELETE),
    ],
    ids=str,
)
def test_other_evidence_is_logged_once_if_a_run_is_killed(
    service: Service, small_pages: dict[str, str], dynamodb: Any, table: str, point: KillPoint
) -> None:
    accepted = service.accept(range(1, 31))
    again = [punch(each, deviceId="another") for each in range(1, 31)]
    results = service.post(again).json_body
    assert {each["evidence"] for each in results} == {"logged"}
    assert killed_process.run("replicate", small_pages, point) == -signal.SIGKILL
    for _ in range(2):
        assert killed_process.run("replicate", small_pages) == 0
        service.post(again)  # sent once more: the buffer has it again, and the log already
    assert killed_process.run("replicate", small_pages) == 0
    assert buffered_ids(dynamodb, table) == set()
    rows = service.rows("SELECT CAST(point_id AS text), count(log) FROM integration_log GROUP BY 1")
    assert sorted(rows) == sorted((each, 1) for each in accepted)
