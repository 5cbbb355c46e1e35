"""The adaptive limit: how many calls the legacy bears, found from latency, failures and refusals.

Three questions are kept apart: does one more open call still buy throughput (`knee`), are failures
load, noise or an outage (`failures`), and does the legacy count calls per second (`pacer`).
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush

from chalicelib.integrator.failures import Blame, Outage
from chalicelib.integrator.knee import Knee
from chalicelib.integrator.pacer import Pacer
from chalicelib.integrator.parameters import (
    LONGEST_S,
    LONGEST_WAIT_S,
    SHORTEST_S,
    Learned,
    Parameters,
)

_ROUNDING_S = 1e-6  # no call seems sent before the instant it was sent at


class Adaptive:
    """The limit that learns. Made for one run; `snapshot` carries it to the next."""

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
        self._blame, self._outage = Blame(p, learned), Outage(p, learned)
        self._pacer = Pacer(p, learned, now + learned.silent_s)
        self._open = self.recent_failures = 0
        self._held_until: list[float] = []  # places of failures that came sooner than a success
        self._cut_at = -math.inf  # failures of calls sent before it are for the limit before it
        self._asked_s: float | None = None

    def snapshot(self) -> dict[str, float]:
        """Return what is learned; a trial in hand is given up for the limit it began from."""
        state = self._learned.snapshot()
        state["limit"] = self._blame.uncut or self._knee.looking_from or state["limit"]
        state["silent_s"] = min(LONGEST_WAIT_S, max(0.0, self._pacer.not_before - self._clock()))
        return state

    @property
    def limit(self) -> float:
        limit, held, now = self._learned.limit, self._held_until, self._clock()
        while held and held[0] <= now:
            heappop(held)
        return limit if self._learned.outage else max(1.0, limit - len(held))

    @property
    def not_before(self) -> float:
        until = self._pacer.not_before
        if self._learned.outage:
            until = max(until, self._outage.not_before)
        elif len(self._held_until) >= self._learned.limit:
            until = max(until, self._held_until[0])
        return min(until, self._clock() + LONGEST_WAIT_S)

    def on_start(self) -> None:
        now = self._clock()
        self._open += 1
        self._pacer.on_start(now)
        self._outage.on_start(now)
        self._knee.cohort.on_start(self._open, now)

    def on_retry_after(self, seconds: float) -> None:
        self._asked_s = seconds

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        del dropped  # what fails under load need not say so
        now, learned = self._clock(), self._learned
        latency_s = min(LONGEST_S, max(SHORTEST_S, latency_s))
        latency, started = math.log(latency_s), now - latency_s + _ROUNDING_S
        self._open = max(0, self._open - 1)
        self.recent_failures += not ok
        if self._asked_s is not None:
            self._pacer.on_refusal(now, started, self._asked_s)
            self._asked_s = None
            return
        current = started >= self._cut_at
        if ok:
            learned.usual += 0.05 * (latency - learned.usual)
            if self._outage.on_success(started):
                self._held_until.clear()
                self._move(learned.limit * self._p.resume, now)
        elif current:
            self._hold_place(now, latency_s)
            if self._outage.on_failure(started):
                learned.limit, self._blame.uncut = self._blame.uncut or learned.limit, None
        if learned.outage:
            return
        looking = self._knee.looking_from is not None
        if current and (limit := self._blame.on_result(ok, looking)) is not None:
            self._move(limit, now)
        if self._knee.cohort.on_result(ok, latency, inflight, started):
            self.recent_failures = 0
            if self._blame.uncut:
                self._knee.begin(now)  # first it must be known what the failures mean
            else:
                self._knee.judge(now)

    def _move(self, limit: float, now: float) -> None:
        if limit < self._learned.limit:
            self._cut_at = now
        self._blame.count_anew()
        self._knee.move(limit, now)

    def _hold_place(self, now: float, latency_s: float) -> None:
        """Keep a quick failure's place for as long as a good call would have had it."""
        spare_s = math.exp(self._learned.usual) - latency_s
        if spare_s > 0 and len(self._held_until) < 2 * self._learned.limit:
            heappush(self._held_until, now + spare_s)
