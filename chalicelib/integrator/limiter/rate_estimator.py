"""The pace under a legacy that counts calls per second and says so with Retry-After."""

import math

from chalicelib.integrator.limiter.parameters import Learned, Parameters


class Pacer:
    """Learns the rate of a token bucket from its refusals and spaces calls just under it.

    Between two refusals a bucket admits what it held plus rate * time. At first it holds its whole
    burst, after a rest at most rate * rest: two stretches of different length give both. The rate
    then rises hardly at first and ever faster later, as in TCP CUBIC (RFC 9438 §4.2), and the
    slower the longer a refusal silences us.
    """

    def __init__(self, parameters: Parameters, learned: Learned, not_before: float) -> None:
        self._p, self._learned = parameters, learned
        self._first = 0, math.inf  # calls and seconds up to the first refusal
        self._refused_at: float | None = None
        self.not_before, self._pause_s, self._last_at = not_before, 0.0, -math.inf
        self._begin(0.0, math.inf)

    def _begin(self, now: float, rested_s: float) -> None:
        """Begin a stretch: what is sent until the next refusal."""
        self._began_at, self._rested_s = now, rested_s
        self._sent = self._refused = 0

    def on_start(self, now: float) -> None:
        learned = self._learned
        if self._refused_at is not None:
            self._learn(self._refused_at - self._began_at)
            self._begin(now, self._pause_s)
            self._refused_at = None
        rate = learned.rate * (1 + (learned.calm_s / learned.doubles_s) ** 3)
        since_s = max(0.0, now - self._last_at)
        if since_s > 1 + (3 / rate if rate else 0.0):  # idle
            self._begin(now, since_s)
        else:
            learned.calm_s += since_s
        self._last_at = now
        self._sent += 1
        if rate:  # of the slots that passed unused, two are made up for
            self.not_before = min(max(self.not_before, now - 2 / rate), now + 60) + 1 / rate

    def on_refusal(self, now: float, started: float, pause_s: float) -> None:
        if started < self._began_at:
            return  # sent before the last pause
        self._refused += 1
        if self._refused_at is None:
            self._refused_at, self._pause_s = started, pause_s
            self.not_before = self._last_at = now + pause_s

    def _learn(self, seconds: float) -> None:
        """Take rate and burst from what was admitted in the stretch that was refused."""
        p, learned, (first, first_s) = self._p, self._learned, self._first
        seconds, calls = max(0.05, seconds), max(1, self._sent - self._refused)
        most, least = calls / seconds, calls / (self._rested_s + seconds)
        if not learned.rate:  # a guess: a burst is seldom worth less than 0.4 s
            self._first = calls, seconds
            learned.rate = min(0.6 * most, 2.5 * calls / (1 + seconds))
        elif learned.burst >= 0:
            keep = 1 if math.isinf(self._rested_s) else 0.8  # a run before may have used the burst
            rate = max(least, (calls - learned.burst) / seconds, keep * learned.rate)
            learned.rate = p.rate_margin * min(most, rate)
        elif seconds > first_s:
            rate = min(most, max(least, (calls - first) / (seconds - first_s)))
            learned.burst = max(0.0, first - rate * first_s)
            learned.rate = p.rate_margin * rate
        else:
            learned.rate = math.sqrt(least * most)
        slowest_s = p.rate_doubles * max(1.0, self._pause_s)
        learned.doubles_s = 10.0 if learned.burst < 0 else min(slowest_s, p.trust * seconds)
        learned.calm_s = 0.0
