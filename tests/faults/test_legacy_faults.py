"""A legacy with every known fault: each record is delivered after the fault, or is parked."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests

from chalicelib.integrator.limiter import policies
from local.legacy.settings import LegacySettings
from tests.conftest import SimulatedLegacy
from tests.support.record_counts import assert_integrated, assert_not_stuck, fill
from tests.support.service import Service, wired

RECORDS = range(1, 31)
MAX_IN_FLIGHT = 8
CALL_TIMEOUT_S = 1.0
WEEK_S = 7 * 86_400.0


class ObservedLimiter:
    """A limiter that notes, at the start of each call, how far the calls in flight exceed it."""

    def __init__(self, limiter: Any, excesses: list[int]) -> None:
        self._limiter = limiter
        self._excesses = excesses
        self._in_flight = 0

    def on_start(self) -> None:
        self._in_flight += 1
        self._excesses.append(self._in_flight - max(1, int(self._limiter.limit)))
        self._limiter.on_start()

    def on_result(self, *result: Any) -> None:
        self._in_flight -= 1
        self._limiter.on_result(*result)

    def on_refused(self, *result: Any) -> None:
        self._in_flight -= 1
        self._limiter.on_refused(*result)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._limiter, name)


@pytest.fixture
def excesses() -> list[int]:
    """By how many calls each call exceeded the limit; not above 0 if the limit holds."""
    return []


@pytest.fixture
def service(service: Service, variables: dict[str, str], excesses: list[int]) -> Iterator[Service]:
    """The service with short timeouts and an observed limiter."""
    short_timeouts = variables | {
        "LEGACY_CONNECT_TIMEOUT_S": "0.5",
        "LEGACY_READ_TIMEOUT_S": "0.5",
        "LEGACY_CALL_TIMEOUT_S": str(CALL_TIMEOUT_S),
        "RECORD_LEASE_S": "10",
        "LIMIT_MAX": str(MAX_IN_FLIGHT),
    }

    def observed(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: ObservedLimiter(make(*given, **named), excesses)

    with wired(short_timeouts) as patch:
        for name, make in policies.POLICIES.items():
            patch.setitem(policies.POLICIES, name, observed(make))
        yield service


def http_date(seconds: float) -> str:
    """Return the date that many seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def scripted(status: int, body: str = "", times: int = 10, **more: Any) -> dict[str, Any]:
    return {"answer": {"status": status, "body": body, "times": times, **more}}


SUCCESS = '{"message": "success"}'
# The highest `attempts` of a record after the fault, its delivery included. Overloads use up none.
# An outage of ten calls may use up one: of calls that are sent before the others have failed.
NONE, AT_MOST_ONE, SOME = range(1, 2), range(1, 3), range(2, 9)
# For each fault: the settings of the simulated legacy, the highest `attempts`, and a part of the
# log. How each single response is judged is tested in tests/unit/test_outcome.py.
FAULTS: dict[str, tuple[dict[str, Any], range, str]] = {
    "loses responses": ({"lost_reply_rate": 0.3}, SOME, "No response"),
    "accepts and resets": (scripted(200, reset=True, accepts=True), AT_MOST_ONE, "No response"),
    "resets": (scripted(200, reset=True), AT_MOST_ONE, "No response"),
    "hangs": ({"hang_rate": 0.3}, SOME, "timeout while waiting for the response"),
    "drips": (
        scripted(200, SUCCESS, drip_s=0.3),
        AT_MOST_ONE,
        "timeout while waiting for the response",
    ),
    "refuses": ({"outage": {"fault": "refuse", "for_s": 0.5}}, NONE, "the connection"),
    "garbage": (scripted(200, "\x00\x01 garbage"), AT_MOST_ONE, "the body is not JSON"),
    "JSON nested deep": (scripted(200, "[" * 50_000), AT_MOST_ONE, "the body is not JSON"),
    "HTML": (
        scripted(200, "<html>", content_type="text/html"),
        AT_MOST_ONE,
        "the body is not JSON",
    ),
    "another message": (
        scripted(200, '{"message": "failure"}'),
        AT_MOST_ONE,
        'the "message" is not "success"',
    ),
    "redirects": (scripted(302, headers={"Location": "/elsewhere"}), AT_MOST_ONE, "HTTP 302"),
    "not modified": (scripted(304), AT_MOST_ONE, "HTTP 304"),
    "refuses the record": (scripted(400, "no"), AT_MOST_ONE, "HTTP 400: no"),
    "refuses our credentials": (scripted(401, "who?"), NONE, "HTTP 401: who?"),
    "Retry-After seconds": (scripted(429, headers={"Retry-After": "1"}), NONE, "HTTP 429"),
    "Retry-After date": (scripted(429, headers={"Retry-After": http_date(2)}), NONE, "HTTP 429"),
    "Retry-After past": (scripted(429, headers={"Retry-After": http_date(-9)}), NONE, "HTTP 429"),
    "Retry-After garbage": (scripted(429, headers={"Retry-After": "soon"}), NONE, "HTTP 429"),
    "500s": (scripted(500, "x" * 20_000), AT_MOST_ONE, "HTTP 500: xxx"),
    "error rate": ({"error_rate": 0.3}, SOME, "HTTP 500"),
    "502 in HTML": (
        scripted(502, "<h1>\0</h1>", content_type="text/html"),
        AT_MOST_ONE,
        "HTTP 502",
    ),
    "brown-out": ({"brown_out": {"every_s": 600, "for_s": 600}}, NONE, "HTTP 503"),
    "overload": ({"workers": 1, "queue": 0, "latency_ms": 20}, NONE, "HTTP 503"),
}


def repair(legacy: SimulatedLegacy) -> None:
    """Remove all faults of the legacy, as soon as it accepts connections."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return legacy.set(**asdict(LegacySettings(latency_ms=2)))
        except requests.ConnectionError:  # an outage still refuses connections
            assert time.monotonic() < deadline


@pytest.mark.parametrize("fault", FAULTS)
def test_every_record_is_delivered_once_after_the_fault(
    service: Service,
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    excesses: list[int],
    fault: str,
) -> None:
    settings, highest_attempts, log_part = FAULTS[fault]
    ids = fill(dynamodb, table, RECORDS)
    service.replicate()
    legacy.set(**{"latency_ms": 5, **settings})
    service.integrate(10)
    assert_not_stuck(service)
    repair(legacy)
    for _ in range(3):
        service.advance_time(WEEK_S)
        service.integrate()
    assert_integrated(service, legacy, ids)
    assert max(excesses) <= 0
    assert legacy.report()["most_in_flight"] <= MAX_IN_FLIGHT
    logs = service.rows("SELECT DISTINCT log FROM integration_log WHERE status = 'ERROR'")
    assert logs
    for (log,) in logs:
        assert log_part in log
        assert len(log) <= 8_000
    ((max_attempts,),) = service.rows("SELECT max(attempts) FROM point_record")
    assert max_attempts in highest_attempts


@pytest.mark.parametrize(
    "answer", [{"status": 500, "body": "crash"}, {"status": 404}, {"status": 200, "reset": True}]
)
def test_poison_record_is_parked_once_others_are_delivered_after_each_attempt(
    service: Service, legacy: SimulatedLegacy, dynamodb: Any, table: str, answer: dict[str, Any]
) -> None:
    poison, *others = fill(dynamodb, table, RECORDS)
    legacy.set(latency_ms=5, answer={**answer, "only_ids": [poison]})
    service.replicate()
    service.integrate()
    assert service.statuses() == {"INTEGRATED": len(others), "ERROR": 1}
    for _ in range(3):  # alone: there is nothing to show that the legacy is alive
        service.advance_time(WEEK_S)
        service.integrate()
    ((attempts,),) = service.rows("SELECT max(attempts) FROM point_record WHERE status = 'ERROR'")
    assert attempts <= 1
    for number in range(8 * 3):
        others += fill(dynamodb, table, [100 + 2 * number, 101 + 2 * number])
        service.replicate()
        service.advance_time(WEEK_S)
        service.integrate()
        if service.statuses().get("REJECTED"):
            break
    assert service.statuses() == {"INTEGRATED": len(others), "REJECTED": 1}
    assert service.logs(poison)[-1][:2] == (8, "REJECTED")
    if not answer.get("reset"):
        assert sorted(legacy.accepted_ids()) == sorted(others)


@pytest.mark.parametrize(
    "fault",
    [
        {"hang_rate": 1},
        {"answer": {"status": 200, "body": SUCCESS, "drip_s": 0.3}},
        {"latency_ms": 300, "distribution": "constant"},
        {"outage": {"fault": "503"}},
        {"answer": {"status": 429, "body": "", "headers": {"Retry-After": "15"}}},
    ],
    ids=json.dumps,
)
def test_run_ends_by_its_deadline_and_leaves_no_record_integrating(
    service: Service,
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    excesses: list[int],
    fault: dict[str, Any],
) -> None:
    ids = fill(dynamodb, table, range(1, 81))
    service.replicate()
    legacy.set(**fault)
    seconds = CALL_TIMEOUT_S + 4.0
    started = time.monotonic()
    service.integrate(seconds)
    assert time.monotonic() - started < seconds
    assert_not_stuck(service)
    assert max(excesses) <= 0
    repair(legacy)
    for _ in range(3):
        service.advance_time(WEEK_S)
        service.integrate()
    assert_integrated(service, legacy, ids)


def test_pause_of_a_retry_after_passes_while_nothing_is_due(
    service: Service, legacy: SimulatedLegacy, dynamodb: Any, table: str
) -> None:
    first = fill(dynamodb, table, [1])
    service.replicate()
    legacy.set(answer={"status": 503, "body": "", "headers": {"Retry-After": "250"}})
    service.integrate(CALL_TIMEOUT_S + 4.0)
    assert service.statuses() == {"ERROR": 1}
    repair(legacy)
    service.advance_time(WEEK_S)
    service.integrate(CALL_TIMEOUT_S + 4.0)
    assert_integrated(service, legacy, first)
