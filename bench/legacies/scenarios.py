"""Families of legacies. ``draw`` makes a member of one from a key: the same key, the same legacy.

A scenario knows its own answer: what an operator who can see the future would set. Scenarios are
kept to some thousands of calls, so that a search can afford many of them.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.legacies.models import (
    NETWORK_S,
    Changing,
    Failing,
    Legacy,
    Noisy,
    Rated,
    Spread,
    Thrashing,
    Workers,
    exponential,
    lognormal,
    pareto,
)

CALLS = 5_000
"""About how many calls a scenario takes."""

Plan = list[tuple[float, int, float]]


@dataclass(frozen=True)
class Scenario:
    """A legacy and what the operator knows of it. Rates are calls a second; 0 is no rate."""

    name: str
    duration_s: float
    build: Callable[[], Legacy]
    best: Callable[[float], float]  # the best limit at an instant
    closed_until: Callable[[float], float] = lambda _: 0.0
    rate: float = 0.0
    burst: float = 0.0


def draw(family: str, key: str) -> Scenario:
    """Draw a member of a family of FAMILIES."""
    name = f"{family}/{key}"
    return FAMILIES[family](name, _Draw(name))


class _Draw(random.Random):
    """Random numbers of the ranges that scenarios are drawn from."""

    def log(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def pool(
        self, least: int = 4, most: int = 100, slowest_s: float = 1.0, fastest: float = 400.0
    ) -> tuple[int, float]:
        """Draw workers and their mean seconds a call, of 3 to ``fastest`` calls a second."""
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


def best_limit(count: int, mean_s: float, queue: int) -> float:
    """Return the limit that keeps all workers busy: the network's share and a short queue more."""
    return math.ceil(count * (1 + NETWORK_S / mean_s) + min(queue, max(1.0, 0.15 * count)))


def _pool(
    name: str, count: int, mean_s: float, queue: int, spread: Spread, duration_s: float = 0.0
) -> Scenario:
    best = best_limit(count, mean_s, queue)
    return Scenario(
        name,
        duration_s or _duration_s(count / mean_s, 25.0 + 10 * mean_s),
        lambda: Workers(count, mean_s, queue, name, spread),
        lambda _: best,
    )


def _workers(name: str, draw: _Draw) -> Scenario:
    """A pool and a short queue, 503 when that is full."""
    count, mean_s = draw.pool()
    return _pool(name, count, mean_s, draw.queue(count), draw.spread())


def _many(name: str, draw: _Draw) -> Scenario:
    """Hundreds of workers."""
    count = round(draw.log(120, 400))
    queue = round(count * draw.uniform(0.15, 0.6))
    spread = lognormal(draw.uniform(0.2, 0.5))
    return _pool(name, count, draw.log(0.1, 0.3), queue, spread, duration_s=12.0)


def _silent(name: str, draw: _Draw) -> Scenario:
    """Slow work behind a queue so deep that nothing is refused: calls time out instead."""
    count, mean_s = round(draw.log(4, 30)), draw.uniform(0.8, 3.0)
    queue = round(count * draw.uniform(5, 25))
    return _pool(
        name, count, mean_s, queue, lognormal(draw.uniform(0.2, 0.6)), duration_s=120 + 60 * mean_s
    )


def _heavy(name: str, draw: _Draw) -> Scenario:
    """Some calls take very much longer than most."""
    count, mean_s = draw.pool(slowest_s=0.5)
    spread = pareto(draw.uniform(1.45, 1.9)) if draw.random() < 0.5 else lognormal(1.3)
    return _pool(name, count, mean_s, max(count, draw.queue(count)), spread)


def _noisy(name: str, draw: _Draw) -> Scenario:
    """Half a percent to five percent of failures that have nothing to do with load."""
    inner, share = _workers(name, draw), draw.uniform(0.005, 0.05)
    return Scenario(name, inner.duration_s, lambda: Noisy(inner.build(), share, name), inner.best)


def _thrashing(name: str, draw: _Draw) -> Scenario:
    """Goodput falls past the knee, and nothing is refused."""
    knee, mean_s, contention = draw.log(6, 80), draw.log(0.03, 0.4), draw.uniform(0.0, 0.03)
    spread = lognormal(draw.uniform(0.2, 0.6))

    def build() -> Thrashing:
        return Thrashing(mean_s, knee, contention, name, spread)

    def rate(open_calls: int) -> float:
        return open_calls / (NETWORK_S + build().mean_s(open_calls - 1))

    best = max(range(1, 400), key=rate)
    return Scenario(name, _duration_s(rate(best)), build, lambda _: best)


def _rated(name: str, draw: _Draw) -> Scenario:
    """So many calls a second; 429 with Retry-After beyond."""
    rate, mean_s = draw.log(8, 150), draw.log(0.03, 0.4)
    burst = round(rate * draw.log(0.3, 2.0)) + 1
    pause_s = float(draw.choice([1, 1, 2, 5]))
    spread = lognormal(draw.uniform(0.2, 0.5))

    def build() -> Legacy:
        inner = Workers(max(8, int(rate * mean_s * 8)), mean_s, 400, name, spread)
        return Rated(inner, rate, burst, pause_s)

    best = 1 + 3 * rate * (mean_s + NETWORK_S)
    return Scenario(
        name, _duration_s(rate, 60.0), build, lambda _: best, rate=rate, burst=float(burst)
    )


def _planned(name: str, plan: Plan, queue: int, spread: Spread, duration_s: float) -> Scenario:
    """Return workers that change as ``plan`` says, whose first entry is at 0."""

    def best(now: float) -> float:
        _, count, mean_s = [entry for entry in plan if entry[0] <= now][-1]
        return best_limit(count, mean_s, queue)

    return Scenario(
        name,
        duration_s,
        lambda: Changing(Workers(*plan[0][1:], queue, name, spread), plan[1:]),
        best,
    )


def _stepping(name: str, draw: _Draw) -> Scenario:
    """Capacity is three to five times as large for a while, or as small."""
    count, mean_s = draw.pool(most=30, slowest_s=0.6, fastest=80)
    factor = draw.choice([3, 4, 5])
    counts = draw.choice([(1, factor, 1), (factor, 1, factor)])
    plan = [(30.0 * n, count * each, mean_s) for n, each in enumerate(counts)]
    return _planned(name, plan, draw.queue(count), draw.spread(), 90.0)


def _slower(name: str, draw: _Draw) -> Scenario:
    """The work itself takes two to five times as long for a while; the best limit stays."""
    count, mean_s = draw.pool(slowest_s=0.5, fastest=150)
    plan = [(0.0, count, mean_s), (30.0, count, mean_s * draw.uniform(2, 5)), (60.0, count, mean_s)]
    return _planned(name, plan, draw.queue(count), draw.spread(), 90.0)


def _shared(name: str, draw: _Draw) -> Scenario:
    """Others take a share of the workers, which changes all of a sudden."""
    count, mean_s = draw.pool(least=12, slowest_s=0.5, fastest=150)
    low, high, stay_s = draw.uniform(0, 0.3), draw.uniform(0.5, 0.85), draw.log(6, 40)
    plan: Plan = []
    at = 0.0
    while at < 100.0:
        plan.append((at, max(1, round(count * (1 - draw.uniform(low, high)))), mean_s))
        at += max(2.0, draw.expovariate(1 / stay_s))
    return _planned(name, plan, draw.queue(count), draw.spread(), 100.0)


def _drifting(name: str, draw: _Draw) -> Scenario:
    """Capacity and speed wander, a little each second."""
    count, mean_s = draw.pool(least=10, slowest_s=0.5, fastest=150)
    depth, slows = draw.uniform(0.2, 0.6), draw.uniform(0.0, 0.5)
    turn_s, phase = draw.log(30, 120), draw.uniform(0, math.tau)
    plan: Plan = []
    for second in range(90):
        wave = 0.5 + 0.5 * math.sin(math.tau * second / turn_s + phase)
        workers = max(1, round(count * (1 - depth * wave)))
        plan.append((float(second), workers, mean_s * (1 + slows * wave)))
    return _planned(name, plan, draw.queue(count), draw.spread(), 90.0)


def _failing(name: str, draw: _Draw) -> Scenario:
    """Two outages, each of refusals or of silence."""
    count, mean_s = draw.pool(slowest_s=0.6, fastest=120)
    first, second = draw.uniform(15, 35), draw.uniform(75, 90)
    outages = [
        (since, since + draw.uniform(10, 30), draw.random() < 0.4) for since in (first, second)
    ]
    inner = _pool(name, count, mean_s, draw.queue(count), draw.spread(), duration_s=140.0)
    return Scenario(
        name,
        inner.duration_s,
        lambda: Failing(inner.build(), outages),
        inner.best,
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
