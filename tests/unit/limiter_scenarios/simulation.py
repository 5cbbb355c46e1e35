"""Simulated legacies and a client with an endless queue, in virtual time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace

from chalicelib.integrator.limiter import Limiter

CALL_TIMEOUT_S = 10.0
NETWORK_S = 0.01


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    latency_s: float
    ok: bool = True
    retry_after_s: float | None = None


Legacy = Callable[[float], Answer]


class Workers:
    """Workers behind a queue; 503 at once when it is full, silence when it is too long."""

    def __init__(self, count: int, mean_s: float, queue: int, seed: int = 1) -> None:
        self.mean_s = mean_s
        self._queue = queue
        self._free = [0.0] * count
        self._starts: list[float] = []
        self._chance = random.Random(seed)

    def resize(self, count: int, now: float) -> None:
        while len(self._free) > count:
            heappop(self._free)
        while len(self._free) < count:
            heappush(self._free, now)

    def __call__(self, now: float) -> Answer:
        while self._starts and self._starts[0] <= now:
            heappop(self._starts)
        start = max(now, self._free[0])
        if start > now:
            if len(self._starts) >= self._queue:
                return Answer(NETWORK_S + 0.015, ok=False)
            heappush(self._starts, start)
        end = start + self.mean_s * self._chance.lognormvariate(-0.125, 0.5)
        heapreplace(self._free, end)
        latency_s = NETWORK_S + end - now
        return (
            Answer(latency_s) if latency_s <= CALL_TIMEOUT_S else Answer(CALL_TIMEOUT_S, ok=False)
        )


class Thrashing:
    """Never says no: a call takes longer the more are open, and past the knee less gets done."""

    def __init__(self, mean_s: float, knee: int) -> None:
        self._mean_s = mean_s
        self._knee = knee
        self._ends: list[float] = []
        self._chance = random.Random(1)

    def __call__(self, now: float) -> Answer:
        while self._ends and self._ends[0] <= now:
            heappop(self._ends)
        slower = 1 + (len(self._ends) / self._knee) ** 2
        took_s = self._mean_s * slower * self._chance.lognormvariate(-0.08, 0.4)
        heappush(self._ends, now + took_s)
        return Answer(NETWORK_S + took_s)


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


@dataclass
class Result:
    ok_at: list[float] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    limits: list[tuple[float, float]] = field(default_factory=list)

    def delivered(self, since: float, until: float) -> int:
        return sum(since <= at < until for at in self.ok_at)

    def failed(self, since: float, until: float) -> int:
        return sum(since <= at < until for at in self.failed_at)


def drive(legacy: Legacy, limiter: Limiter, clock: Clock, until: float) -> Result:
    """Send whatever the limiter allows until ``until``; calls open then are left alone."""
    result = Result()
    calls: list[tuple[float, int, float, int, Answer]] = []
    number = 0
    while clock.now < until:
        while len(calls) < max(1, int(limiter.limit)) and limiter.not_before <= clock.now:
            limiter.on_start()
            answer = legacy(clock.now)
            number += 1
            end = clock.now + answer.latency_s
            heappush(calls, (end, number, clock.now, len(calls) + 1, answer))
        held = len(calls) < max(1, int(limiter.limit))
        if held and (not calls or limiter.not_before < calls[0][0]):
            clock.now = limiter.not_before
            continue
        clock.now, _, started, inflight, answer = heappop(calls)
        (result.ok_at if answer.ok else result.failed_at).append(clock.now)
        if answer.retry_after_s is not None:
            limiter.on_retry_after(answer.retry_after_s)
        limiter.on_result(answer.ok, clock.now - started, not answer.ok, inflight)
        result.limits.append((clock.now, limiter.limit))
    return result
