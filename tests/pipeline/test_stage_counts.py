"""The stage counts add up at every moment, and the log agrees with them."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chalicelib import container
from chalicelib.integrator.limiter import adaptive
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claims
from chalicelib.postgres.settlements import Sample, Settlement
from tests.conftest import SimulatedLegacy
from tests.support.service import Service, wired

ARCHITECTURE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")


def query_balance(service: Service) -> tuple[Any, ...]:
    """Run the query that docs/architecture.md gives for this purpose."""
    (statement,) = re.findall(r"```sql\n(.*?)```", ARCHITECTURE, re.DOTALL)
    ((accepted, delivered, waiting, parked, wrong),) = service.rows(statement)
    return accepted, delivered, waiting, parked, wrong


def assert_balanced(service: Service, accepted: int) -> None:
    counts = service.get("/health").json_body["replica"]
    waiting_now = sum(counts["waiting"].values())
    assert counts["accepted"] == accepted
    assert counts["accepted"] == waiting_now + counts["delivered"] + counts["parked"]
    total, delivered, waiting, parked, wrong = query_balance(service)
    assert (total, wrong) == (accepted, 0)
    assert total == delivered + waiting + parked


def test_accepted_equals_delivered_plus_waiting_plus_parked_during_a_run(
    service: Service, legacy: SimulatedLegacy, variables: dict[str, str]
) -> None:
    ids = service.accept(range(1, 201))
    legacy.set(
        latency_ms=30,
        answer={"status": 422, "body": "unknown", "only_ids": ids[:20]},
    )
    service.replicate()
    assert_balanced(service, 200)
    checks = 0
    with wired(variables | {"MAX_ATTEMPTS": "1"}), ThreadPoolExecutor(1) as pool:
        run = pool.submit(service.integrate)
        while not run.done():
            assert_balanced(service, 200)
            checks += 1
        run.result()
        assert_balanced(service, 200)
        assert checks > 1
        service.advance_time(3_600)
        service.integrate()
        assert_balanced(service, 200)
        counts = service.get("/health").json_body["replica"]
        assert (counts["delivered"], counts["parked"], counts["waiting"]) == (180, 20, {})


@pytest.mark.parametrize(
    ("first", "late"),
    [
        (Status.INTEGRATED, Status.REJECTED),
        (Status.REJECTED, Status.ERROR),
        (Status.ERROR, Status.REJECTED),
    ],
)
def test_the_log_agrees_after_a_late_outcome_of_a_run_that_had_lost_the_record(
    service: Service, first: Status, late: Status
) -> None:
    (record_id,) = service.accept([1])
    service.replicate()
    runs = []
    for _ in range(2):
        run = Claims(service.database, run_lease_s=30, record_lease_s=45)
        run.begin()
        assert run.claim(1)
        runs.append(run)
        service.advance_time(60)  # beyond the leases
    sample = Sample(1, 0, 1, 0, 0, None, None, "adaptive")
    for run, status in ((runs[1], first), (runs[0], late)):
        wait_s = 60.0 if status is Status.ERROR else None
        run.flush([Settlement(record_id, status, 8, 8, 0, wait_s, "x", 500, 5)], sample, {})
    assert service.statuses() == {first: 1}
    assert_balanced(service, 1)


def test_a_run_of_the_integrator_logs_its_statistics_in_one_line(
    service: Service,
    legacy: SimulatedLegacy,
    variables: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = service.accept(range(1, 51))
    legacy.set(latency_ms=10, answer={"status": 422, "only_ids": ids[:3]})
    service.replicate()
    capsys.readouterr()
    with wired(variables | {"MAX_ATTEMPTS": "1"}):
        container.settings()
        service.integrate()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (stats,) = [line for line in lines if line["message"] == "integrated"]
    assert (stats["sent"], stats["delivered"], stats["refused"], stats["parked"]) == (50, 47, 3, 3)
    assert (stats["failed"], stats["overloaded"]) == (0, 0)
    assert stats["limit_first"] == round(adaptive(lambda: 0.0).limit, 3)
    assert stats["limit_last"] >= 1
    assert 1 <= stats["most_in_flight"] <= 50
    assert 10 <= stats["latency_p50_ms"] <= stats["latency_p95_ms"]
    assert stats["seconds"] > 0
    assert stats["records_per_s"] == pytest.approx(47 / stats["seconds"], rel=0.05)
