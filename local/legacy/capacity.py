"""Decide how fast the simulated legacy is: its workers, the time of their work, its rate limit.

Invariant: the capacity is as set, even if the event loop wakes late. A queued call starts at the
instant at which its worker was due to finish, not when the event loop noticed.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from random import Random

from local.legacy.settings import LegacySettings, RateLimit


def work_s(settings: LegacySettings, working: int, random: Random) -> float:
    """Draw the duration of the work on a call, in seconds, with ``working`` calls worked on."""
    work = settings.latency_ms / 1000
    if settings.distribution == "exponential":
        work *= random.expovariate(math.log(2))
    elif settings.distribution == "lognormal":
        work *= random.lognormvariate(0, settings.sigma)
    elif settings.distribution == "pareto":
        work *= random.paretovariate(settings.pareto_alpha) / 2 ** (1 / settings.pareto_alpha)
    if settings.collapse:
        alpha, beta = settings.collapse.alpha, settings.collapse.beta
        work *= 1 + alpha * (working - 1) + beta * working * (working - 1)
    return min(work, settings.latency_max_ms / 1000)


class Workers:
    """Workers with a bounded first-in, first-out queue.

    Started or queued work is completed even if its client has disconnected, as in real systems.
    """

    def __init__(self, settings: LegacySettings, random: Random) -> None:
        self.settings = settings
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._working = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def begin(self, finish: Callable[[], None]) -> bool:
        """Start or queue the work on a call; return False if the queue is full.

        ``finish`` is called when the work is done.
        """
        if self._working < self.settings.workers:
            self._work(self._loop.time(), finish)
            return True
        if len(self._waiting) < self.settings.queue:
            self._waiting.append(finish)
            return True
        return False

    def change(self, settings: LegacySettings) -> None:
        """Apply other settings; work that has started keeps its duration."""
        self.settings = settings
        self._take_waiting(self._loop.time())

    def _work(self, start: float, finish: Callable[[], None]) -> None:
        self._working += 1
        end = start + work_s(self.settings, self._working, self._random)
        self._loop.call_at(end, self._end, end, finish)

    def _end(self, end: float, finish: Callable[[], None]) -> None:
        self._working -= 1
        finish()
        self._take_waiting(end)

    def _take_waiting(self, start: float) -> None:
        while self._waiting and self._working < self.settings.workers:
            self._work(start, self._waiting.popleft())


class TokenBucket:
    """Admits ``per_s`` calls per second, and up to ``burst`` at once after a pause."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._refilled_at = now

    def take(self, now: float) -> bool:
        """Take a token and return True; return False if there is none."""
        refill = (now - self._refilled_at) * self._limit.per_s
        self._tokens = min(self._limit.burst, self._tokens + refill)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
