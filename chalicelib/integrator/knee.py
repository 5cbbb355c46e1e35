"""Where one more open call buys no more throughput, found from latencies."""

import math

from chalicelib.integrator.parameters import SAME_INSTANT_S, Learned, Parameters

_FULL = 0.8  # of the limit; calls sent into an emptier pool teach nothing
_TRIM = 0.8  # of a cohort must have ended; the slowest are not waited for


class Cohort:
    """Calls sent in a row at one limit; it speaks once most of them have ended.

    The slowest part is not waited for and so does not count: two cohorts compare, for both lack it.
    """

    def __init__(self, limit: int, size: int, now: float) -> None:
        self.limit, self._size = limit, size
        self._began_at, self._until = now, math.inf
        self._sent = self.ended = self.good = 0
        self._total = self._squares = 0.0

    def on_start(self, open_calls: int, now: float) -> None:
        if self._sent < self._size and open_calls >= _FULL * self.limit:
            self._sent += 1
            if self._sent == self._size:
                self._until = now

    def on_result(self, ok: bool, log_latency: float, inflight: int, started: float) -> bool:
        """Count a call; say whether the cohort is complete."""
        sent_in_it = self._began_at - SAME_INSTANT_S <= started <= self._until + SAME_INSTANT_S
        if inflight < _FULL * self.limit or not sent_in_it:
            return False
        self.ended += 1
        if ok:
            self.good += 1
            self._total += log_latency
            self._squares += log_latency * log_latency
        return self.ended >= _TRIM * self._size

    @property
    def latency(self) -> float:
        """The mean of the log latencies."""
        return self._total / self.good

    @property
    def variance(self) -> float:
        return max(0.0, self._squares / self.good - self.latency**2)


class Knee:
    """Moves the limit to the knee, cohort by cohort.

    In a full pool throughput is limit ÷ latency: latency over its floor tells how far beyond the
    knee the limit is. Without a queue the limit doubles, with one it goes a little above the knee;
    and now and then it looks below, where relief shows the floor, and none that work got slower.
    """

    def __init__(self, parameters: Parameters, learned: Learned, most: float, now: float) -> None:
        self._p, self._learned, self._most = parameters, learned, most
        self.higher: Cohort | None = None  # while looking below: where from
        self._since_look = self._unqueued = 0
        self.begin(now)

    def move(self, limit: float, now: float) -> None:
        """Take another limit, and a new cohort to judge it by."""
        self._learned.limit = min(self._most, max(1.0, limit))
        self.higher = None
        self.begin(now)

    def begin(self, now: float) -> None:
        """Begin a cohort at the limit."""
        p, limit = self._p, int(self._learned.limit)
        size = float(max(8, limit))
        if not self._learned.starting:
            precise = self._learned.variance / p.precision**2
            size = max(size, min(p.most_calls, p.rounds * limit, precise))
        self.cohort = Cohort(limit, int(size), now)

    def judge(self, now: float) -> None:
        """Take the next limit from the cohort that is complete."""
        cohort, learned = self.cohort, self._learned
        if cohort.good <= 0.5 * cohort.ended:
            self.begin(now)
            return
        learned.ceiling = min(1e6, 1.02 * learned.ceiling)
        learned.variance += 0.3 * (cohort.variance - learned.variance)
        if self.higher:
            limit, higher = self._compare(cohort, self.higher), None
        else:
            limit = self._follow(cohort)
            higher = cohort if limit < cohort.limit and not self._since_look else None
        self.move(min(limit, learned.ceiling), now)
        self.higher = higher

    def _error(self, cohort: Cohort) -> float:
        """Return the standard error of a latency over the floor."""
        floor_calls = max(1.0, self._learned.floor_calls)
        return math.sqrt(self._learned.variance * (1 / cohort.good + 1 / floor_calls))

    def _target(self, cohort: Cohort) -> float:
        """Return the limit a little above the knee that a cohort implies; doubt favours more."""
        p = self._p
        above = cohort.latency - self._learned.floor - p.doubt * self._error(cohort)
        return cohort.limit * math.exp(-above) * p.headroom + p.spare_calls

    def _take_for_floor(self, cohort: Cohort) -> None:
        """Blend a cohort into the floor, or replace one that is far off."""
        learned, off = self._learned, cohort.latency - self._learned.floor
        if abs(off) > self._p.floor_jump:
            learned.floor_calls = 0.0
        learned.floor_calls += cohort.good
        learned.floor += off * cohort.good / learned.floor_calls
        learned.floor_calls = min(learned.floor_calls, self._p.floor_memory)

    def _follow(self, cohort: Cohort) -> float:
        p, learned, limit = self._p, self._learned, cohort.limit
        if not learned.floor_calls:
            learned.floor = cohort.latency
        above, error = cohort.latency - learned.floor, self._error(cohort)
        self._since_look += 1
        alarming = above > max(p.congested, 2 * error)
        looking = alarming or self._since_look >= learned.patience
        if looking and limit > 1 and not learned.starting:
            self._since_look = self._unqueued = 0
            return min(limit - 1.0, limit * max(p.deepest_look, min(p.look, math.exp(-above))))
        if above < p.free + (p.doubt * error if learned.starting else 0.0):
            self._take_for_floor(cohort)
            self._unqueued += 1
        else:
            self._unqueued = 0
        if self._unqueued and learned.starting:
            return 2.0 * limit
        if learned.starting:
            learned.starting, self._since_look = 0.0, int(learned.patience) - 1
            return min(limit, self._target(cohort))
        if self._unqueued > 1:
            learned.starting, self._unqueued = 1.0, 0
            return max(limit + 1.0, limit * 1.5)
        step = (self._target(cohort) / limit) ** p.gain
        return float(min(max(limit + 1.0, limit * p.rise), limit * max(1 / p.rise, step)))

    def _compare(self, lower: Cohort, higher: Cohort) -> float:
        """Judge a look below: relief shows the floor; without it slower work is the new normal."""
        p, learned = self._p, self._learned
        self._take_for_floor(lower)
        limit = max(lower.limit, self._target(higher))
        limit = min(limit, max(higher.limit + 1.0, higher.limit * p.rise))
        calm = 0.89 < limit / higher.limit < 1.12
        learned.patience = min(2 * p.patience, 2 * learned.patience) if calm else p.patience
        return limit
