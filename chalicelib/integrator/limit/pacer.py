"""The pace under a legacy that counts calls per second and says so with Retry-After."""

import math

from chalicelib.integrator.limit.parameters import Learned, Parameters

_MARKS = 128  # instants of a stretch that are kept
_MOST_BEYOND = 1.35  # factor of the mean rate of a stretch, beyond which its end is not believed


class Pacer:
    """Learns the rate of a token bucket from its refusals and spaces calls just under it.

    Between two refusals a bucket admits what it held plus rate * time. At first it holds its whole
    burst, after a rest at most rate * rest: two stretches of different length give both. The rate
    then rises hardly at first and ever faster later, as in TCP CUBIC (RFC 9438 §4.2), and the
    slower the longer a refusal silences us.
    """

    def __init__(self, parameters: Parameters, learned: Learned, not_before: float) -> None:
        self._p, self._learned = parameters, learned
        self._first: tuple[int, float] | None = None  # calls and seconds up to the first refusal
        self._refused_at: float | None = None
        self.not_before, self._pause_s, self._last_at = not_before, 0.0, -math.inf
        self._begin(0.0, math.inf)

    def _begin(self, now: float, rested_s: float) -> None:
        """Begin a stretch: what is sent until the next refusal."""
        self._began_at, self._rested_s = now, rested_s
        self._sent = self._refused = 0
        self._marks, self._apart_s = [(now, 0)], 0.0  # instants, and what was sent before each

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
        if now >= self._marks[-1][0] + self._apart_s:
            self._marks.append((now, self._sent))
            if len(self._marks) > _MARKS:
                self._marks = self._marks[::2]
                self._apart_s = 2 * (self._apart_s or (now - self._began_at) / _MARKS)
        self._sent += 1
        if rate:
            saved_s = (0.8 * max(0.0, learned.burst) + 2) / rate
            slot = min(max(self.not_before, now - saved_s), now + 60.0)
            self.not_before = slot + 1 / rate

    def on_refusal(self, now: float, started: float, pause_s: float) -> None:
        if started < self._began_at:
            return  # sent before the last pause
        self._refused += 1
        if self._refused_at is None:
            self._refused_at, self._pause_s = started, pause_s
            self.not_before = self._last_at = now + pause_s

    def _learn(self, seconds: float) -> None:
        """Take rate and burst from what was admitted in the stretch that was refused."""
        p, learned = self._p, self._learned
        seconds, calls = max(0.05, seconds), max(1, self._sent - self._refused)
        most, least = calls / seconds, calls / (self._rested_s + seconds)
        first, first_s = self._first or (calls, seconds)
        if not learned.rate:
            self._first = calls, seconds
            learned.rate = 0.6 * most
        elif learned.burst >= 0:
            rate = max(least, (calls - learned.burst) / seconds, 0.7 * min(most, learned.rate))
            learned.rate = p.rate_margin * min(most, rate)
        elif seconds > 1.5 * first_s and calls > 1.3 * first:
            rate = min(most, max(least, (calls - first) / (seconds - first_s)))
            learned.burst = max(0.0, first - rate * first_s)
            ending = max(rate, self._ending(first, first_s))
            learned.rate = p.rate_margin * min(_MOST_BEYOND * rate, ending)
        else:
            learned.rate = math.sqrt(least * most)
        slowest_s = p.rate_doubles * max(1.0, self._pause_s)
        learned.doubles_s = 10.0 if learned.burst < 0 else min(slowest_s, p.trust * seconds)
        learned.calm_s = 0.0

    def _ending(self, first: int, first_s: float) -> float:
        """Return the rate in the later part of the stretch, from the instant that gives the most.

        While calls were sent more slowly than the bucket fills it was full, and what it could not
        take is missing in the mean.
        """
        ended_at, calls = self._refused_at or 0.0, self._sent - self._refused
        return max(
            (
                (calls - before - first) / (ended_at - at - first_s)
                for at, before in self._marks
                if ended_at - at > max(2 * first_s, (ended_at - self._began_at) / 2)
            ),
            default=0.0,
        )
