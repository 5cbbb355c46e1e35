"""The adaptive limit: how many calls the legacy bears, found from latency, failures and refusals.

Arithmetic only, as in `limiter`. Three questions are kept apart: does one more open call still buy
throughput (`knee`), are failures load, noise or an outage (`failures`), and does the legacy count
calls per second (`pacer`). See docs/limit.md.
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
    SAME_INSTANT_S,
    SHORTEST_S,
    Learned,
    Parameters,
)


class Adaptive:
    """The limit that learns. Made for one run; `snapshot` carries it to the next."""

    def __init__(self, clock: Callable[[], float], *, most: float, parameters: Parameters) -> None:
        self._clock = clock
        self._most = most
        self._p = parameters
        self._start_afresh()

    def _start_afresh(self) -> None:
        p = self._p
        self._take_up(Learned(limit=p.first_limit, background=p.background, patience=p.patience))

    def _take_up(self, learned: Learned) -> None:
        now = self._clock()
        learned.limit = min(self._most, learned.limit)
        self._learned = learned
        self._knee = Knee(self._p, learned, self._most, now)
        self._blame = Blame(self._p, learned)
        self._outage = Outage(self._p, learned)
        self._pacer = Pacer(self._p, learned)
        self._open = 0
        self.recent_failures = 0
        self._held_until: list[float] = []  # places of calls that failed sooner than others succeed
        self._judged_from = -math.inf  # calls sent before it tell nothing of this limit's failures
        self._asked_s: float | None = None

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
        now = self._clock()
        latency_s = min(LONGEST_S, max(SHORTEST_S, latency_s))
        log_latency, started = math.log(latency_s), now - latency_s
        self._open = max(0, self._open - 1)
        self.recent_failures += not ok
        if self._asked_s is not None:
            self._pacer.on_refusal(now, started, self._asked_s)
            self._asked_s = None
            return
        current = started >= self._judged_from - SAME_INSTANT_S
        if ok:
            self._learned.usual += 0.05 * (log_latency - self._learned.usual)
            if self._outage.on_success(started):
                self._held_until.clear()
                self._move(self._learned.limit * self._p.resume, now)
        elif current:
            self._hold_place(now, latency_s)
            if self._outage.on_failure(now, started) and self._blame.uncut is not None:
                self._learned.limit, self._blame.uncut = self._blame.uncut, None
        if self._learned.outage:
            return
        looking = self._knee.higher is not None
        if current and (limit := self._blame.on_result(ok, looking)) is not None:
            self._move(limit, now)
        if self._knee.cohort.on_result(ok, log_latency, inflight, started):
            self.recent_failures = 0
            if self._blame.uncut is not None:
                self._knee.begin(now)  # first it must be known what the failures mean
            else:
                self._knee.judge(now)

    def _move(self, limit: float, now: float) -> None:
        if limit < self._learned.limit:
            self._judged_from = now
        self._blame.count_anew()
        self._knee.move(limit, now)

    def _hold_place(self, now: float, latency_s: float) -> None:
        """Keep a quick failure's place for as long as a good call would have had it."""
        spare_s = math.exp(self._learned.usual) - latency_s
        if spare_s > 0 and len(self._held_until) < 2 * self._learned.limit:
            heappush(self._held_until, now + spare_s)

    def snapshot(self) -> dict[str, float]:
        """Return what is learned; a trial in hand is given up for the limit it began from."""
        state = self._learned.snapshot()
        if self._blame.uncut is not None:
            state["limit"] = self._blame.uncut
        elif self._knee.higher:
            state["limit"] = float(self._knee.higher.limit)
        state["silent_s"] = min(LONGEST_WAIT_S, max(0.0, self._pacer.not_before - self._clock()))
        return state

    def restore(self, state: object) -> None:
        """Take up a snapshot; from anything else, start afresh."""
        learned = Learned.restore(state)
        if learned is None:
            self._start_afresh()
            return
        self._take_up(learned)
        now = self._clock()
        self._pacer.not_before = now + learned.silent_s
        if learned.outage:
            self._outage.begin(now, 0.0)
