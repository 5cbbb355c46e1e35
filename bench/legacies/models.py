"""Models of a legacy in virtual time.

A legacy is a function from the time at which a call reaches it to the response that the client
sees. A call that times out still occupies the legacy until its work is done, as in reality.
"""

import math
import random
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

CALL_TIMEOUT_S = 10.0
NETWORK_S = 0.01
REFUSAL_S = 0.015  # the time in which a legacy refuses a call
# After so many mean latencies and this time, the client frees threads that its connections hold.
CONNECTION_PATIENCE = 2
CONNECTION_MARGIN_S = 0.1


class Response(NamedTuple):
    """What the client sees of a call, ``latency_s`` after it was sent."""

    latency_s: float
    ok: bool = True
    retry_after_s: float | None = None
    is_refusal: bool = False
    """A refusal of the record, such as 422."""


BUSY = Response(NETWORK_S + REFUSAL_S, ok=False)
"""503 at once."""
HANGS = Response(CALL_TIMEOUT_S, ok=False)
"""No response: the client gives up."""
REFUSED = Response(NETWORK_S + REFUSAL_S, ok=False, is_refusal=True)
"""The record is refused at once: 422, or 404 from a gateway whose legacy is away."""

Legacy = Callable[[float], Response]
Spread = Callable[[random.Random], float]
"""Draws a service time as a multiple of the mean service time; its own mean is 1."""


def lognormal(sigma: float) -> Spread:
    """Return log-normal service times."""
    return lambda rng: rng.lognormvariate(-sigma * sigma / 2, sigma)


def exponential(rng: random.Random) -> float:
    """Draw an exponential service time."""
    return rng.expovariate(1.0)


def pareto(alpha: float) -> Spread:
    """Return Pareto service times: a heavy tail, truncated at 60 times the minimum."""
    least = (alpha - 1) / alpha
    return lambda rng: least * min(60.0, (1 - rng.random()) ** (-1 / alpha))


_LOGNORMAL_05 = lognormal(0.5)
_LOGNORMAL_04 = lognormal(0.4)


class WorkerPool:
    """Workers behind a queue: 503 at once when the queue is full, a timeout when it is too long."""

    def __init__(
        self,
        count: int,
        mean_s: float,
        queue: int,
        seed: int | str = 1,
        spread: Spread = _LOGNORMAL_05,
    ) -> None:
        self.mean_s = mean_s
        self._queue = queue
        self._free = [0.0] * count
        self._starts: list[float] = []
        self._rng = random.Random(seed)
        self._spread = spread

    def resize(self, count: int, now: float) -> None:
        """Change the number of workers; those that leave finish their calls."""
        while len(self._free) > count:
            heappop(self._free)
        while len(self._free) < count:
            heappush(self._free, now)

    def __call__(self, now: float) -> Response:
        starts, free = self._starts, self._free
        while starts and starts[0] <= now:
            heappop(starts)
        start = free[0]
        if start > now:
            if len(starts) >= self._queue:
                return BUSY
            heappush(starts, start)
        else:
            start = now
        end = start + self.mean_s * self._spread(self._rng)
        heapreplace(free, end)
        return respond_after(end - now)


def respond_after(took_s: float) -> Response:
    """Respond after a time of queueing and work, or time out."""
    if took_s + NETWORK_S > CALL_TIMEOUT_S:
        return Response(CALL_TIMEOUT_S, ok=False)
    return Response(took_s + NETWORK_S)


class ScheduledPool:
    """A worker pool whose size and speed change.

    ``schedule`` has (time, workers, mean service time in s), in order.
    """

    def __init__(self, pool: WorkerPool, schedule: Sequence[tuple[float, int, float]]) -> None:
        self._pool = pool
        self._schedule = list(reversed(schedule))

    def __call__(self, now: float) -> Response:
        while self._schedule and self._schedule[-1][0] <= now:
            at, count, self._pool.mean_s = self._schedule.pop()
            self._pool.resize(count, at)
        return self._pool(now)


class Thrashing:
    """Never refuses: calls slow each other down, and beyond the knee the throughput falls.

    The Universal Scalability Law (Gunther, 2007) with coherency 1 / knee² and ``contention``.
    """

    def __init__(
        self,
        mean_s: float,
        knee: float,
        contention: float = 0.0,
        seed: int | str = 1,
        spread: Spread = _LOGNORMAL_04,
    ) -> None:
        self._mean_s = mean_s
        self._knee = knee
        self._contention = contention
        self._ends: list[float] = []
        self._rng = random.Random(seed)
        self._spread = spread

    def mean_s(self, others: int) -> float:
        """Return the mean service time of a call beside ``others``."""
        return self._mean_s * (1 + self._contention * others + (others / self._knee) ** 2)

    def __call__(self, now: float) -> Response:
        ends = self._ends
        while ends and ends[0] <= now:
            heappop(ends)
        took_s = self.mean_s(len(ends)) * self._spread(self._rng)
        heappush(ends, now + took_s)
        return respond_after(took_s)


class RateLimited:
    """A token bucket in front of a legacy: 429 with Retry-After when it is empty."""

    def __init__(self, inner: Legacy, rate: float, burst: float, retry_after_s: float) -> None:
        self._inner, self._rate, self._burst = inner, rate, burst
        self._retry_after_s = retry_after_s
        self._tokens, self._filled_at = burst, 0.0

    def __call__(self, now: float) -> Response:
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return Response(2 * NETWORK_S, ok=False, retry_after_s=self._retry_after_s)
        self._tokens -= 1
        return self._inner(now)


def retry_after(seconds: float) -> Response:
    """Return 503 at once with a Retry-After."""
    return BUSY._replace(retry_after_s=seconds)


class WithOutages:
    """A legacy with outages: (since, until, what each call gets meanwhile)."""

    def __init__(self, inner: Legacy, outages: Sequence[tuple[float, float, Response]]) -> None:
        self._inner, self._outages = inner, outages

    def __call__(self, now: float) -> Response:
        for since, until, response in self._outages:
            if since <= now < until:
                return response
        return self._inner(now)


class WithRandomFailures:
    """A legacy that loses a share of its responses after the work, independently of the load."""

    def __init__(
        self,
        inner: Legacy,
        share: float,
        seed: int | str = 1,
        since: float = 0.0,
        until: float = math.inf,
    ) -> None:
        self._inner, self._share = inner, share
        self._since, self._until = since, until
        self._rng = random.Random(seed)

    def __call__(self, now: float) -> Response:
        response = self._inner(now)
        if response.ok and self._since <= now < self._until and self._rng.random() < self._share:
            return response._replace(ok=False)
        return response


class WithRefusedRecords:
    """A legacy that refuses a share of the records at once, before any work."""

    def __init__(self, inner: Legacy, share: float, seed: int | str = 1) -> None:
        self._inner, self._share = inner, share
        self._rng = random.Random(seed)

    def __call__(self, now: float) -> Response:
        return REFUSED if self._rng.random() < self._share else self._inner(now)


class ThreadPerConnection:
    """Threads that are each bound to one open connection.

    The client keeps connections for its next calls, so that a call beyond the threads waits on a
    new connection. After ``CONNECTION_PATIENCE`` the client closes its connections as they are
    answered (``integrator.connection_pool``), and the threads are free for the calls that wait.
    """

    def __init__(
        self, count: int, mean_s: float, seed: int | str = 1, spread: Spread = _LOGNORMAL_05
    ) -> None:
        self._count, self._mean_s = count, mean_s
        self._ends: list[float] = []  # of the calls that have a thread
        self._waiting: list[tuple[float, float]] = []  # when they get a thread, and their work
        self._last_start = 0.0
        self._rng = random.Random(seed)
        self._spread = spread

    def __call__(self, now: float) -> Response:
        took_s = self._mean_s * self._spread(self._rng)
        busy_s = took_s + NETWORK_S  # the next request on a connection comes after the response
        while self._waiting and self._waiting[0][0] <= now:
            start, work_s = heappop(self._waiting)
            self._drop_ended(start)
            if len(self._ends) == self._count:
                start = heappop(self._ends)
            heappush(self._ends, start + work_s)
        self._drop_ended(now)
        if len(self._ends) < self._count:
            heappush(self._ends, now + busy_s)
            return respond_after(took_s)
        noticed = now + CONNECTION_PATIENCE * self._mean_s + CONNECTION_MARGIN_S
        start = max(noticed, self._last_start + (self._mean_s + NETWORK_S) / self._count)
        self._last_start = start
        heappush(self._waiting, (start, busy_s))
        return respond_after(start - now + took_s)

    def _drop_ended(self, now: float) -> None:
        while self._ends and self._ends[0] <= now:
            heappop(self._ends)
