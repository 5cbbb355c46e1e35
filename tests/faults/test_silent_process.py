"""A process that stops inside a transaction: others go on, and it loses and doubles nothing."""

import os
import signal
from typing import Any

import pytest

from tests.conftest import SimulatedLegacy
from tests.support import killed_process
from tests.support.killed_process import KillPoint
from tests.support.record_counts import assert_not_stuck, assert_replicated, fill
from tests.support.service import Service

STATEMENT = "pg8000.native:Connection.run"
# Longer than every lease of the default settings.
LEASES_S = 200.0


@pytest.fixture
def impatient(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a process that may be silent inside a transaction for half a second.

    The processes that wait for its locks have the default timeouts, which are far longer.
    """
    return variables | {"DATABASE_IDLE_TIMEOUT_S": "0.5", "SETTLE_BATCH": "10"}


@pytest.mark.parametrize(
    "point",
    [
        # The first two transactions of a run look for shares of a deep buffer.
        KillPoint("before", STATEMENT, 3, statement="COMMIT", by=signal.SIGSTOP),
        KillPoint("after", STATEMENT, statement="\nWITH document", by=signal.SIGSTOP),
    ],
    ids=str,
)
def test_replication_goes_on_while_a_run_is_stopped_inside_a_transaction(
    service: Service, impatient: dict[str, str], dynamodb: Any, table: str, point: KillPoint
) -> None:
    accepted = fill(dynamodb, table, range(1, 41))
    process = killed_process.start("replicate", impatient, point)
    killed_process.wait_until_stopped(process)
    service.replicate()  # waits for the locks; would fail after STATEMENT_TIMEOUT_S
    assert_replicated(service, dynamodb, table, accepted)
    os.kill(process.pid or 0, signal.SIGCONT)
    process.join(20)
    assert process.exitcode == 1  # Postgres has rolled its transaction back
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize(
    "point",
    [
        KillPoint("after", STATEMENT, statement="\nWITH claimed", by=signal.SIGSTOP),
        KillPoint("after", STATEMENT, statement="\nWITH renewed", by=signal.SIGSTOP),
    ],
    ids=["claim", "flush"],
)
def test_integration_goes_on_while_a_run_is_stopped_inside_a_transaction(
    service: Service,
    impatient: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    point: KillPoint,
) -> None:
    legacy.set(latency_ms=2)
    ids = fill(dynamodb, table, range(1, 41))
    service.replicate()
    process = killed_process.start("integrate", impatient, point)
    killed_process.wait_until_stopped(process)
    service.advance_time(LEASES_S)  # changes the locked rows
    service.integrate()
    assert_delivered_once(service, legacy, ids)
    os.kill(process.pid or 0, signal.SIGCONT)
    process.join(30)
    assert process.exitcode == 0  # it retried, or found that another run had done its work
    assert_delivered_once(service, legacy, ids)


def assert_delivered_once(service: Service, legacy: SimulatedLegacy, ids: list[str]) -> None:
    """Each record is INTEGRATED, and the legacy has it once.

    Both runs may have called the legacy for a record, with one key. Then both calls are logged.
    """
    assert service.statuses() == {"INTEGRATED": len(ids)}
    assert sorted(legacy.accepted_ids()) == sorted(ids)
    assert_not_stuck(service)
