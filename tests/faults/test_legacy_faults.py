"""A legacy that misbehaves in every known way: its records arrive, or are truthfully parked."""

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
from tests.conftest import Legacy
from tests.support.record_counts import assert_integrated, assert_not_stuck, fill
from tests.support.service import Service, wired

RECORDS = range(1, 31)
MOST_IN_FLIGHT = 8
CALL_TIMEOUT_S = 1.0
WEEK_S = 7 * 86_400.0


class Watched:
    """A limiter that notes the most by which the calls open at once exceeded its limit."""

    def __init__(self, watched: Any, notes: list[int]) -> None:
        self._watched = watched
        self._notes = notes
        self._open = 0

    def on_start(self) -> None:
        self._open += 1
        self._notes.append(self._open - max(1, int(self._watched.limit)))
        self._watched.on_start()

    def on_result(self, *result: Any) -> None:
        self._open -= 1
        self._watched.on_result(*result)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watched, name)


@pytest.fixture
def beyond_the_limit() -> list[int]:
    """By how many calls the limit was exceeded, at each call that began."""
    return []


@pytest.fixture
def service(
    service: Service, variables: dict[str, str], beyond_the_limit: list[int]
) -> Iterator[Service]:
    """The service, impatient, with a watch on its limiter."""
    impatient = variables | {
        "LEGACY_CONNECT_TIMEOUT_S": "0.5",
        "LEGACY_READ_TIMEOUT_S": "0.5",
        "LEGACY_CALL_TIMEOUT_S": str(CALL_TIMEOUT_S),
        "RECORD_LEASE_S": "10",
        "LIMIT_MAX": str(MOST_IN_FLIGHT),
    }

    def watched(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: Watched(make(*given, **named), beyond_the_limit)

    with wired(impatient) as patch:
        for name, make in policies.POLICIES.items():
            patch.setitem(policies.POLICIES, name, watched(make))
        yield service


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def answers(status: int, body: str = "", times: int = 10, **more: Any) -> dict[str, Any]:
    return {"answer": {"status": status, "body": body, "times": times, **more}}


SUCCESS = '{"message": "success"}'
# What the legacy does for a while, whether that uses up attempts, and what the log tells of it.
# What each answer means by itself is proved in tests/unit.
FAULTS: dict[str, tuple[dict[str, Any], bool, str]] = {
    "loses replies": ({"lost_reply_rate": 0.3}, False, "No answer"),
    "accepts and resets": (answers(200, reset=True, accepts=True), False, "No answer"),
    "resets": (answers(200, reset=True), False, "No answer"),
    "hangs": ({"hang_rate": 0.3}, False, "No answer: TimeoutError"),
    "drips": (answers(200, SUCCESS, drip_s=0.3), False, "No answer: TimeoutError: the whole call"),
    "refuses": ({"outage": {"fault": "refuse", "for_s": 0.5}}, False, "No answer: Connection"),
    "garbage": (answers(200, "\x00\x01 garbage"), True, "its body is not JSON"),
    "JSON nested deep": (answers(200, "[" * 50_000), True, "its body is not JSON"),
    "HTML": (answers(200, "<html>", content_type="text/html"), True, "its body is not JSON"),
    "another message": (answers(200, '{"message": "failure"}'), True, "message is not success"),
    "redirects": (answers(302, headers={"Location": "/elsewhere"}), True, "HTTP 302"),
    "not modified": (answers(304), True, "HTTP 304"),
    "refuses the record": (answers(400, "no"), True, "HTTP 400: no"),
    "shut out": (answers(401, "who?"), False, "HTTP 401: who?"),
    "Retry-After seconds": (answers(429, headers={"Retry-After": "1"}), False, "HTTP 429"),
    "Retry-After date": (answers(429, headers={"Retry-After": in_seconds(2)}), False, "HTTP 429"),
    "Retry-After past": (answers(429, headers={"Retry-After": in_seconds(-9)}), False, "HTTP 429"),
    "Retry-After garbage": (answers(429, headers={"Retry-After": "soon"}), False, "HTTP 429"),
    "500s": (answers(500, "x" * 20_000), True, "HTTP 500: xxx"),
    "error rate": ({"error_rate": 0.3}, True, "HTTP 500"),
    "502 in HTML": (answers(502, "<h1>\0</h1>", content_type="text/html"), True, "HTTP 502"),
    "brown-out": ({"brown_out": {"every_s": 600, "for_s": 600}}, False, "HTTP 503"),
    "overload": ({"workers": 1, "queue": 0, "latency_ms": 20}, False, "HTTP 503"),
}


def repair(legacy: Legacy) -> None:
    """Let the legacy behave from now on, as soon as it can be told so."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return legacy.set(**asdict(LegacySettings(latency_ms=2)))
        except requests.ConnectionError:  # it refuses for a while yet
            assert time.monotonic() < deadline


@pytest.mark.parametrize("fault", FAULTS)
def test_every_record_arrives_once_the_fault_is_over(
    service: Service,
    legacy: Legacy,
    dynamodb: Any,
    table: str,
    beyond_the_limit: list[int],
    fault: str,
) -> None:
    settings, uses_up_attempts, told = FAULTS[fault]
    ids = fill(dynamodb, table, RECORDS)
    service.replicate()
    legacy.set(**{"latency_ms": 5, **settings})
    service.integrate(10)
    assert_not_stuck(service)
    repair(legacy)
    for _ in range(3):
        service.let_pass(WEEK_S)
        service.integrate()
    assert_integrated(service, legacy, ids)
    assert max(beyond_the_limit) <= 0
    assert legacy.report()["most_in_flight"] <= MOST_IN_FLIGHT
    failed = service.rows("SELECT DISTINCT log FROM integration_log WHERE status = 'ERROR'")
    assert failed
    for (log,) in failed:
        assert told in log
        assert len(log) <= 8_000
    ((most_attempts,),) = service.rows("SELECT max(attempts) FROM point_record")
    assert (most_attempts > 1) == uses_up_attempts


def test_a_record_that_is_never_accepted_is_parked_and_delays_no_other(
    service: Service, legacy: Legacy, dynamodb: Any, table: str
) -> None:
    poison, *others = fill(dynamodb, table, RECORDS)
    legacy.set(latency_ms=5, answer={"status": 500, "body": "crash", "only_ids": [poison]})
    service.replicate()
    service.integrate()
    assert service.statuses() == {"INTEGRATED": len(others), "ERROR": 1}
    for _ in range(8):
        service.let_pass(WEEK_S)
        service.integrate()
    assert service.statuses() == {"INTEGRATED": len(others), "REJECTED": 1}
    assert service.logs(poison)[-1] == (8, "REJECTED", 500)
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
def test_a_run_ends_by_its_deadline_and_leaves_nothing_under_way(
    service: Service,
    legacy: Legacy,
    dynamodb: Any,
    table: str,
    beyond_the_limit: list[int],
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
    assert max(beyond_the_limit) <= 0
    repair(legacy)
    for _ in range(3):
        service.let_pass(WEEK_S)
        service.integrate()
    assert_integrated(service, legacy, ids)
