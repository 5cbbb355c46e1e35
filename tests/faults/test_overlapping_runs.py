"""Two or three overlapping runs of a schedule have the effect of one."""

from typing import Any

import pytest

from tests.conftest import SimulatedLegacy
from tests.support import killed_process
from tests.support.record_counts import assert_integrated, assert_replicated, fill
from tests.support.service import Service
from tests.support.waiting import wait_until


@pytest.mark.parametrize("runs", [2, 3])
def test_overlapping_replications_add_each_record_once(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str, runs: int
) -> None:
    accepted = fill(dynamodb, table, range(1, 401))
    environment = variables | {"REPLICATION_PAGE": "50"}
    processes = [killed_process.start("replicate", environment) for _ in range(runs)]
    for process in processes:
        process.join(60)
    # A run that finds nothing left exits normally too.
    assert [process.exitcode for process in processes] == [0] * runs
    assert_replicated(service, dynamodb, table, accepted)


def test_second_integration_ends_while_the_first_goes_on_and_the_limit_holds(
    service: Service, variables: dict[str, str], legacy: SimulatedLegacy, dynamodb: Any, table: str
) -> None:
    max_in_flight = 6
    legacy.set(latency_ms=60, distribution="constant")
    ids = fill(dynamodb, table, range(1, 151))
    service.replicate()
    environment = variables | {"LIMIT_MAX": str(max_in_flight)}
    first = killed_process.start("integrate", environment)
    wait_until(lambda: legacy.report()["in_flight"])
    others = [killed_process.start("integrate", environment) for _ in range(2)]
    for other in others:
        other.join(10)
    assert [other.exitcode for other in others] == [0, 0]
    assert first.is_alive()
    first.join(60)
    assert first.exitcode == 0
    report = legacy.report()
    assert report["most_in_flight"] <= max_in_flight
    assert report["duplicates"] == 0
    assert_integrated(service, legacy, ids)


def test_integrations_that_start_together_send_each_record_once_under_one_limit(
    service: Service, variables: dict[str, str], legacy: SimulatedLegacy, dynamodb: Any, table: str
) -> None:
    max_in_flight = 6
    legacy.set(latency_ms=60, distribution="constant")
    ids = fill(dynamodb, table, range(1, 61))
    service.replicate()
    environment = variables | {"LIMIT_MAX": str(max_in_flight)}
    runs = [killed_process.start("integrate", environment) for _ in range(3)]
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0, 0, 0]
    report = legacy.report()
    assert report["most_in_flight"] <= max_in_flight
    assert report["duplicates"] == 0
    assert_integrated(service, legacy, ids)


@pytest.mark.parametrize("hours", [1, -1])
def test_step_of_the_database_clock_neither_loses_nor_duplicates_nor_keeps_a_record(
    service: Service,
    variables: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    hours: int,
) -> None:
    legacy.set(latency_ms=60, distribution="constant")
    ids = fill(dynamodb, table, range(1, 101))
    service.replicate()
    environment = variables | {"LIMIT_MAX": "6"}
    first = killed_process.start("integrate", environment)
    wait_until(lambda: legacy.report()["accepted"])
    service.advance_time(hours * 3_600)  # all leases become an hour older, or younger
    second = killed_process.start("integrate", environment)
    for run in (first, second):
        run.join(60)
        assert run.exitcode == 0
    service.advance_time(2 * 3_600)
    service.integrate()
    # After a step ahead both runs hold leases for a moment, so a record may be sent twice, but
    # under one idempotency key. How many are depends on how fast each process is.
    assert legacy.report()["duplicates"] <= len(ids)
    assert service.statuses() == {"INTEGRATED": len(ids)}
    assert sorted(legacy.accepted_ids()) == sorted(ids)
