"""Where one more open call buys no more throughput, found from latencies."""

import math

from chalicelib.integrator.parameters import Learned, Parameters

_FULL = 0.8  # of the limit; calls sent into an emptier pool teach nothing
_TRIM = 0.8  # of a cohort must have ended; the slowest are not waited for, nor do they count


class Cohort:
    """Calls sent in a row at one limit; it speaks once most of them have ended."""

    def __init__(self, limit: int, size: int, now: float) -> None:
        self.limit, self._size = limit, size
        self._began_at, self._until = now, math.inf
        self._sent = self.ended = self.good = 0
        self.latency = self._squares = 0.0  # the mean of logarithms; squares of what is off it

    def on_start(self, open_calls: int, now: float) -> None:
        if open_calls >= _FULL * self.limit:
            self._sent += 1
            if self._sent > self._size:
                self._until = min(self._until, now)

    def on_result(self, ok: bool, latency: float, inflight: int, started: float) -> bool:
        """Count a call; say whether the cohort is complete."""
        if inflight < _FULL * self.limit or not self._began_at <= started < self._until:
            return False
        self.ended += 1
        if ok:  # by Welford's recurrence
            self.good += 1
            off = latency - self.latency
            self.latency += off / self.good
            self._squares += off * (latency - self.latency)
        return self.ended >= _TRIM * self._size

    @property
    def variance(self) -> float:
        return self._squares / self.good


class Knee:
    """Moves the limit to the knee, cohort by cohort.

    In a full pool throughput is limit ÷ latency, so latency over its floor tells how far beyond the
    knee the limit is. Without a queue the limit doubles, with one it goes a little above the knee.
    Now and then it looks below: relief shows the floor, and none that the work itself got slower.
    """

    def __init__(self, parameters: Parameters, learned: Learned, most: float, now: float) -> None:
        self._p, self._learned, self._most = parameters, learned, most
        self._higher: Cohort | None = None  # while looking below: where from
        self._since_look = self._free = 0
        self._patience = parameters.patience
        self.begin(now)

    @property
    def looking_from(self) -> float | None:
        """The limit before a look below; None without one."""
        return float(self._higher.limit) if self._higher else None

    def move(self, limit: float, now: float) -> None:
        """Take another limit; what was measured is for the one before."""
        self._learned.limit = min(self._most, max(1.0, limit))
        self._higher = None
        self.begin(now)

    def begin(self, now: float) -> None:
        """Begin a cohort, as large as the spread of latencies asks for."""
        p, limit = self._p, int(self._learned.limit)
        wanted = min(p.most_calls, p.rounds * limit, self._learned.variance / p.precision**2)
        self.cohort = Cohort(
            limit, int(max(8, limit, 0 if self._learned.starting else wanted)), now
        )

    def judge(self, now: float) -> None:
        """Take the next limit from the cohort that is complete."""
        cohort, higher, learned = self.cohort, self._higher, self._learned
        if cohort.good <= 0.5 * cohort.ended:
            self.begin(now)
            return
        learned.ceiling = min(1e6, 1.02 * learned.ceiling)
        learned.variance += 0.3 * (cohort.variance - learned.variance)
        limit = self._compare(cohort, higher) if higher else self._follow(cohort)
        self.move(min(limit, learned.ceiling), now)
        self._higher = cohort if not self._since_look and not higher else None

    def _error(self, cohort: Cohort) -> float:
        """Return the standard error of a cohort's latency over the floor."""
        calls = 1 / (1 / cohort.good + 1 / max(1.0, self._learned.floor_calls))
        return math.sqrt(self._learned.variance / calls)

    def _target(self, cohort: Cohort) -> float:
        """Return the limit a little above the knee that a cohort implies; doubt favours more."""
        p = self._p
        above = cohort.latency - self._learned.floor - p.doubt * self._error(cohort)
        return cohort.limit * math.exp(-above) * p.headroom + p.spare_calls

    def _take_for_floor(self, cohort: Cohort) -> None:
        """Blend a cohort into the floor, or replace a floor that is far off."""
        p, learned, off = self._p, self._learned, cohort.latency - self._learned.floor
        known = learned.floor_calls if abs(off) <= p.floor_jump else 0.0
        learned.floor += off * cohort.good / (known + cohort.good)
        learned.floor_calls = min(p.floor_memory, known + cohort.good)

    def _follow(self, cohort: Cohort) -> float:
        """Return the limit after a cohort at the limit; a look below leaves ``_since_look`` 0."""
        p, learned, limit = self._p, self._learned, cohort.limit
        above = cohort.latency - learned.floor if learned.floor_calls else 0.0
        error = self._error(cohort)
        self._since_look += 1
        if (
            limit > 1
            and not learned.starting
            and (above > max(p.congested, 2 * error) or self._since_look >= self._patience)
        ):
            self._since_look = self._free = 0
            return min(limit - 1.0, limit * max(p.deepest_look, min(p.look, math.exp(-above))))
        free = above < p.free + (p.doubt * error if learned.starting else 0.0)
        self._free = self._free + 1 if free else 0
        if free:
            self._take_for_floor(cohort)
            if learned.starting:
                return 2.0 * limit
            if self._free > 1:
                learned.starting = 1.0
                return max(limit + 1.0, limit * 1.5)
        elif learned.starting:
            learned.starting, self._since_look = 0.0, int(self._patience) - 1
            return min(limit, self._target(cohort))
        step = (self._target(cohort) / limit) ** p.gain
        return float(min(max(limit + 1.0, limit * p.rise), limit * max(1 / p.rise, step)))

    def _compare(self, lower: Cohort, higher: Cohort) -> float:
        """Return the limit after a look below; looks that agree become rarer."""
        p = self._p
        self._take_for_floor(lower)
        limit = max(lower.limit, self._target(higher))
        limit = min(limit, max(higher.limit + 1.0, higher.limit * p.rise))
        calm = 0.89 < limit / higher.limit < 1.12
        self._patience = (2 if calm else 1) * p.patience
        return limit
