"""Where one more open call buys no more throughput, found from latencies."""

import math

from chalicelib.integrator.limit.parameters import Learned, Parameters

_TRIM = 0.8  # of a cohort must have ended; the slowest are not waited for, nor do they count


class Cohort:
    """Calls sent in a row at one limit; it speaks once most of them have ended.

    Calls sent into a pool emptier than ``full`` teach nothing.
    """

    def __init__(self, limit: int, size: int, full: float, now: float) -> None:
        self.limit, self._size, self._full = limit, size, full
        self._began_at, self._until = now, math.inf
        self._sent = self.ended = self.good = 0
        self.latency = self.variance = 0.0  # of the logarithms

    def on_start(self, open_calls: int, now: float) -> None:
        self._sent += open_calls >= self._full
        if self._sent > self._size:
            self._until = min(self._until, now + 2e-6)  # what was sent at one instant counts

    def on_result(self, ok: bool, latency_s: float, inflight: int, started: float) -> bool:
        """Count a call; say whether the cohort is complete."""
        if inflight < self._full or not self._began_at <= started < self._until:
            return False
        self.ended += 1
        if ok:  # by Welford's recurrence
            self.good += 1
            off = math.log(latency_s) - self.latency
            self.latency += off / self.good
            self.variance += (off * off * (1 - 1 / self.good) - self.variance) / self.good
        return self.ended >= _TRIM * self._size


class Knee:
    """Moves the limit to the knee, cohort by cohort.

    In a full pool throughput is limit ÷ latency, so latency over its floor tells how far beyond the
    knee the limit is. Without a queue the limit leaps, with one it goes a little above the knee.
    Now and then it looks below: relief shows the floor, and none that the work itself got slower.
    """

    def __init__(self, parameters: Parameters, learned: Learned, most: float, now: float) -> None:
        self._p, self._learned, self._most = parameters, learned, most
        self._since_look = self._free = 0
        self.begin(now)

    def begin(self, now: float) -> None:
        """Begin a cohort, as large as the spread of latencies asks for."""
        p, learned, limit = self._p, self._learned, int(self._learned.limit)
        if learned.starting:  # the last two fifths of a leap are enough, for they would queue first
            size, full = max(4.0, 0.36 * limit), 0.6 * limit
        else:
            wanted = min(p.most_calls, p.rounds * limit, learned.variance / p.precision**2)
            size, full = max(8, limit, wanted), 0.8 * limit
        self.cohort = Cohort(limit, int(size), full, now)
        self.higher: Cohort | None = None  # while looking below: where from

    def judge(self, now: float) -> None:
        """Take the next limit from the cohort that is complete."""
        cohort, higher, learned, looks = self.cohort, self.higher, self._learned, False
        if cohort.good > 0.5 * cohort.ended:
            learned.ceiling = min(1e6, 1.02 * learned.ceiling)
            learned.variance += 0.3 * (cohort.variance - learned.variance)
            if higher:
                self._take_for_floor(cohort)
                limit = max(cohort.limit, self._target(higher))
            else:
                limit = self._follow(cohort)
            if not learned.starting:
                base = (higher or cohort).limit
                limit = min(limit, max(base + 1.0, base * self._p.rise))
            learned.limit = min(self._most, max(1.0, min(limit, learned.ceiling)))
            looks = not (self._since_look or higher or learned.starting)
        self.begin(now)
        self.higher = cohort if looks else None

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
        far = abs(off) > max(p.floor_jump, (3 if learned.starting else 0) * self._error(cohort))
        known = 0.0 if far else learned.floor_calls
        learned.floor += off * cohort.good / (known + cohort.good)
        learned.floor_calls = min(p.floor_memory, known + cohort.good)

    def _follow(self, cohort: Cohort) -> float:
        """Return the limit after a cohort at the limit; a look below leaves ``_since_look`` 0."""
        p, learned, limit = self._p, self._learned, cohort.limit
        above = cohort.latency - learned.floor if learned.floor_calls else 0.0
        error = self._error(cohort)
        self._since_look += 1
        if learned.starting:
            if above < min(p.floor_jump, 4 * p.free + p.doubt * error):
                self._take_for_floor(cohort)
                return limit * min(p.leap, max(1.5, p.leap_s * math.exp(-cohort.latency)))
            learned.starting, self._since_look = 0.0, int(p.patience) - 1
            return min(limit, self._target(cohort))
        alarming = above > max(p.congested, 2 * error)
        if limit > 1 and (alarming or self._since_look >= p.patience):
            self._since_look = self._free = 0
            look = max(0.4, min(p.look, math.exp(p.doubt * error - above)))
            return min(limit - 1.0, limit * look)
        self._free = self._free + 1 if above < p.free else 0
        if self._free:
            self._take_for_floor(cohort)
            learned.starting = float(self._free > 1)
        return max(limit / p.rise, limit * math.pow(self._target(cohort) / limit, p.gain))
