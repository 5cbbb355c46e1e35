"""Outages of minutes, and one poison record among a thousand, in virtual time."""

import random

import pytest

from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.point_record import Status
from tests.support.virtual_integration import Legacy, Row, World, integrate_until

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
    return CallResult(Outcome.OVERLOADED, latency_s, log=f"No response: {error}")


OUTAGES: dict[str, CallResult] = {
    "refused": no_response(0.001, "ConnectionRefusedError"),
    "hangs": no_response(10.0, "TimeoutError: timed out"),
    "503": CallResult(Outcome.OVERLOADED, 0.02, 503, "HTTP 503: down"),
    "429 with Retry-After": CallResult(
        Outcome.OVERLOADED, 0.02, 429, "HTTP 429", retry_after_s=300.0
    ),
    "401": CallResult(Outcome.OVERLOADED, 0.02, 401, "HTTP 401: who?", credentials_refused=True),
}


def with_outage(result: CallResult, since: float, until: float) -> Legacy:
    return lambda now, key, in_flight: (
        result if since <= now < until else healthy(now, key, in_flight)
    )


@pytest.mark.parametrize(
    ("outage", "minutes"),
    [("refused", 30), ("hangs", 30), ("503", 30), ("429 with Retry-After", 10), ("401", 10)],
)
def test_outage_uses_up_no_attempt_and_is_followed_by_no_stampede(
    outage: str, minutes: int
) -> None:
    since, until = 30.0, 30.0 + minutes * MINUTE_S
    # Two punches a second, until ten minutes after the outage.
    rows = {f"r{n}": Row(due_at=n / 2) for n in range(int(2 * (until + 600)))}
    world = World(with_outage(OUTAGES[outage], since, until), rows)
    integrate_until(world, until + 3_600)
    assert world.counts() == {Status.INTEGRATED: len(rows)}
    assert {row.attempts for row in rows.values()} == {1}
    during = [at for at, _, _ in world.calls if since + 60 <= at < until]
    # From a minute into the outage on, single calls probe whether the legacy is back.
    assert len(during) <= 2 * (until - since)
    after = [(at, outcome) for at, _, outcome in world.calls if at >= until]
    failures = [at for at, outcome in after if outcome is not Outcome.DELIVERED]
    assert after
    assert len(failures) <= 0.03 * len(after)
    # The limit rises by no more than its first step of slow start, which may come only now.
    most_in_flight = max(in_flight for at, in_flight in world.in_flight if at >= until)
    assert most_in_flight <= PARAMETERS.initial_limit + PARAMETERS.slow_start_calls
    # Records are delivered after the longest backoff or Retry-After, plus the time for all calls.
    longest_s = max(60.0, OUTAGES[outage].retry_after_s or 0.0)
    for number, row in enumerate(rows.values()):
        assert row.settled_at <= max(until, number / 2) + longest_s + 100, number


def settle_times(legacy: Legacy, poison: str, statuses: dict[Status, int]) -> list[float]:
    """Integrate a thousand records; return when each one except ``poison`` was settled."""
    world = World(legacy, {f"r{n}": Row(due_at=0.0) for n in range(1_000)})
    # A day, or half an hour if a record is retried for ever.
    integrate_until(world, 1_800 if Status.ERROR in statuses else 86_400)
    assert world.counts() == statuses
    return [row.settled_at for key, row in world.rows.items() if key != poison]


@pytest.mark.parametrize(
    ("result", "final_status", "max_factor"),
    [
        (CallResult(Outcome.FAILED, LATENCY_S, 500, "HTTP 500: crash"), Status.REJECTED, 1.01),
        (CallResult(Outcome.REFUSED, LATENCY_S, 422, "HTTP 422: no"), Status.REJECTED, 1.01),
        (CallResult(Outcome.FAILED, 0.001, 500, "HTTP 500: at once"), Status.REJECTED, 1.01),
        # A record that hangs occupies one of some twenty workers until all others are delivered.
        # It is retried for ever, since a timeout does not count as the record's fault.
        (no_response(10.0, "TimeoutError"), Status.ERROR, 1.03),
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
