"""Replication and time: a deadline in the middle of the work, and a steady inflow of records."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from chalicelib import container
from tests.support.record_counts import assert_replicated, buffered_ids, fill, replicated_ids
from tests.support.service import Service

PAGE = 25
MARGIN_S = 0.5


@pytest.fixture
def variables(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a service with small pages."""
    return variables | {
        "REPLICATION_PAGE": str(PAGE),
        "REPLICATION_SEGMENTS": "2",
        "REPLICATION_MARGIN_S": str(MARGIN_S),
    }


@pytest.mark.parametrize("replicated_at_deadline", [1, 60, 120])
def test_run_finishes_its_current_page_when_its_time_is_up(
    service: Service, dynamodb: Any, table: str, replicated_at_deadline: int
) -> None:
    accepted = fill(dynamodb, table, range(1, 201))

    def remaining_s() -> float:
        replicated = service.statuses().get("AWAITING", 0)
        return 60.0 if replicated < replicated_at_deadline else MARGIN_S

    result = container.replicator().run(remaining_s)
    assert replicated_at_deadline <= result.written < replicated_at_deadline + PAGE
    replicated = replicated_ids(service)
    # Exactly the replicated records have left the buffer.
    assert result.deleted == result.written == len(replicated)
    assert buffered_ids(dynamodb, table) == set(accepted) - replicated
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_run_with_less_time_than_its_margin_replicates_nothing(
    service: Service, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, range(1, 31))
    service.replicate(seconds=MARGIN_S / 2)
    assert buffered_ids(dynamodb, table) == set(accepted)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize("overlapping", [1, 3])
def test_record_is_replicated_within_two_runs_under_a_steady_inflow(
    service: Service, dynamodb: Any, table: str, overlapping: int
) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def post() -> None:
        employees = count(1)
        while not stop.wait(0.02):
            acknowledged.extend(service.accept(next(employees) for _ in range(5)))

    with ThreadPoolExecutor(1 + overlapping) as pool:
        posting = pool.submit(post)
        try:
            counts = [0]  # acknowledged records at the start of each run
            while counts[-1] < 150:
                counts.append(len(acknowledged))
                # While records keep arriving, a run continues until its time is up.
                runs = [pool.submit(service.replicate, 1.2) for _ in range(overlapping)]
                for run in runs:
                    run.result()
                assert buffered_ids(dynamodb, table).isdisjoint(acknowledged[: counts[-2]])
        finally:
            stop.set()
        posting.result()
    service.replicate()
    assert_replicated(service, dynamodb, table, acknowledged)


def test_run_of_a_shallow_buffer_ends_before_the_next_tick_under_a_steady_inflow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.replicator.replication._SHALLOW_S", 1.0)
    stop = threading.Event()

    def post() -> None:
        employees = count(1)
        while not stop.wait(0.01):
            service.accept([next(employees)])

    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(post)
        try:
            ends = time.monotonic() + 20.0
            result = container.replicator().run(lambda: ends - time.monotonic())
        finally:
            stop.set()
        posting.result()
    assert result.written
    assert result.seconds < 10.0
