"""The adaptive limit: how many calls the legacy bears, found from latency, failures and refusals.

Arithmetic only, as in `limiter`. Three questions are kept apart: does one more open call still buy
throughput (latency against its recent floor), are failures load or noise (do they go when the limit
is cut), and does the legacy count calls per second (Retry-After). See docs/limit.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

_SAME_INSTANT_S = 1e-6
_SHORTEST_S, _LONGEST_S = 1e-4, 1e4


@dataclass(frozen=True, slots=True)
class Parameters:
    """The numbers of the adaptive limit. A share is of calls, a factor is of the limit."""

    first_limit: float = 6.0  # calls; where a first run begins
    headroom: float = 1.20  # factor over the knee, 1 to 1.5: a short queue keeps every worker busy
    spare_calls: float = 1.0  # calls added to it, 0 to 3: they matter where the knee is a handful
    buys: float = 0.5  # 0 to 1: share of a doubling that must come back as throughput
    trim: float = (
        0.8  # share of a cohort that must have ended, 0.5 to 1: the slowest are not waited for
    )
    first_calls: int = 8  # calls of the smallest cohort
    precision: float = 0.05  # wanted standard error of a mean log latency, 0.03 to 0.2
    most_calls: int = 150  # calls of the largest cohort, where the limit is lower
    rounds: float = 5.0  # limits worth of calls that a cohort may take, 2 to 10
    doubt: float = 1.0  # standard errors, 0 to 2: a search stops only on a result this clear
    lenience: float = (
        1.0  # standard errors, 0 to 2, by which noise is judged in favour of more calls
    )
    alarm: float = 2.0  # standard errors, 1 to 4, before a slow cohort is looked into at once
    gain: float = 0.6  # 0 to 1: how much of the way to the knee is gone at once
    rise: float = 1.25  # factor, 1.05 to 2: the largest ordinary step
    free: float = 0.04  # log latency over the floor, 0 to 0.2, that still means no queue
    free_cohorts: int = 2  # cohorts in a row without a queue before the search begins again
    leap: float = 1.5  # factor, 1.2 to 2: the first step of that search
    floor_sinks: float = 0.1  # 0 to 1: how fast the floor follows a lower latency
    floor_blend: float = 0.5  # 0 to 1: how far a look below moves the floor
    floor_jump: float = 0.25  # log latency, 0.1 to 1: a floor this far off is replaced
    congested: float = 0.6  # log latency over the floor, 0.3 to 1, that is looked into at once
    probe_depth: float = 0.86  # factor, 0.7 to 0.95: how far a look below goes
    probe_under: float = 1.0  # share of the estimated knee, 0.8 to 1.1, that it goes to when slow
    probe_deepest: float = 0.4  # factor, 0.2 to 0.6: the deepest look below
    probe_after: int = 6  # cohorts between two looks below when they disagree
    probe_most: int = 12  # the same when they agree
    background: float = 0.02  # share, 0.01 to 0.05: failures expected before any are known
    most_background: float = 0.2  # share, 0.1 to 0.3: more than this is never taken for noise
    least_failures: int = 4  # calls; fewer failures prove nothing
    surprise: float = 2.5  # standard deviations over the background, 2 to 4, that mean load
    acquit_calls: int = 30  # calls after a cut before the failures may be called noise
    under_ceiling: float = 0.95  # factor, 0.8 to 1, of the limit that brought failures
    forget_ceiling: float = 1.03  # factor, 1 to 1.1, by which that ceiling rises each cohort
    cut_least: float = 0.85  # factor of the smallest cut
    cut_most: float = 0.5  # factor of the largest cut
    outage_run: int = 6  # calls; failures in a row that mean an outage, at a small limit
    outage_share: float = 0.5  # of the limit, 0.3 to 1: the same at a large one
    resume: float = 0.9  # factor, 0.5 to 1, of the last limit after an outage
    first_probe_s: float = 0.5  # s; wait before the first call into an outage
    last_probe_s: float = 2.0  # s; wait between two such calls, in the end
    rate_margin: float = 0.98  # share, 0.9 to 1, of the rate measured between two refusals
    rate_rise: float = 0.004  # share a second, 0.001 to 0.02: growth near the known rate
    rate_chase: float = 0.10  # share a second, 0.02 to 0.3: growth well under it
    most_pause_s: float = 60.0  # s; no wait is longer, whatever is asked


class Cohort:
    """Calls sent in a row at one limit; it speaks once most of them have ended.

    The slowest part is not waited for and so does not count: two cohorts compare, for both lack it.
    """

    __slots__ = (
        "begun_at",
        "ended",
        "failed",
        "good",
        "limit",
        "needed",
        "sent",
        "size",
        "squares",
        "total",
        "until",
    )

    def __init__(self, limit: int, size: int, trim: float, now: float) -> None:
        self.limit = limit
        self.size = size
        self.needed = math.ceil(size * trim)
        self.begun_at = now
        self.until = math.inf
        self.sent = self.ended = self.good = self.failed = 0
        self.total = self.squares = 0.0

    def on_start(self, open_calls: int, now: float) -> None:
        if self.sent < self.size and open_calls >= 0.8 * self.limit:
            self.sent += 1
            if self.sent == self.size:
                self.until = now

    def on_result(self, ok: bool, log_latency: float, inflight: int, started: float) -> bool:
        """Count a call; say whether the cohort is complete."""
        if inflight < 0.8 * self.limit or not (
            self.begun_at - _SAME_INSTANT_S <= started <= self.until + _SAME_INSTANT_S
        ):
            return False
        self.ended += 1
        if ok:
            self.good += 1
            self.total += log_latency
            self.squares += log_latency * log_latency
        return self.ended >= self.needed

    def extend(self) -> None:
        self.size *= 2
        self.needed *= 2
        self.until = math.inf

    @property
    def mean(self) -> float:
        return self.total / self.good

    @property
    def variance(self) -> float:
        return max(0.0, self.squares / self.good - self.mean**2)


class Pacer:
    """The rate under a legacy that counts calls per second, learned between its refusals."""

    def __init__(self, p: Parameters) -> None:
        self._p = p
        self.rate = 0.0  # calls a second; 0: no refusal yet
        self.credit_s = 1.0  # how much of a pause may be made up for
        self.not_before = 0.0
        self._slot = 0.0
        self._since = math.nan
        self._resumed = 0.0
        self._admitted = 0
        self._rose_at = 0.0
        self._ceiling = 0.0

    def restore(self, rate: float, credit_s: float) -> None:
        self.rate = self._ceiling = rate
        self.credit_s = credit_s

    def on_start(self, now: float) -> None:
        p = self._p
        if math.isnan(self._since):
            self._since = self._resumed = self._rose_at = now
        self._admitted += 1
        if not self.rate:
            return
        elapsed = min(1.0, max(0.0, now - self._rose_at))
        self._rose_at = now
        rise = p.rate_chase if self.rate < 0.9 * self._ceiling else p.rate_rise
        self.rate *= 1.0 + rise * elapsed
        self._slot = min(max(self._slot, now - self.credit_s), now + 1.0) + 1.0 / self.rate
        self.not_before = self._slot

    def on_refusal(self, now: float, started: float, pause_s: float, attempted: float) -> None:
        p = self._p
        pause_s = min(p.most_pause_s, max(0.0, pause_s))
        self._admitted = max(0, self._admitted - 1)
        if started >= self._resumed - _SAME_INSTANT_S:
            whole_s = max(0.05, now - self._since)
            active_s = max(0.05, now - self._resumed)
            lowest = max(1.0, self._admitted) / whole_s
            highest = max(1.0, self._admitted) / active_s
            if not self.rate:
                self._ceiling = max(highest, attempted)
                self.rate = max(lowest, 0.6 * self._ceiling)
            elif active_s > 4 * (whole_s - active_s):
                self.rate = p.rate_margin * lowest
                self._ceiling = self.rate
            else:
                self._ceiling = min(self.rate, highest)
                if active_s < 2.0 * self.credit_s:
                    self.credit_s /= 2
                self.rate = math.sqrt(lowest * self._ceiling)
            self._since = now
            self._admitted = 0
        self._resumed = now + pause_s
        self._rose_at = self._resumed
        self._slot = max(now, self._slot) if self._slot < now + pause_s else now + pause_s
        self.not_before = self._resumed


class Adaptive:
    """The limit that learns. Made for one run; `snapshot` carries it to the next."""

    def __init__(self, clock: Callable[[], float], *, most: float, parameters: Parameters) -> None:
        self._clock = clock
        self._p = parameters
        self._most = most
        self._limit = min(most, parameters.first_limit)
        self._open = 0
        self.errors = 0
        self._starting = True
        self._below: tuple[int, float, int] | None = None  # a smaller limit and its log latency
        self._above: tuple[int, float] | None = None  # while probing: where it came from
        self._floor = math.inf  # log latency without congestion
        self._usual = math.log(0.1)
        self._variance = 0.25
        self._held_back = 0
        self._patience = parameters.probe_after
        self._streak = 0
        self._background = parameters.background
        self._held: list[float] = []
        self._calls = self._failures = 0
        self._ceiling = math.inf
        self._suspect: tuple[float, float, bool] | None = (
            None  # limit and share of failures before a cut, and whether starting
        )
        self._ignored_before = -math.inf
        self._row = 0
        self._row_began = math.inf
        self._outage_probe_s = 0.0  # 0: no outage
        self._outage_until = 0.0
        self._pacer = Pacer(parameters)
        self._asked: float | None = None
        self._begin(clock())

    # -- what the integrator asks and tells

    @property
    def limit(self) -> float:
        if self._outage_probe_s:
            return self._limit
        held, now = self._held, self._clock()
        while held and held[0] <= now:
            heappop(held)
        return max(1.0, self._limit - len(held))

    @property
    def not_before(self) -> float:
        if self._outage_probe_s:
            until = self._outage_until
        elif len(self._held) >= self._limit:
            until = max(self._pacer.not_before, self._held[0])
        else:
            until = self._pacer.not_before
        return min(until, self._clock() + self._p.most_pause_s)

    def on_start(self) -> None:
        now = self._clock()
        self._open += 1
        self._pacer.on_start(now)
        if self._outage_probe_s:
            self._outage_until = now + self._outage_probe_s
            self._outage_probe_s = min(self._p.last_probe_s, self._outage_probe_s * 1.5)
        self._cohort.on_start(self._open, now)

    def on_retry_after(self, seconds: float) -> None:
        self._asked = seconds

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        del dropped  # what fails under load need not say so
        now = self._clock()
        self._open = max(0, self._open - 1)
        latency_s = min(_LONGEST_S, max(_SHORTEST_S, latency_s))
        started = now - latency_s
        if not ok:
            self.errors += 1
        if self._asked is not None:
            self._pacer.on_refusal(
                now, started, self._asked, (self._open + 1) / math.exp(self._usual)
            )
            self._asked = None
            return
        log_latency = math.log(latency_s)
        if ok:
            self._usual += 0.05 * (log_latency - self._usual)
            if self._row and started >= self._row_began - _SAME_INSTANT_S:
                self._row, self._row_began = 0, math.inf
                if self._outage_probe_s:
                    self._end_outage(now)
        elif started >= self._ignored_before - _SAME_INSTANT_S:
            self._on_failure(now, started, latency_s)
        if self._outage_probe_s:
            return
        if started >= self._ignored_before - _SAME_INSTANT_S:
            self._watch_failures(now, ok)
        if self._cohort.on_result(ok, log_latency, inflight, started):
            self._judge(now)

    # -- failures

    def _on_failure(self, now: float, started: float, latency_s: float) -> None:
        self._row += 1
        self._row_began = min(self._row_began, started)
        usual_s = math.exp(self._usual)
        if latency_s < usual_s and len(self._held) < 2 * self._limit:
            heappush(self._held, now + usual_s - latency_s)
        if not self._outage_probe_s and self._row >= max(
            self._p.outage_run, self._p.outage_share * self._limit
        ):
            if self._suspect:
                self._limit = self._suspect[0]
                self._suspect = None
            self._outage_probe_s = self._p.first_probe_s
            self._outage_until = now + self._outage_probe_s

    def _end_outage(self, now: float) -> None:
        self._outage_probe_s = 0.0
        self._held.clear()
        self._ignored_before = now
        self._move(now, max(1.0, self._limit * self._p.resume))

    def _watch_failures(self, now: float, ok: bool) -> None:
        p = self._p
        self._calls += 1
        if not ok:
            self._failures += 1
        expected = self._background * self._calls
        share = self._failures / self._calls
        if (
            not ok
            and self._failures >= p.least_failures
            and self._failures > expected + p.surprise * math.sqrt(expected) + 1
        ):
            if self._suspect and max(share, self._suspect[1]) < p.most_background:
                if self._calls >= p.acquit_calls:
                    self._acquit(now, share)
                return
            if not self._suspect:
                self._suspect = (self._limit, share, self._starting)
            if self._starting and self._below:
                self._floor = self._below[1]
            self._starting = False
            self._ignored_before = now
            self._move(now, self._limit * min(p.cut_least, max(p.cut_most, 1 - share)))
        elif self._calls >= max(50, 2 * self._limit):
            if self._suspect and share > 0.5 * min(self._suspect[1], p.most_background):
                self._acquit(now, share)
                return
            self._background += 0.2 * (min(share, p.most_background) - self._background)
            self._background = max(self._background, p.background)
            if self._suspect and not self._suspect[2]:  # the cut brought relief
                self._ceiling = self._suspect[0] * p.under_ceiling
            self._suspect = None
            self._calls = self._failures = 0

    def _acquit(self, now: float, share: float) -> None:
        """The cut brought nothing: the failures are not of our making."""
        if not self._suspect:
            return
        self._background = max(self._background, min(share, self._p.most_background))
        limit, _, self._starting = self._suspect
        self._suspect = None
        self._move(now, max(limit, self._limit))

    # -- latency

    def _move(self, now: float, limit: float) -> None:
        self._limit = min(self._most, max(1.0, limit))
        self._calls = self._failures = 0
        self._above = None
        self._begin(now)

    def _begin(self, now: float) -> None:
        p = self._p
        limit = int(self._limit)
        size = max(p.first_calls, limit)
        if not self._starting:
            precise = int(self._variance / p.precision**2)
            size = max(size, int(min(p.most_calls, p.rounds * limit, precise)))
        self._cohort = Cohort(limit, size, p.trim, now)

    def _judge(self, now: float) -> None:
        cohort = self._cohort
        self.errors = 0
        if cohort.good < 0.5 * cohort.ended or not cohort.good:
            self._begin(now)
            return
        latency, limit = cohort.mean, cohort.limit
        if self._suspect:
            self._begin(now)
            return
        self._ceiling *= self._p.forget_ceiling
        self._variance += 0.3 * (cohort.variance - self._variance)
        if self._starting:
            self._double(now, limit, latency)
        elif self._above:
            self._compare(now, limit, latency, *self._above)
        else:
            self._follow(now, limit, latency)

    def _knee(self, limit: float, floor: float, latency: float) -> float:
        p = self._p
        return (
            limit * math.exp(floor - latency + p.lenience * self._error()) * p.headroom
            + p.spare_calls
        )

    def _error(self) -> float:
        return math.sqrt(self._variance / self._cohort.good)

    def _set(self, now: float, limit: float) -> None:
        self._limit = min(self._most, max(1.0, min(limit, self._ceiling)))
        self._begin(now)

    def _double(self, now: float, limit: int, latency: float) -> None:
        """Double while a doubling buys throughput."""
        calls = self._cohort.good
        if self._below and limit > self._below[0]:
            lower, floor, basis = self._below
            bought = 1 - (latency - floor) / math.log(limit / lower)
            if bought < self._p.buys or limit >= self._most:
                error = math.sqrt(self._variance * (1 / basis + 1 / calls)) / math.log(
                    limit / lower
                )
                if bought + self._p.doubt * error > self._p.buys and self._cohort.size < 4 * limit:
                    self._cohort.extend()
                    return
                self._starting = False
                self._floor = floor
                self._held_back = self._patience - 1
                self._set(now, min(limit, self._knee(limit, floor, latency)))
                return
            if bought > 0.75:
                latency = (floor * basis + latency * calls) / (basis + calls)
                calls += basis
        self._below = (limit, latency, calls)
        self._floor = latency
        self._set(now, 2 * limit)

    def _follow(self, now: float, limit: int, latency: float) -> None:
        """Stay a little above the knee; look below it now and then, and when latency has grown."""
        p = self._p
        if self._floor == math.inf:
            self._floor = latency
        self._held_back += 1
        above = latency - self._floor
        if limit > 1 and (
            above > max(p.congested, p.alarm * self._error()) or self._held_back >= self._patience
        ):
            self._above = (limit, latency)
            self._held_back = 0
            self._streak = 0
            deep = max(p.probe_deepest, min(p.probe_depth, p.probe_under * math.exp(-above)))
            self._set(now, min(limit - 1.0, limit * deep))
            return
        if above < 0:
            self._floor += p.floor_sinks * above
        ratio = self._knee(limit, self._floor, latency) / limit
        self._streak = self._streak + 1 if above < p.free else 0
        if self._streak >= p.free_cohorts:
            self._streak = 0
            self._starting = True
            self._ceiling = math.inf
            self._below = (limit, self._floor, self._cohort.good)
            self._set(now, max(limit + 1.0, limit * p.leap))
        else:
            most = max(limit + 1.0, limit * p.rise)
            self._set(now, min(most, max(limit / p.rise, limit * ratio**p.gain)))

    def _compare(
        self, now: float, limit: int, latency: float, higher: int, congested: float
    ) -> None:
        """Judge a smaller limit against the one it came from: relief, or a new normal."""
        p = self._p
        self._above = None
        if abs(latency - self._floor) > p.floor_jump:
            self._floor = latency
        else:
            self._floor += p.floor_blend * (latency - self._floor)
        knee = self._knee(higher, self._floor, congested)
        target = min(max(higher + 1.0, higher * p.rise), max(limit, knee))
        calm = abs(math.log(target / higher)) < 0.12
        self._patience = min(p.probe_most, 2 * self._patience) if calm else p.probe_after
        self._set(now, target)

    # -- from run to run

    def snapshot(self) -> dict[str, Any]:
        learning = {
            "limit": self._above[0] if self._above else self._limit,
            "starting": self._starting,
        }
        return learning | {
            "floor": self._floor if self._floor < math.inf else None,
            "usual": self._usual,
            "variance": self._variance,
            "background": self._background,
            "patience": self._patience,
            "rate": self._pacer.rate,
            "credit_s": self._pacer.credit_s,
            "outage": bool(self._outage_probe_s),
        }

    def restore(self, state: dict[str, Any]) -> None:
        now = self._clock()
        self._limit = min(self._most, max(1.0, float(state["limit"])))
        self._starting = state["starting"]
        self._floor = math.inf if state["floor"] is None else state["floor"]
        self._usual, self._variance = state["usual"], state["variance"]
        self._background, self._patience = state["background"], state["patience"]
        self._pacer.restore(state["rate"], state["credit_s"])
        if state["outage"]:
            self._outage_probe_s = self._p.first_probe_s
            self._row, self._row_began = 1, now
            self._outage_until = now
        self._begin(now)
