"""Integration killed at any point: after the leases expire, every record is integrated once."""

import signal
import time
from itertools import count
from typing import Any

import pytest

from tests.conftest import SimulatedLegacy
from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.record_counts import ROUNDS, assert_integrated, fill
from tests.support.service import Service

BEGIN = "chalicelib.postgres.claims:Claims.begin"
CLAIM = "chalicelib.postgres.claims:Claims.claim"
BEGIN_CALL = "chalicelib.integrator.call_thread:CallThread._begin"
END_CALL = "chalicelib.integrator.connection_pool:ConnectionPool.give_back"
FLUSH = "chalicelib.postgres.claims:Claims.flush"
END = "chalicelib.postgres.claims:Claims.end"
STATEMENT = "pg8000.native:Connection.run"

# Longer than every lease of the default settings.
LEASES_S = 200.0


@pytest.mark.parametrize(
    "point",
    [
        KillPoint("after", BEGIN),
        KillPoint("after", CLAIM),
        KillPoint("before", BEGIN_CALL, 3),
        KillPoint("after", BEGIN_CALL, 3),
        KillPoint("before", END_CALL, 3),
        KillPoint("after", END_CALL, 3),
        KillPoint("before", FLUSH, 2),
        KillPoint("before", STATEMENT, statement="\nWITH renewed"),
        KillPoint("after", STATEMENT, statement="\nWITH renewed"),
        KillPoint("after", FLUSH, 2),
        KillPoint("before", END),
        KillPoint("after", END),
    ],
    ids=str,
)
def test_next_run_takes_over_from_a_run_killed_at_a_point_once_leases_expire(
    service: Service,
    variables: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    point: KillPoint,
) -> None:
    legacy.set(latency_ms=2)
    ids = fill(dynamodb, table, range(1, 41))
    service.replicate()
    # Small batches, so that even the quickest run flushes more than once.
    small_batches = variables | {"SETTLE_BATCH": "10"}
    assert killed_process.run("integrate", small_batches, point) == -signal.SIGKILL
    service.advance_time(LEASES_S)
    service.integrate()
    assert_integrated(service, legacy, ids)


@pytest.mark.timeout(120 + 3 * ROUNDS)
def test_runs_killed_at_random_instants_leave_every_record_integrated_once(
    service: Service, variables: dict[str, str], legacy: SimulatedLegacy, dynamodb: Any, table: str
) -> None:
    employees = count(1)
    legacy.set(latency_ms=5)

    def accept_more() -> list[str]:
        ids = fill(dynamodb, table, [next(employees) for _ in range(80)])
        service.replicate()
        return ids

    ids = killed_process.run_killed_at_random(
        "integrate", variables, 2 * ROUNDS, accept_more, lambda: service.advance_time(LEASES_S)
    )
    service.integrate()
    assert_integrated(service, legacy, ids)


def test_leases_of_a_killed_run_expire_without_intervention(
    service: Service, variables: dict[str, str], legacy: SimulatedLegacy, dynamodb: Any, table: str
) -> None:
    short_leases = variables | {
        "RUN_LEASE_S": "2",
        "RECORD_LEASE_S": "5",
        "LEGACY_CALL_TIMEOUT_S": "1.5",
    }
    ids = fill(dynamodb, table, range(1, 31))
    service.replicate()
    assert (
        killed_process.run("integrate", short_leases, KillPoint("after", CLAIM)) == -signal.SIGKILL
    )
    assert service.statuses()["INTEGRATING"] > 0
    deadline = time.monotonic() + 30
    while service.statuses() != {"INTEGRATED": 30}:
        assert time.monotonic() < deadline
        assert killed_process.run("integrate", short_leases) == 0
    assert_integrated(service, legacy, ids)
