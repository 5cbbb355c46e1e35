"""Models of a legacy, in virtual time: called with the instant at which a call reaches it, each
answers what the caller will see of it, and when.

A call that the caller gives up still occupies the legacy until its work is done, as in life.
"""

import random
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

CALL_TIMEOUT_S = 10.0
NETWORK_S = 0.01
REFUSED_S = 0.015  # what a legacy takes to say no


class Answer(NamedTuple):
    """The end of a call, ``latency_s`` after its start."""

    latency_s: float
    ok: bool = True
    retry_after_s: float | None = None


Legacy = Callable[[float], Answer]
Spread = Callable[[random.Random], float]
"""Draws how much longer or shorter than the mean a call works; 1 in the mean."""


def lognormal(sigma: float) -> Spread:
    return lambda chance: chance.lognormvariate(-sigma * sigma / 2, sigma)


def exponential(chance: random.Random) -> float:
    return chance.expovariate(1.0)


def pareto(alpha: float) -> Spread:
    """Return a spread with a heavy tail; beyond 60 times its least value it is cut off."""
    least = (alpha - 1) / alpha
    return lambda chance: least * min(60.0, (1 - chance.random()) ** (-1 / alpha))


_HALF = lognormal(0.5)
_CLOSE = lognormal(0.4)


class Workers:
    """Workers behind a queue; 503 at once when it is full, silence when it is too long."""

    def __init__(
        self,
        count: int,
        mean_s: float,
        queue: int,
        seed: int | str = 1,
        spread: Spread = _HALF,
    ) -> None:
        self.mean_s = mean_s
        self._queue = queue
        self._free = [0.0] * count
        self._starts: list[float] = []
        self._chance = random.Random(seed)
        self._spread = spread

    def resize(self, count: int, now: float) -> None:
        """Change the number of workers; the calls of those that leave are still answered."""
        while len(self._free) > count:
            heappop(self._free)
        while len(self._free) < count:
            heappush(self._free, now)

    def __call__(self, now: float) -> Answer:
        starts, free = self._starts, self._free
        while starts and starts[0] <= now:
            heappop(starts)
        start = free[0]
        if start > now:
            if len(starts) >= self._queue:
                return Answer(NETWORK_S + REFUSED_S, ok=False)
            heappush(starts, start)
        else:
            start = now
        end = start + self.mean_s * self._spread(self._chance)
        heapreplace(free, end)
        return answer(end - now)


def answer(took_s: float) -> Answer:
    """Answer after so much work and waiting, or not within the caller's patience."""
    if took_s + NETWORK_S > CALL_TIMEOUT_S:
        return Answer(CALL_TIMEOUT_S, ok=False)
    return Answer(took_s + NETWORK_S)


class Changing:
    """Workers whose number and speed change: ``plan`` has (instant, count, mean_s), in order."""

    def __init__(self, workers: Workers, plan: Sequence[tuple[float, int, float]]) -> None:
        self._workers = workers
        self._plan = list(reversed(plan))

    def __call__(self, now: float) -> Answer:
        while self._plan and self._plan[-1][0] <= now:
            at, count, self._workers.mean_s = self._plan.pop()
            self._workers.resize(count, at)
        return self._workers(now)


class Thrashing:
    """Never says no: a call takes longer the more are open, and past the knee less gets done.

    The Universal Scalability Law (Gunther, 2007) with coherency 1 / knee² and ``contention``.
    """

    def __init__(
        self,
        mean_s: float,
        knee: float,
        contention: float = 0.0,
        seed: int | str = 1,
        spread: Spread = _CLOSE,
    ) -> None:
        self._mean_s = mean_s
        self._knee = knee
        self._contention = contention
        self._ends: list[float] = []
        self._chance = random.Random(seed)
        self._spread = spread

    def mean_s(self, others: int) -> float:
        """Return how long a call works beside so many others, in the mean."""
        return self._mean_s * (1 + self._contention * others + (others / self._knee) ** 2)

    def __call__(self, now: float) -> Answer:
        ends = self._ends
        while ends and ends[0] <= now:
            heappop(ends)
        took_s = self.mean_s(len(ends)) * self._spread(self._chance)
        heappush(ends, now + took_s)
        return answer(took_s)


class Rated:
    """A bucket of tokens in front of a legacy; 429 with Retry-After when it is empty."""

    def __init__(self, inner: Legacy, rate: float, burst: float, retry_after_s: float) -> None:
        self._inner, self._rate, self._burst = inner, rate, burst
        self._retry_after_s = retry_after_s
        self._tokens, self._at = burst, 0.0

    def __call__(self, now: float) -> Answer:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return Answer(2 * NETWORK_S, ok=False, retry_after_s=self._retry_after_s)
        self._tokens -= 1
        return self._inner(now)


class Failing:
    """Outages: (from, until, silent); all fails, by a refusal at once or by silence."""

    def __init__(self, inner: Legacy, outages: Sequence[tuple[float, float, bool]]) -> None:
        self._inner, self._outages = inner, outages

    def __call__(self, now: float) -> Answer:
        for since, until, silent in self._outages:
            if since <= now < until:
                return Answer(CALL_TIMEOUT_S if silent else NETWORK_S + REFUSED_S, ok=False)
        return self._inner(now)


class Noisy:
    """A share of the answers is lost whatever the load, after the work was done."""

    def __init__(self, inner: Legacy, share: float, seed: int | str = 1) -> None:
        self._inner, self._share = inner, share
        self._chance = random.Random(seed)

    def __call__(self, now: float) -> Answer:
        given = self._inner(now)
        if given.ok and self._chance.random() < self._share:
            return given._replace(ok=False)
        return given
