"""Outages of minutes, and one poison record among a thousand, in virtual time."""

import logging
import random
from collections import Counter
from statistics import median
from typing import Any

import pytest

from chalicelib.errors import UnavailableError
from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.point_record import Status
from chalicelib.telemetry import NOTHING_DELIVERED
from tests.support.virtual_integration import InMemoryClaims, Legacy, Row, World, integrate_until

pytestmark = pytest.mark.slow

PARAMETERS = Parameters()
WORKERS, LATENCY_S = 20, 0.1
MINUTE_S = 60.0


def healthy(now: float, key: str, in_flight: int) -> CallResult:
    """A legacy with twenty workers and a queue of twenty; it refuses calls beyond both."""
    if in_flight > 2 * WORKERS:
        return CallResult(Outcome.OVERLOADED, 0.001, 503, "HTTP 503: busy")
    return CallResult(Outcome.DELIVERED, LATENCY_S * max(1.0, in_flight / WORKERS), 200)


def no_response(latency_s: float, error: str) -> CallResult:
    log, broke_off = f"No response: {error}", "Refused" not in error
    return CallResult(Outcome.OVERLOADED, latency_s, log=log, broke_off=broke_off)


OUTAGES: dict[str, CallResult] = {
    "refused": no_response(0.001, "ConnectionRefusedError"),
    "hangs": no_response(10.0, "TimeoutError: timed out"),
    "503": CallResult(Outcome.OVERLOADED, 0.02, 503, "HTTP 503: down"),
    "429 with Retry-After": CallResult(
        Outcome.OVERLOADED, 0.02, 429, "HTTP 429", retry_after_s=300.0
    ),
    "502": CallResult(Outcome.FAILED, 0.02, 502, "HTTP 502: bad gateway"),
    "504": CallResult(Outcome.FAILED, 10.0, 504, "HTTP 504: gateway timeout"),
    "404 from a gateway": CallResult(Outcome.REFUSED, 0.001, 404, "HTTP 404: no route"),
    "423": CallResult(Outcome.REFUSED, 0.02, 423, "HTTP 423: locked"),
    "302": CallResult(Outcome.FAILED, 0.02, 302, "HTTP 302: to the login page"),
    "409 in progress": CallResult(Outcome.REFUSED, 0.02, 409, "HTTP 409: still worked on"),
    "401": CallResult(Outcome.OVERLOADED, 0.02, 401, "HTTP 401: who?", credentials_refused=True),
}


def with_outage(result: CallResult, since: float, until: float) -> Legacy:
    return lambda now, key, in_flight: (
        result if since <= now < until else healthy(now, key, in_flight)
    )


@pytest.mark.parametrize(
    ("outage", "minutes"),
    [
        ("refused", 30),
        ("hangs", 30),
        ("503", 30),
        ("429 with Retry-After", 10),
        ("401", 10),
        ("502", 10),
        ("504", 10),
        ("404 from a gateway", 10),
        ("423", 10),
        ("302", 10),
        ("409 in progress", 10),
    ],
)
def test_outage_uses_up_one_attempt_at_most_and_is_followed_by_no_stampede(
    outage: str, minutes: int
) -> None:
    since, until = 30.0, 30.0 + minutes * MINUTE_S
    # Two punches a second, until ten minutes after the outage.
    rows = {f"r{n}": Row(due_at=n / 2) for n in range(int(2 * (until + 600)))}
    world = World(with_outage(OUTAGES[outage], since, until), rows)
    integrate_until(world, until + 3_600)
    assert world.counts() == {Status.INTEGRATED: len(rows)}
    # Calls that are sent just before the end of the outage may count.
    assert max(row.attempts for row in rows.values()) <= 2
    during = [at for at, _, _ in world.calls if since + 60 <= at < until]
    # From a minute into the outage on, single calls probe whether the legacy is back.
    assert len(during) <= 2 * (until - since)
    after = [(at, outcome) for at, _, outcome in world.calls if at >= until]
    failures = [at for at, outcome in after if outcome is not Outcome.DELIVERED]
    assert after
    assert len(failures) <= 0.03 * len(after)
    # The limit rises by no more than two steps of slow start, which may come only now. The second
    # one doubles it.
    most_in_flight = max(in_flight for at, in_flight in world.in_flight if at >= until)
    assert most_in_flight <= 2 * (PARAMETERS.initial_limit + PARAMETERS.slow_start_calls)
    # Records are delivered after the longest backoff or Retry-After, plus the time for all calls.
    longest_s = max(60.0, OUTAGES[outage].retry_after_s or 0.0)
    for number, row in enumerate(rows.values()):
        assert row.settled_at <= max(until, number / 2) + longest_s + 100, number


def settle_times(legacy: Legacy, poison: str, statuses: dict[Status, int]) -> list[float]:
    """Integrate a thousand records; return when each one except ``poison`` was settled.

    Two good records a minute follow, since a record is parked only while others are delivered.
    """
    rows = {f"r{n}": Row(due_at=0.0) for n in range(1_000)}
    later = {f"later{n}": Row(due_at=30.0 * n) for n in range(120)}
    world = World(legacy, rows | later)
    integrate_until(world, 3_600)
    counts = Counter(row.status for row in rows.values())
    assert counts == statuses
    return [row.settled_at for key, row in rows.items() if key != poison]


@pytest.mark.parametrize(
    ("result", "final_status", "max_factor"),
    [
        (CallResult(Outcome.FAILED, LATENCY_S, 500, "HTTP 500: crash"), Status.REJECTED, 1.01),
        (CallResult(Outcome.REFUSED, LATENCY_S, 422, "HTTP 422: no"), Status.REJECTED, 1.01),
        (CallResult(Outcome.FAILED, 0.001, 500, "HTTP 500: at once"), Status.REJECTED, 1.01),
        # A record that hangs occupies one of some twenty workers until all others are delivered.
        (no_response(10.0, "TimeoutError"), Status.REJECTED, 1.03),
    ],
    ids=str,
)
def test_one_poison_record_among_a_thousand_hardly_delays_the_others(
    result: CallResult, final_status: Status, max_factor: float
) -> None:
    poison = f"r{random.Random(3).randrange(1_000)}"

    def poisoned(now: float, key: str, in_flight: int) -> CallResult:
        return result if key == poison else healthy(now, key, in_flight)

    without = settle_times(healthy, poison, {Status.INTEGRATED: 1_000})
    with_poison = settle_times(poisoned, poison, {Status.INTEGRATED: 999, final_status: 1})
    assert sum(with_poison) <= max_factor * sum(without)
    assert max(with_poison) <= max_factor * max(without) + 0.25  # one settle interval


STATUS_OUTAGES = ["502", "504", "404 from a gateway", "423", "302", "409 in progress"]


@pytest.mark.parametrize("outage", STATUS_OUTAGES)
def test_ten_minutes_without_a_delivery_park_none_of_five_records(
    outage: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(
        with_outage(OUTAGES[outage], 0.0, 600.0), {f"r{n}": Row(due_at=0.0) for n in range(5)}
    )
    with caplog.at_level(logging.ERROR):
        integrate_until(world, 3_600)
    assert world.counts() == {Status.INTEGRATED: 5}
    assert max(row.attempts for row in world.rows.values()) <= 2
    assert max(row.settled_at for row in world.rows.values()) <= 600 + 2 * MINUTE_S
    assert len(world.calls) <= 5 * 600 / 30 + 60  # the backoff of overloads, up to 60 s
    assert NOTHING_DELIVERED in caplog.messages


@pytest.mark.parametrize("outage", STATUS_OUTAGES)
def test_cold_start_into_an_outage_brakes_to_probes_and_parks_none_of_5000(
    outage: str, caplog: pytest.LogCaptureFixture
) -> None:
    until = 180.0
    world = World(
        with_outage(OUTAGES[outage], 0.0, until), {f"r{n}": Row(due_at=0.0) for n in range(5_000)}
    )
    with caplog.at_level(logging.ERROR):
        integrate_until(world, 3_600)
    assert world.counts() == {Status.INTEGRATED: 5_000}
    during = [at for at, _, _ in world.calls if at < until]
    assert len(during) <= 2 * until  # 40,000 when a refusal was always healthy
    assert max(row.attempts for row in world.rows.values()) <= 2
    assert NOTHING_DELIVERED in caplog.messages


@pytest.mark.parametrize(
    "result",
    [
        CallResult(Outcome.FAILED, LATENCY_S, 500, "HTTP 500: crash"),
        CallResult(Outcome.REFUSED, 0.001, 422, "HTTP 422: no"),
        no_response(10.0, "TimeoutError"),
    ],
    ids=str,
)
def test_bad_record_alone_waits_and_is_parked_once_others_are_delivered(
    result: CallResult, caplog: pytest.LogCaptureFixture
) -> None:
    others_since = 3_600.0
    rows = {"bad": Row(due_at=0.0)}
    rows |= {f"r{n}": Row(due_at=others_since + n * 20) for n in range(180)}
    world = World(
        lambda now, key, in_flight: result if key == "bad" else healthy(now, key, in_flight), rows
    )
    with caplog.at_level(logging.ERROR):
        integrate_until(world, others_since)
    assert (rows["bad"].status, rows["bad"].attempts) == (Status.ERROR, 0)
    assert len(world.calls) <= others_since / 30 + 10
    assert NOTHING_DELIVERED not in caplog.messages  # one record proves nothing
    integrate_until(world, others_since + 7_200)
    assert world.counts() == {Status.INTEGRATED: 180, Status.REJECTED: 1}


def test_hundred_records_that_time_out_are_parked_and_hold_up_no_good_ones() -> None:
    bad = {f"bad{n}": Row(due_at=0.0) for n in range(100)}
    # Twenty good punches a second for half an hour.
    arrivals = {f"r{n}": n / 20 for n in range(36_000)}
    world = World(
        lambda now, key, in_flight: (
            no_response(10.0, "TimeoutError") if key in bad else healthy(now, key, in_flight)
        ),
        bad | {key: Row(due_at=at) for key, at in arrivals.items()},
    )
    integrate_until(world, 3_600)
    assert {row.status for row in bad.values()} == {Status.REJECTED}
    assert world.counts() == {Status.INTEGRATED: len(arrivals), Status.REJECTED: len(bad)}
    waits = [world.rows[key].settled_at - at for key, at in arrivals.items()]
    calls = sum(key in bad for _, key, _ in world.calls)
    assert calls <= 100 * 2 * 8  # 4,552 an hour for ever when a timeout never counted
    assert median(waits) <= 1.0


@pytest.mark.parametrize(
    "share",
    [0.1, pytest.param(0.3, marks=pytest.mark.soak), pytest.param(0.5, marks=pytest.mark.soak)],
)
def test_share_of_refused_records_does_not_lower_the_limit(share: float) -> None:
    def refuses(now: float, key: str, in_flight: int) -> CallResult:
        if random.Random(key).random() < share:
            return CallResult(Outcome.REFUSED, LATENCY_S, 422, "HTTP 422: no")
        return healthy(now, key, in_flight)

    def duration_s(legacy: Legacy) -> float:
        world = World(legacy, {f"r{n}": Row(due_at=0.0) for n in range(5_000)})
        integrate_until(world, 60)
        return max(at for at, _, _ in world.calls[:5_000])

    assert duration_s(refuses) <= 1.1 * duration_s(healthy)


def test_block_of_refused_records_at_the_head_of_the_queue_delays_the_others_by_a_minute() -> None:
    bad = {f"bad{n:03}": Row(due_at=-1.0) for n in range(100)}
    good = {f"r{n}": Row(due_at=0.0) for n in range(900)}
    refusal = CallResult(Outcome.REFUSED, LATENCY_S, 422, "HTTP 422: no")
    world = World(
        lambda now, key, in_flight: refusal if key in bad else healthy(now, key, in_flight),
        bad | good,
    )
    integrate_until(world, 300)
    assert max(row.settled_at for row in good.values()) <= 60


@pytest.mark.parametrize(
    ("task", "legacy"), [("flush", lambda *_: OUTAGES["502"]), ("end", healthy)]
)
def test_postgres_that_fails_for_a_moment_at_the_end_of_a_run_leaves_no_record_behind(
    monkeypatch: pytest.MonkeyPatch, task: str, legacy: Legacy
) -> None:
    world = World(legacy, {"r1": Row(due_at=0.0)})
    works, failures = getattr(InMemoryClaims, task), iter([UnavailableError("away")] * 3)

    def fail_at_first(claims: InMemoryClaims, *args: Any) -> Any:
        for error in failures:
            raise error
        return works(claims, *args)

    monkeypatch.setattr(InMemoryClaims, task, fail_at_first)
    integrate_until(world, 1)
    assert next(failures, None) is None
    assert world.counts() == {Status.ERROR if task == "flush" else Status.INTEGRATED: 1}
