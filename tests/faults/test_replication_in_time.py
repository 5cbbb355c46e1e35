"""Replication against the clock: a deadline in the midst of work, and an inflow that never ends."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from chalicelib import container
from chalicelib.point_record import from_json
from tests.faults import victim
from tests.faults.counting import assert_replicated, buffered_ids, fill
from tests.pipeline.service import Service

SMALL = {"REPLICATION_PAGE": "25", "REPLICATION_SEGMENTS": "2", "RUN_MARGIN_S": "0.5"}
ENDED = 0.0


@pytest.fixture
def variables(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a service that takes small steps."""
    return variables | SMALL


@pytest.mark.parametrize("looks", [1, 2, 4])
def test_a_run_whose_time_is_up_finishes_the_page_that_it_has_begun(
    service: Service, dynamodb: Any, table: str, looks: int
) -> None:
    accepted = fill(dynamodb, table, range(1, 201))
    left_s = iter([60.0] * looks)
    done = container.replicator().run(lambda: next(left_s, ENDED))
    assert done.pages == looks
    assert 0 < done.written == done.deleted < len(accepted)
    replicated = {found for (found,) in service.rows("SELECT CAST(id AS text) FROM point_record")}
    # What is in the replica has left the buffer, and nothing else has.
    assert buffered_ids(dynamodb, table) == set(accepted) - replicated
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_run_that_begins_too_late_leaves_all_to_the_next(
    service: Service, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, range(1, 31))
    service.replicate(seconds=0.4)
    assert buffered_ids(dynamodb, table) == set(accepted)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize("overlapping", [1, 2])
def test_under_a_steady_inflow_nothing_waits_longer_than_two_runs(
    service: Service,
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    overlapping: int,
) -> None:
    stop = threading.Event()

    def post() -> list[str]:
        employees = count(1)
        accepted: list[str] = []
        while not stop.wait(0.02):
            accepted += service.accept(next(employees) for _ in range(10))
        return accepted

    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(post)
        try:
            begun_at = [datetime.now(UTC)]
            for _ in range(3):
                begun_at.append(datetime.now(UTC))
                # While more is coming in, a run goes on until its time is up.
                runs = [
                    victim.start("replicate", variables, seconds=1.2) for _ in range(overlapping)
                ]
                for run in runs:
                    run.join(20)
                assert [run.exitcode for run in runs] == [0] * overlapping
                assert all(each >= begun_at[-2] for each in accepted_at(dynamodb, table))
        finally:
            stop.set()
        accepted = posting.result()
    assert len(accepted) > 100
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def accepted_at(dynamodb: Any, table: str) -> list[datetime]:
    """When each record that is still in the buffer was accepted."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [from_json(item["record"]["S"]).created_at for page in pages for item in page["Items"]]
