"""What the families of legacies have in common: the scenario, and draws of its numbers.

A scenario knows the best limit at each time, which a clairvoyant operator sets. A scenario has
only some thousands of calls, so that a search can afford many of them.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.legacies.models import (
    NETWORK_S,
    Legacy,
    ScheduledPool,
    Spread,
    WorkerPool,
    exponential,
    lognormal,
)

CALLS = 5_000
"""Approximate calls of a scenario."""
_LONGEST_S = 200.0

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


class Draw(random.Random):
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


def duration(rate: float, least: float = 25.0) -> float:
    """Return the seconds for some thousands of calls."""
    return min(_LONGEST_S, max(least, CALLS / rate))


def pool_limit(count: int, mean_s: float, queue: int) -> float:
    """Return the limit that keeps all workers busy: calls in the network and a short queue."""
    return math.ceil(count * (1 + NETWORK_S / mean_s) + min(queue, max(1.0, 0.15 * count)))


def worker_pool(
    name: str, count: int, mean_s: float, queue: int, spread: Spread, duration_s: float = 0.0
) -> Scenario:
    """Return a pool of workers behind a queue."""
    best = pool_limit(count, mean_s, queue)
    return Scenario(
        name,
        duration_s or duration(count / mean_s, 25.0 + 10 * mean_s),
        lambda: WorkerPool(count, mean_s, queue, name, spread),
        lambda _: best,
    )


def scheduled_pool(
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
