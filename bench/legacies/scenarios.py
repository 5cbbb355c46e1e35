"""Families of legacies; ``draw`` makes a member from a key, always the same one from the same key.

A scenario knows the best limit at each time, which a clairvoyant operator sets. A scenario has
only some thousands of calls, so that a search can afford many of them. The names of the families
seed the draws: a renamed family has other members.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.legacies.models import (
    NETWORK_S,
    Legacy,
    RateLimited,
    ScheduledPool,
    Spread,
    Thrashing,
    WithOutages,
    WithRandomFailures,
    WorkerPool,
    exponential,
    lognormal,
    pareto,
)

CALLS = 5_000
"""Approximate calls of a scenario."""

Schedule = list[tuple[float, int, float]]
"""Time, workers and mean service time in s."""


@dataclass(frozen=True)
class Scenario:
    """A legacy, and what the operator knows about it."""

    name: str
    duration_s: float
    build: Callable[[], Legacy]
    best_limit: Callable[[float], float]
    """From a time to the best limit."""
    outage_until: Callable[[float], float] = lambda _: 0.0
    """From a time to the end of the outage; 0 outside outages."""
    rate: float = 0.0
    """Calls per second; 0: no rate limit."""
    burst: float = 0.0


def draw(family: str, key: str) -> Scenario:
    """Draw a member of one of ``FAMILIES``."""
    name = f"{family}/{key}"
    return FAMILIES[family](name, _Draw(name))


class _Draw(random.Random):
    """Random numbers in the ranges of scenarios."""

    def log(self, low: float, high: float) -> float:
        """Draw a number whose logarithm is uniform."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def pool(
        self, least: int = 4, most: int = 100, slowest_s: float = 1.0, fastest: float = 400.0
    ) -> tuple[int, float]:
        """Draw workers and a mean service time, for 3 to ``fastest`` calls per second."""
        while True:
            count, mean_s = round(self.log(least, most)), self.log(0.05, slowest_s)
            if 3 <= count / mean_s <= fastest:
                return count, mean_s

    def spread(self) -> Spread:
        return exponential if self.random() < 0.25 else lognormal(self.uniform(0.2, 0.8))

    def queue(self, count: int) -> int:
        return max(2, round(count * self.uniform(0.25, 2.0)))


def _duration_s(rate: float, least: float = 25.0, most: float = 200.0) -> float:
    return min(most, max(least, CALLS / rate))


def pool_limit(count: int, mean_s: float, queue: int) -> float:
    """Return the limit that keeps all workers busy: calls in the network and a short queue."""
    return math.ceil(count * (1 + NETWORK_S / mean_s) + min(queue, max(1.0, 0.15 * count)))


def _pool(
    name: str, count: int, mean_s: float, queue: int, spread: Spread, duration_s: float = 0.0
) -> Scenario:
    best = pool_limit(count, mean_s, queue)
    return Scenario(
        name,
        duration_s or _duration_s(count / mean_s, 25.0 + 10 * mean_s),
        lambda: WorkerPool(count, mean_s, queue, name, spread),
        lambda _: best,
    )


def _workers(name: str, draw: _Draw) -> Scenario:
    """A worker pool with a short queue; 503 when the queue is full."""
    count, mean_s = draw.pool()
    return _pool(name, count, mean_s, draw.queue(count), draw.spread())


def _many(name: str, draw: _Draw) -> Scenario:
    """Hundreds of workers, for a cold start at a high capacity."""
    count = round(draw.log(120, 400))
    queue = round(count * draw.uniform(0.15, 0.6))
    spread = lognormal(draw.uniform(0.2, 0.5))
    return _pool(name, count, draw.log(0.1, 0.3), queue, spread, duration_s=12.0)


def _silent(name: str, draw: _Draw) -> Scenario:
    """Slow work behind a deep queue: no call is refused, but calls time out."""
    count, mean_s = round(draw.log(4, 30)), draw.uniform(0.8, 3.0)
    queue = round(count * draw.uniform(5, 25))
    return _pool(
        name, count, mean_s, queue, lognormal(draw.uniform(0.2, 0.6)), duration_s=120 + 60 * mean_s
    )


def _heavy(name: str, draw: _Draw) -> Scenario:
    """Heavy-tailed service times."""
    count, mean_s = draw.pool(slowest_s=0.5)
    spread = pareto(draw.uniform(1.45, 1.9)) if draw.random() < 0.5 else lognormal(1.3)
    return _pool(name, count, mean_s, max(count, draw.queue(count)), spread)


def _noisy(name: str, draw: _Draw) -> Scenario:
    """0.5 to 5 % of failures that do not depend on load."""
    inner, share = _workers(name, draw), draw.uniform(0.005, 0.05)
    return Scenario(
        name,
        inner.duration_s,
        lambda: WithRandomFailures(inner.build(), share, name),
        inner.best_limit,
    )


def _thrashing(name: str, draw: _Draw) -> Scenario:
    """Throughput falls beyond the knee, and no call is refused."""
    knee, mean_s, contention = draw.log(6, 80), draw.log(0.03, 0.4), draw.uniform(0.0, 0.03)
    spread = lognormal(draw.uniform(0.2, 0.6))

    def build() -> Thrashing:
        return Thrashing(mean_s, knee, contention, name, spread)

    def rate(open_calls: int) -> float:
        return open_calls / (NETWORK_S + build().mean_s(open_calls - 1))

    best = max(range(1, 400), key=rate)
    return Scenario(name, _duration_s(rate(best)), build, lambda _: best)


def _rated(name: str, draw: _Draw) -> Scenario:
    """A rate limit: 429 with Retry-After beyond it."""
    rate, mean_s = draw.log(8, 150), draw.log(0.03, 0.4)
    burst = round(rate * draw.log(0.3, 2.0)) + 1
    pause_s = float(draw.choice([1, 1, 2, 5]))
    spread = lognormal(draw.uniform(0.2, 0.5))

    def build() -> Legacy:
        inner = WorkerPool(max(8, int(rate * mean_s * 8)), mean_s, 400, name, spread)
        return RateLimited(inner, rate, burst, pause_s)

    best = 1 + 3 * rate * (mean_s + NETWORK_S)
    return Scenario(
        name, _duration_s(rate, 60.0), build, lambda _: best, rate=rate, burst=float(burst)
    )


def _scheduled(
    name: str, schedule: Schedule, queue: int, spread: Spread, duration_s: float
) -> Scenario:
    """Return a worker pool that changes by a schedule, whose first entry is at 0."""

    def best(now: float) -> float:
        _, count, mean_s = [entry for entry in schedule if entry[0] <= now][-1]
        return pool_limit(count, mean_s, queue)

    return Scenario(
        name,
        duration_s,
        lambda: ScheduledPool(WorkerPool(*schedule[0][1:], queue, name, spread), schedule[1:]),
        best,
    )


def _stepping(name: str, draw: _Draw) -> Scenario:
    """Capacity steps up or down three- to fivefold for a while."""
    count, mean_s = draw.pool(most=30, slowest_s=0.6, fastest=80)
    factor = draw.choice([3, 4, 5])
    counts = draw.choice([(1, factor, 1), (factor, 1, factor)])
    schedule = [(30.0 * n, count * each, mean_s) for n, each in enumerate(counts)]
    return _scheduled(name, schedule, draw.queue(count), draw.spread(), 90.0)


def _slower(name: str, draw: _Draw) -> Scenario:
    """The work itself takes two to five times as long for a while; the best limit is unchanged."""
    count, mean_s = draw.pool(slowest_s=0.5, fastest=150)
    schedule = [
        (0.0, count, mean_s),
        (30.0, count, mean_s * draw.uniform(2, 5)),
        (60.0, count, mean_s),
    ]
    return _scheduled(name, schedule, draw.queue(count), draw.spread(), 90.0)


def _shared(name: str, draw: _Draw) -> Scenario:
    """Other clients take a share of the workers, which changes abruptly."""
    count, mean_s = draw.pool(least=12, slowest_s=0.5, fastest=150)
    low, high, stay_s = draw.uniform(0, 0.3), draw.uniform(0.5, 0.85), draw.log(6, 40)
    schedule: Schedule = []
    at = 0.0
    while at < 100.0:
        schedule.append((at, max(1, round(count * (1 - draw.uniform(low, high)))), mean_s))
        at += max(2.0, draw.expovariate(1 / stay_s))
    return _scheduled(name, schedule, draw.queue(count), draw.spread(), 100.0)


def _drifting(name: str, draw: _Draw) -> Scenario:
    """Capacity and speed drift, a little each second."""
    count, mean_s = draw.pool(least=10, slowest_s=0.5, fastest=150)
    depth, slows = draw.uniform(0.2, 0.6), draw.uniform(0.0, 0.5)
    turn_s, phase = draw.log(30, 120), draw.uniform(0, math.tau)
    schedule: Schedule = []
    for second in range(90):
        wave = 0.5 + 0.5 * math.sin(math.tau * second / turn_s + phase)
        workers = max(1, round(count * (1 - depth * wave)))
        schedule.append((float(second), workers, mean_s * (1 + slows * wave)))
    return _scheduled(name, schedule, draw.queue(count), draw.spread(), 90.0)


def _failing(name: str, draw: _Draw) -> Scenario:
    """Two outages; in each, calls are refused at once or hang."""
    count, mean_s = draw.pool(slowest_s=0.6, fastest=120)
    first, second = draw.uniform(15, 35), draw.uniform(75, 90)
    outages = [
        (since, since + draw.uniform(10, 30), draw.random() < 0.4) for since in (first, second)
    ]
    inner = _pool(name, count, mean_s, draw.queue(count), draw.spread(), duration_s=140.0)
    return Scenario(
        name,
        inner.duration_s,
        lambda: WithOutages(inner.build(), outages),
        inner.best_limit,
        lambda now: max(
            [until for since, until, _ in outages if since <= now < until], default=0.0
        ),
    )


FAMILIES: dict[str, Callable[[str, _Draw], Scenario]] = {
    "workers": _workers,
    "thrashing": _thrashing,
    "rated": _rated,
    "stepping": _stepping,
    "failing": _failing,
    "noisy": _noisy,
    "silent": _silent,
    "many": _many,
    "heavy": _heavy,
    "shared": _shared,
    "slower": _slower,
    "drifting": _drifting,
}
