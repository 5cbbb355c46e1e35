"""The adaptive limit: how many calls the legacy bears, found from latency, failures and refusals.

Three questions are kept apart: does one more call buy throughput (``knee``), are failures load,
noise or an outage (``failures``), and does the legacy count calls per second (``pacer``).
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush

from chalicelib.integrator.limiter.failure_detector import Failures
from chalicelib.integrator.limiter.gradient import Knee
from chalicelib.integrator.limiter.parameters import LONGEST_S, SHORTEST_S, Learned, Parameters
from chalicelib.integrator.limiter.rate_estimator import Pacer

_LONGEST_WAIT_S = 60.0
_ROUNDING_S = 1e-6  # no call seems sent before the instant it was sent at


class Adaptive:
    """The limit that learns. Made for one run; ``snapshot`` carries it to the next."""

    def __init__(self, clock: Callable[[], float], *, most: float, parameters: Parameters) -> None:
        self._clock, self._most, self._p = clock, most, parameters
        self.restore(None)

    def restore(self, state: object) -> None:
        """Take up a snapshot; from anything else, start afresh."""
        p, now = self._p, self._clock()
        learned = Learned.restore(state) or Learned(p.first_limit, background=p.background)
        learned.limit = min(self._most, learned.limit)
        self._learned = learned
        self._knee = Knee(p, learned, self._most, now)
        self._failures = Failures(p, learned)
        self._pacer = Pacer(p, learned, now + learned.silent_s)
        self._open = self.recent_failures = 0
        self._asked_s: float | None = None
        self._held_until: list[float] = []  # places of failures that came sooner than answers do

    def snapshot(self) -> dict[str, float]:
        """Return what is learned; a look below in hand is given up."""
        state = self._learned.snapshot()
        state["limit"] = (self._knee.higher or self._learned).limit
        state["silent_s"] = max(0.0, self._pacer.not_before - self._clock())
        return state

    @property
    def limit(self) -> float:
        limit, held, now = self._learned.limit, self._held_until, self._clock()
        while held and held[0] <= now:
            heappop(held)
        return limit if self._learned.outage else max(1.0, limit - len(held))

    @property
    def not_before(self) -> float:
        until = max(self._pacer.not_before, self._failures.not_before)
        return min(until, self._clock() + _LONGEST_WAIT_S)

    def on_start(self) -> None:
        now = self._clock()
        self._open += 1
        self._pacer.on_start(now)
        self._failures.on_start(now)
        self._knee.cohort.on_start(self._open, now)

    def on_retry_after(self, seconds: float) -> None:
        self._asked_s = min(_LONGEST_WAIT_S, max(0.1, seconds))

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        now, knee, latency_s = self._clock(), self._knee, min(LONGEST_S, max(SHORTEST_S, latency_s))
        started = now - latency_s + _ROUNDING_S
        self._open = max(0, self._open - 1)
        self.recent_failures += not ok
        asked_s, self._asked_s, moved = self._asked_s, None, False
        if asked_s is not None:
            self._pacer.on_refusal(now, started, asked_s)
        else:
            if not ok:
                self._hold_place(now, latency_s)
            moved = self._failures.on_result(ok, started, now)
        if moved:
            knee.begin(now)
        elif not self._learned.outage:
            if ok:
                knee.on_good()
            if knee.cohort.on_result(ok, latency_s, inflight, started):
                self.recent_failures = 0
                if self._failures.trial_from:
                    knee.begin(now)  # first it must be known what the failures mean
                else:
                    knee.judge(now)

    def _hold_place(self, now: float, latency_s: float) -> None:
        """Keep a quick failure's place as long as a good call would: refusals must not add pace."""
        spare_s = math.exp(self._learned.floor) - latency_s
        if spare_s > 0 and len(self._held_until) < 2 * self._learned.limit:
            heappush(self._held_until, now + spare_s)
