"""Outages of minutes, and one bad record among a thousand, without waiting for them."""

import random

import pytest

from chalicelib.integrator.limiter.policies import BY_HAND
from chalicelib.integrator.outcome import Outcome, Reply
from chalicelib.point_record import Status
from tests.support.virtual_integration import Answers, Row, World, integrate_until

DELIVERED = Outcome.DELIVERED
WORKERS, LATENCY_S = 20, 0.1
MINUTE_S = 60.0


def healthy(now: float, key: str, open_calls: int) -> Reply:
    """A legacy of twenty workers that says no to what it has no worker and no place for."""
    if open_calls > 2 * WORKERS:
        return Reply(Outcome.OVERLOADED, 0.001, 503, "HTTP 503: busy")
    return Reply(DELIVERED, LATENCY_S * max(1.0, open_calls / WORKERS), 200)


def refused(latency_s: float) -> Reply:
    return Reply(Outcome.OVERLOADED, latency_s, log="No answer: ConnectionRefusedError")


OUTAGES: dict[str, Reply] = {
    "refuses": refused(0.001),
    "hangs": Reply(Outcome.OVERLOADED, 10.0, log="No answer: TimeoutError: timed out"),
    "503": Reply(Outcome.OVERLOADED, 0.02, 503, "HTTP 503: down"),
    "429 with Retry-After": Reply(Outcome.OVERLOADED, 0.02, 429, "HTTP 429", retry_after_s=300.0),
    "401": Reply(Outcome.OVERLOADED, 0.02, 401, "HTTP 401: who?", denied=True),
}


def out_of_order(reply: Reply, since: float, until: float) -> Answers:
    return lambda now, key, open_calls: (
        reply if since <= now < until else healthy(now, key, open_calls)
    )


@pytest.mark.parametrize(
    ("outage", "minutes"),
    [("refuses", 30), ("hangs", 30), ("503", 30), ("429 with Retry-After", 10), ("401", 10)],
)
def test_an_outage_uses_up_no_attempt_and_no_stampede_follows(
    monkeypatch: pytest.MonkeyPatch, outage: str, minutes: int
) -> None:
    since, until = 30.0, 30.0 + minutes * MINUTE_S
    # Punches come in all the time: two a second, for as long as the outage and ten minutes more.
    rows = {f"r{n}": Row(due_at=n / 2) for n in range(int(2 * (until + 600)))}
    world = World(out_of_order(OUTAGES[outage], since, until), rows)
    integrate_until(world, until + 3_600, monkeypatch)
    assert world.counts() == {Status.INTEGRATED: len(rows)}
    assert {row.attempts for row in rows.values()} == {1}
    during = [at for at, _, _ in world.calls if since + 60 <= at < until]
    # A minute into it, it is asked for a sign of life now and then, by one call at a time or so.
    assert len(during) <= 2 * (until - since)
    after = [(at, outcome) for at, _, outcome in world.calls if at >= until]
    refusals = [at for at, outcome in after if outcome is not DELIVERED]
    assert len(refusals) <= 0.03 * len(after)
    # No more at once than the first leap of the limit, which may have to be made only now.
    most_open = max(most for at, most in world.most_open if at >= until)
    assert most_open <= BY_HAND.first_limit + BY_HAND.leap
    # What waited is delivered after the longest wait that was asked for, and the time for it all.
    longest_s = max(60.0, OUTAGES[outage].retry_after_s or 0.0)
    for number, row in enumerate(rows.values()):
        assert row.settled_at <= max(until, number / 2) + longest_s + 100, number


def delays(answers: Answers, monkeypatch: pytest.MonkeyPatch, poison: str) -> list[float]:
    """Return when each record but one is settled."""
    world = World(answers, {f"r{n}": Row(due_at=0.0) for n in range(1_000)})
    integrate_until(world, 86_400, monkeypatch)
    assert world.counts()[Status.INTEGRATED] >= 999
    return [row.settled_at for key, row in world.rows.items() if key != poison]


@pytest.mark.parametrize(
    ("reply", "most"),
    [
        (Reply(Outcome.FAILED, LATENCY_S, 500, "HTTP 500: crash"), 1.01),
        (Reply(Outcome.REFUSED, LATENCY_S, 422, "HTTP 422: no"), 1.01),
        (Reply(Outcome.FAILED, 0.001, 500, "HTTP 500: at once"), 1.01),
        # One that hangs keeps one of some twenty places, for longer than all others take.
        (Reply(Outcome.OVERLOADED, 10.0, log="No answer: TimeoutError"), 1.03),
    ],
    ids=str,
)
def test_one_poison_record_among_a_thousand_hardly_delays_the_others(
    monkeypatch: pytest.MonkeyPatch, reply: Reply, most: float
) -> None:
    poison = f"r{random.Random(3).randrange(1_000)}"

    def poisoned(now: float, key: str, open_calls: int) -> Reply:
        return reply if key == poison else healthy(now, key, open_calls)

    without = delays(healthy, monkeypatch, poison)
    if reply.outcome is Outcome.OVERLOADED:
        world = World(poisoned, {f"r{n}": Row(due_at=0.0) for n in range(1_000)})
        integrate_until(world, 1_800, monkeypatch)
        # It never is a fault of the record's own, so it is never parked; it only waits.
        assert world.counts() == {Status.INTEGRATED: 999, Status.ERROR: 1}
        with_it = [row.settled_at for key, row in world.rows.items() if key != poison]
    else:
        with_it = delays(poisoned, monkeypatch, poison)
    assert sum(with_it) <= most * sum(without)
    assert max(with_it) <= most * max(without) + 0.25  # seen at the flush after
