"""A client with an endless queue of records, in virtual time."""

from dataclasses import dataclass, field
from heapq import heappop, heappush

from bench.legacies.models import Legacy, Response
from chalicelib.integrator.limiter.protocol import Limiter

# As in ``integrator.liveness``: a refusal after more results without a delivery is a failure.
HEALTHY_REFUSALS = 10


class Clock:
    """Virtual time, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Trace:
    """What a client has seen."""

    ok_at: list[float] = field(default_factory=list)
    """When each successful call ended."""
    failed_at: list[float] = field(default_factory=list)
    """When each failed call ended; a refusal fails if the legacy delivers nothing."""
    latencies_s: list[float] = field(default_factory=list)
    """The latency of each successful call."""
    limits: list[tuple[float, float]] = field(default_factory=list)
    """After each call: the time and the limit."""

    def delivered(self, since: float, until: float) -> int:
        """Count the calls that succeeded in a period."""
        return sum(since <= at < until for at in self.ok_at)

    def failed(self, since: float, until: float) -> int:
        """Count the calls that failed in a period."""
        return sum(since <= at < until for at in self.failed_at)


def simulate(legacy: Legacy, limiter: Limiter, clock: Clock, until: float) -> Trace:
    """Send as many calls as the limiter allows, until ``until``; drop the calls then in flight."""
    trace = Trace()
    calls: list[tuple[float, int, float, int, Response]] = []
    number = since_delivery = 0
    limit = limiter.limit
    while clock.now < until:
        while (is_free := len(calls) < max(1, int(limit))) and limiter.not_before <= clock.now:
            limiter.on_start()
            response = legacy(clock.now)
            number += 1
            end = clock.now + response.latency_s
            heappush(calls, (end, number, clock.now, len(calls) + 1, response))
            limit = limiter.limit
        if is_free and (not calls or limiter.not_before < calls[0][0]):
            clock.now = limiter.not_before
            limit = limiter.limit
            continue
        clock.now, _, sent_at, in_flight, response = heappop(calls)
        since_delivery += 1
        if response.is_refusal and trace.ok_at and since_delivery <= HEALTHY_REFUSALS:
            limiter.on_refused(clock.now - sent_at, in_flight)
            limit = limiter.limit
            continue
        if response.ok:
            since_delivery = 0
            trace.ok_at.append(clock.now)
            trace.latencies_s.append(response.latency_s)
        else:
            trace.failed_at.append(clock.now)
            if response.retry_after_s is not None:
                limiter.on_retry_after(response.retry_after_s)
        limiter.on_result(response.ok, clock.now - sent_at, in_flight)
        limit = limiter.limit
        trace.limits.append((clock.now, limit))
    return trace
