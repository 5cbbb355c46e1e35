"""Replication against the clock: a deadline in the midst of work, and an inflow that never ends."""

import threading
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
    """The environment of a service that takes small steps."""
    return variables | {
        "REPLICATION_PAGE": str(PAGE),
        "REPLICATION_SEGMENTS": "2",
        "REPLICATION_MARGIN_S": str(MARGIN_S),
    }


@pytest.mark.parametrize("enough", [1, 60, 120])
def test_a_run_whose_time_is_up_finishes_the_page_that_it_has_begun(
    service: Service, dynamodb: Any, table: str, enough: int
) -> None:
    accepted = fill(dynamodb, table, range(1, 201))

    def remaining_s() -> float:
        return 60.0 if service.statuses().get("AWAITING", 0) < enough else MARGIN_S

    done = container.replicator().run(remaining_s)
    assert enough <= done.written < enough + PAGE
    replicated = replicated_ids(service)
    # What is in the replica has left the buffer, and nothing else has.
    assert done.deleted == done.written == len(replicated)
    assert buffered_ids(dynamodb, table) == set(accepted) - replicated
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_run_that_begins_too_late_leaves_all_to_the_next(
    service: Service, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, range(1, 31))
    service.replicate(seconds=MARGIN_S / 2)
    assert buffered_ids(dynamodb, table) == set(accepted)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize("overlapping", [1, 3])
def test_under_a_steady_inflow_nothing_waits_longer_than_two_runs(
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
            marks = [0]  # how many were acknowledged when each run began
            while marks[-1] < 150:
                marks.append(len(acknowledged))
                # While more is coming in, a run goes on until its time is up.
                runs = [pool.submit(service.replicate, 1.2) for _ in range(overlapping)]
                for run in runs:
                    run.result()
                assert buffered_ids(dynamodb, table).isdisjoint(acknowledged[: marks[-2]])
        finally:
            stop.set()
        posting.result()
    service.replicate()
    assert_replicated(service, dynamodb, table, acknowledged)
