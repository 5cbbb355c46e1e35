"""Outages that a gateway reports by any status: nothing is parked, and all is delivered once.

The service runs against Postgres and the simulated legacy. Two counted attempts would park a
record, and the delays of retries are short, so that each outage takes seconds.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from tests.conftest import SimulatedLegacy
from tests.support import killed_process
from tests.support.record_counts import assert_integrated, fill
from tests.support.service import Service
from tests.support.waiting import wait_until

QUICK = {
    "MAX_ATTEMPTS": "2",
    "RETRY_BASE_S": "0.2",
    "OVERLOAD_RETRY_MAX_S": "1",
    "LEGACY_CONNECT_TIMEOUT_S": "1",
    "LEGACY_CALL_TIMEOUT_S": "1",
}
OUTAGE_S = 3.0


LEASES_S = 60.0  # longer than every lease


@contextmanager
def integrating(variables: dict[str, str]) -> Iterator[None]:
    """Run the integrator again and again in other processes; wait for the last run."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            killed_process.run("integrate", variables)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(60)


def integrate_all(
    service: Service, variables: dict[str, str], ids: list[str], limit_s: float
) -> None:
    """Run the integrator in other processes until each record is integrated."""
    deadline = time.monotonic() + limit_s
    while service.statuses() != {"INTEGRATED": len(ids)}:
        assert time.monotonic() < deadline, service.statuses()
        assert killed_process.run("integrate", variables) == 0


def failures(legacy: SimulatedLegacy, status: str) -> int:
    return legacy.report()["by_status"].get(status, 0)


@pytest.mark.parametrize("status", ["302", "404", "409", "423", "502", "504"])
def test_outage_by_any_status_parks_none_of_a_few_records(
    service: Service,
    variables: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    status: str,
) -> None:
    ids = fill(dynamodb, table, range(1, 6))
    service.replicate()
    legacy.set(outage={"fault": status, "for_s": OUTAGE_S})
    integrate_all(service, variables | QUICK, ids, 15)
    assert_integrated(service, legacy, ids)
    # Each of the five backs off to a call in half a second to a second.
    assert 5 <= failures(legacy, status) <= 5 * (3 + OUTAGE_S / 0.5)


def test_cold_start_into_an_outage_by_404_makes_few_calls_for_hundreds_of_records(
    service: Service, variables: dict[str, str], legacy: SimulatedLegacy, dynamodb: Any, table: str
) -> None:
    ids = fill(dynamodb, table, range(1, 301))
    service.replicate()
    legacy.set(outage={"fault": "404", "for_s": OUTAGE_S}, latency_ms=10)
    integrate_all(service, variables | QUICK, ids, 15)
    assert_integrated(service, legacy, ids)
    assert failures(legacy, "404") <= 60


@pytest.mark.parametrize("status", ["404", "502"])
def test_runs_killed_during_an_outage_and_after_it_deliver_every_record_once(
    service: Service,
    variables: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    status: str,
) -> None:
    ids = fill(dynamodb, table, range(1, 201))
    service.replicate()
    quick = variables | QUICK
    legacy.set(outage={"fault": status}, latency_ms=100, workers=10)
    killed_process.kill_after(killed_process.start("integrate", quick), 1.5)
    legacy.set(outage=None)
    service.advance_time(LEASES_S)
    recovering = killed_process.start("integrate", quick)
    wait_until(lambda: legacy.report()["accepted"] >= 20)
    killed_process.kill_after(recovering, 0)
    service.advance_time(LEASES_S)
    assert legacy.report()["accepted"] < 200
    integrate_all(service, quick, ids, 20)
    assert_integrated(service, legacy, ids)


def test_call_that_times_out_and_is_then_still_worked_on_parks_nothing(
    service: Service, variables: dict[str, str], legacy: SimulatedLegacy, dynamodb: Any, table: str
) -> None:
    ids = fill(dynamodb, table, range(1, 6))
    service.replicate()
    legacy.set(conflict_in_progress=True, latency_ms=4_000, distribution="constant")
    quick = variables | QUICK
    with integrating(quick):
        wait_until(lambda: failures(legacy, "409") >= 3)
    legacy.set(latency_ms=20)
    integrate_all(service, quick, ids, 15)
    assert_integrated(service, legacy, ids)


@pytest.mark.parametrize("fault", ["times out", "is refused"])
def test_bad_records_among_good_ones_are_parked_and_delay_nobody(
    service: Service,
    variables: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    fault: str,
) -> None:
    good = fill(dynamodb, table, range(100, 120))
    service.replicate()
    service.integrate()  # so the legacy is known to be alive
    bad = fill(dynamodb, table, range(1, 7))
    service.replicate()
    if fault == "times out":
        legacy.set(answer={"only_ids": bad, "drip_s": 5.0})
    else:
        legacy.set(answer={"only_ids": bad, "status": 422})
    employees = count(200)
    deadline = time.monotonic() + 14
    with integrating(variables | QUICK):
        while service.statuses().get("REJECTED", 0) < len(bad):
            assert time.monotonic() < deadline, service.statuses()
            good += fill(dynamodb, table, [next(employees) for _ in range(20)])
            service.replicate()
            time.sleep(0.1)
        wait_until(lambda: service.statuses() == {"REJECTED": len(bad), "INTEGRATED": len(good)})
    assert sorted(legacy.accepted_ids()) == sorted(good)
    waits = service.rows(
        "SELECT CAST(extract(epoch FROM integrated_at - replicated_at) AS float8)"
        " FROM point_record WHERE status = 'INTEGRATED'"
    )
    assert statistics.median(each for (each,) in waits) <= 1.0
