"""At every moment each accepted record is delivered, waiting or parked, and the log agrees."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chalicelib import container
from chalicelib.integrator.limiter import adaptive
from tests.conftest import Legacy
from tests.support.service import Service, wired

ARCHITECTURE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")


def account(service: Service) -> tuple[Any, ...]:
    """Run the query of the documentation."""
    (statement,) = re.findall(r"```sql\n(.*?)```", ARCHITECTURE, re.DOTALL)
    ((accepted, delivered, waiting, parked, wrong),) = service.rows(statement)
    return accepted, delivered, waiting, parked, wrong


def assert_balanced(service: Service, accepted: int) -> None:
    found = service.get("/health").json_body["replica"]
    assert found["accepted"] == accepted
    assert (
        found["accepted"] == sum(found["waiting"].values()) + found["delivered"] + found["parked"]
    )
    total, delivered, waiting, parked, wrong = account(service)
    assert (total, wrong) == (accepted, 0)
    assert total == delivered + waiting + parked


def test_accepted_is_delivered_and_waiting_and_parked_at_every_moment(
    service: Service, legacy: Legacy, variables: dict[str, str]
) -> None:
    ids = service.accept(range(1, 201))
    legacy.set(
        latency_ms=30,
        lost_reply_rate=0.05,
        answer={"status": 422, "body": "unknown", "only_ids": ids[:20]},
    )
    service.replicate()
    assert_balanced(service, 200)
    looks = 0
    with wired(variables | {"MAX_ATTEMPTS": "1"}), ThreadPoolExecutor(1) as pool:
        run = pool.submit(service.integrate)
        while not run.done():
            assert_balanced(service, 200)
            looks += 1
        run.result()
        assert_balanced(service, 200)
        assert looks > 1
        service.let_pass(3_600)
        legacy.set(lost_reply_rate=0)
        service.integrate()
        assert_balanced(service, 200)
        found = service.get("/health").json_body["replica"]
        assert (found["delivered"], found["parked"], found["waiting"]) == (180, 20, {})


def test_a_run_says_what_it_did_in_one_line(
    service: Service,
    legacy: Legacy,
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
    (said,) = [line for line in lines if line["message"] == "integrated"]
    assert (said["sent"], said["delivered"], said["refused"], said["parked"]) == (50, 47, 3, 3)
    assert (said["failed"], said["overloaded"]) == (0, 0)
    assert said["limit_first"] == adaptive(lambda: 0.0).limit
    assert said["limit_last"] >= 1
    assert 1 <= said["most_in_flight"] <= 50
    assert 10 <= said["latency_p50_ms"] <= said["latency_p95_ms"]
    assert said["seconds"] > 0
    assert said["records_per_s"] == pytest.approx(47 / said["seconds"], rel=0.05)
