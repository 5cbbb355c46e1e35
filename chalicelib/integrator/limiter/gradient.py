"""Where one more open call buys no more throughput, found from latencies."""

import math

from chalicelib.integrator.limiter.parameters import Learned, Parameters


class Cohort:
    """Calls sent in a row at one limit; it speaks once most of them have ended.

    The slowest fifth is not waited for. Calls sent into a pool emptier than ``full`` teach nothing.
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
        return self.ended >= 0.8 * self._size


class Knee:
    """Moves the limit to the knee, cohort by cohort.

    In a full pool throughput is limit ÷ latency, so latency over its floor tells how far beyond the
    knee the limit is. Without a queue the limit leaps, with one it goes a little above the knee.
    Now and then it looks below: relief shows the floor, and none that the work itself got slower;
    latency that falls as much as the limit shows that the queue is still there.
    """

    def __init__(self, parameters: Parameters, learned: Learned, most: float, now: float) -> None:
        self._p, self._learned, self._most = parameters, learned, most
        self._since_look = self._free = 0
        self._step = 0.0  # of a leap, for each good answer
        self.begin(now)

    def begin(self, now: float, goal: float = 0.0) -> None:
        """Begin a cohort, as large as the spread of latencies asks for; ``goal`` of a leap."""
        p, learned, limit = self._p, self._learned, int(goal or self._learned.limit)
        self._goal, self._answers = goal, 0
        if learned.starting:  # the last two fifths of a leap are enough, for they would queue first
            size, full = max(4.0, 0.36 * limit), 0.6 * limit
        else:
            wanted = min(p.most_calls, p.rounds * limit, learned.variance / p.precision**2)
            size, full = max(8, limit, wanted), 0.8 * limit
        self.cohort = Cohort(limit, int(size), full, now)
        self.higher: Cohort | None = None  # while looking below: where from

    def on_good(self) -> None:
        """Go on with a leap: each good answer makes room for some calls of it."""
        self._answers += 1
        if self._learned.limit < self._goal:
            self._learned.limit = min(self._goal, self._learned.limit + self._step)

    def judge(self, now: float) -> None:
        """Take the next limit from the cohort that is complete."""
        cohort, higher, learned, goal, looks = self.cohort, self.higher, self._learned, 0.0, False
        if cohort.good > 0.5 * cohort.ended:
            learned.ceiling = min(1e6, (1.02 + 0.05 * self._free) * learned.ceiling)
            learned.variance += 0.3 * (cohort.variance - learned.variance)
            if higher:
                self._compare(cohort, higher)
                limit = max(cohort.limit, self._target(higher))
            else:
                limit = self._follow(cohort)
            learned.limit = limit = min(self._most, max(1.0, min(limit, learned.ceiling)))
            if learned.starting and limit > cohort.limit:
                goal, self._step = limit, limit / cohort.limit - 1
                learned.limit = min(goal, cohort.limit + self._step * self._answers)
            looks = not (self._since_look or higher or learned.starting)
        self.begin(now, goal)
        self.higher = cohort if looks else None

    def _error(self, cohort: Cohort) -> float:
        """Return the standard error of a cohort's latency over the floor."""
        calls = 1 / (1 / cohort.good + 1 / max(1.0, self._learned.floor_calls))
        return math.sqrt(self._learned.variance / calls)

    def _target(self, cohort: Cohort) -> float:
        """Return the limit a little above the knee that a cohort implies; doubt favours more."""
        above = cohort.latency - self._learned.floor - self._p.doubt * self._error(cohort)
        return cohort.limit * math.exp(-above) * self._p.headroom + self._p.spare_calls

    def _compare(self, cohort: Cohort, higher: Cohort) -> None:
        """Take what a look below finds for the floor; look again if the queue is there too."""
        relief, drop = higher.latency - cohort.latency, math.log(higher.limit / cohort.limit)
        if cohort.latency - self._learned.floor < self._p.floor_jump or relief < 0.85 * drop:
            self._take_for_floor(cohort)
        else:
            self._since_look = int(self._p.patience) - 1

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
        self._since_look += 1
        if learned.starting:
            self._since_look = int(p.patience) - 1  # found in haste, the floor is soon looked into
            if above < p.floor_jump:
                self._free += 1
                self._take_for_floor(cohort)
                soon_done = p.leap_s * limit * math.exp(-cohort.latency)
                return limit + min(max(p.leap, limit), max(0.5 * limit, soon_done - limit))
            learned.starting, self._free = 0.0, 0
            return min(limit, self._target(cohort))
        if limit > 1 and (above > p.congested or self._since_look >= p.patience):
            self._since_look = self._free = 0
            look = max(0.4, min(p.look, math.exp(p.doubt * self._error(cohort) - above)))
            return min(limit - 1.0, limit * look)
        self._free = self._free + 1 if above < p.free else 0
        if self._free:
            self._take_for_floor(cohort)
            learned.starting = float(self._free > 1)
        return limit * math.pow(self._target(cohort) / limit, p.gain)
