"""A client with an endless queue of records, in virtual time."""

from dataclasses import dataclass, field
from heapq import heappop, heappush

from bench.legacies.models import Answer, Legacy
from chalicelib.integrator.limiter.protocol import Limiter


class Clock:
    """Virtual time, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Result:
    """When calls ended and how, what the good ones took, and the limit after each."""

    ok_at: list[float] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
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
    limit = limiter.limit
    while clock.now < until:
        while (held := len(calls) < max(1, int(limit))) and limiter.not_before <= clock.now:
            limiter.on_start()
            answer = legacy(clock.now)
            number += 1
            end = clock.now + answer.latency_s
            heappush(calls, (end, number, clock.now, len(calls) + 1, answer))
            limit = limiter.limit
        if held and (not calls or limiter.not_before < calls[0][0]):
            clock.now = limiter.not_before
            limit = limiter.limit
            continue
        clock.now, _, started, inflight, answer = heappop(calls)
        if answer.ok:
            result.ok_at.append(clock.now)
            result.latencies_s.append(answer.latency_s)
        else:
            result.failed_at.append(clock.now)
            if answer.retry_after_s is not None:
                limiter.on_retry_after(answer.retry_after_s)
        limiter.on_result(answer.ok, clock.now - started, inflight)
        limit = limiter.limit
        result.limits.append((clock.now, limit))
    return result
