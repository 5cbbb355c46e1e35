"""The pace under a legacy that counts calls per second and says so with Retry-After."""

import math

from chalicelib.integrator.parameters import LONGEST_WAIT_S, SAME_INSTANT_S, Learned, Parameters

_SHORTEST_S = 0.05
_SHORTEST_WAIT_S = 0.1
_IDLE_S = 1.0


class Pacer:
    """Learns the rate of a token bucket from its refusals and spaces calls just under it.

    Between two refusals a bucket admits what it held plus rate * time. At first it holds its whole
    burst, after a rest at most rate * rest: two stretches of different length give both. From then
    on the rate rises hardly at first and ever faster later, as in TCP CUBIC (RFC 9438 §4.2), and
    the slower the longer a refusal silences us.
    """

    def __init__(self, parameters: Parameters, learned: Learned) -> None:
        self._p = parameters
        self._learned = learned
        self.not_before = 0.0
        self._first: tuple[int, float] | None = None  # calls and seconds of the first stretch
        self._refused_at: float | None = None
        self._last_at = -math.inf
        self._begin(0.0, math.inf)

    def _begin(self, now: float, rested_s: float) -> None:
        """Begin a stretch: what is sent until the next refusal."""
        self._began_at, self._rested_s = now, rested_s
        self._sent = self._refused = 0

    @property
    def rate(self) -> float:
        """Calls a second that are tried."""
        p, learned = self._p, self._learned
        if learned.burst < 0:
            return learned.rate * (1 + (learned.calm_s / 10) ** 3)
        doubles_s = p.rate_doubles * max(1.0, learned.pause_s)
        return p.rate_margin * learned.rate * (1 + (learned.calm_s / doubles_s) ** 3)

    def on_start(self, now: float) -> None:
        learned = self._learned
        if self._refused_at is not None:
            self._learn(self._refused_at - self._began_at)
            self._refused_at = None
            self._begin(now, learned.pause_s)
        rate, since_s = self.rate, max(0.0, now - self._last_at)
        if since_s > _IDLE_S + (3 / rate if rate else 0.0):
            self._begin(now, since_s)
        else:
            learned.calm_s += since_s
        self._last_at = now
        self._sent += 1
        if rate:
            saved_s = 0.8 * max(0.0, learned.burst) / rate + 2 / rate
            slot = min(max(self.not_before, now - saved_s), now + LONGEST_WAIT_S)
            self.not_before = slot + 1 / rate

    def on_refusal(self, now: float, started: float, pause_s: float) -> None:
        if started < self._began_at - SAME_INSTANT_S:
            return  # sent before the last pause
        self._refused += 1
        if self._refused_at is None:
            self._refused_at = started
            self._learned.pause_s = min(LONGEST_WAIT_S, max(_SHORTEST_WAIT_S, pause_s))
            self.not_before = self._last_at = now + self._learned.pause_s

    def _learn(self, seconds: float) -> None:
        """Take the rate from what the stretch that was refused admitted."""
        learned, tried = self._learned, self.rate
        seconds = max(_SHORTEST_S, seconds)
        calls = max(1, self._sent - self._refused)
        most, least = calls / seconds, calls / (self._rested_s + seconds)
        if not tried:
            self._first = calls, seconds
            learned.rate = 0.6 * most
        elif learned.burst >= 0:
            rate = max(least, (calls - learned.burst) / seconds)
            learned.rate = min(most, max(rate, 0.7 * min(most, tried)))
        elif self._first and seconds > 1.5 * self._first[1]:
            before, before_s = self._first
            learned.rate = min(most, max(least, (calls - before) / (seconds - before_s)))
            learned.burst = max(0.0, before - learned.rate * before_s)
        else:
            learned.rate = math.sqrt(least * most)
        learned.calm_s = 0.0
