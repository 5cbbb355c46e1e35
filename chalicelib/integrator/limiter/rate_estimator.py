"""Learn the rate limit of a legacy that refuses with Retry-After, and pace calls just below it."""

import math

from chalicelib.integrator.limiter.parameters import (
    CATCH_UP_SLOTS,
    GUESS_DOUBLING_S,
    GUESS_PEAK,
    GUESS_S,
    GUESS_SCALE,
    IDLE_S,
    IDLE_SLOTS,
    MAX_WAIT_S,
    MIN_DOUBLING_PAUSE_S,
    MIN_INTERVAL_S,
    RATE_GROWTH_EXPONENT,
    RATE_KEEP,
    Parameters,
)
from chalicelib.integrator.limiter.state import LearnedState


class RateEstimator:
    """Estimates rate and burst of a token bucket, and spaces calls at that rate.

    An *interval* is the time from a pause to the next refusal. In it a bucket admits the tokens it
    holds + rate * time. In the first interval it holds the whole burst, after a pause at most
    rate * pause: two intervals of different length give rate and burst.

    The paced rate grows slowly at first and ever faster later, as in TCP CUBIC (RFC 9438 §4.2). It
    grows the slower the longer the pauses are.

    Attributes:
        not_before: the time before which the pace or a pause allows no call.
    """

    def __init__(self, parameters: Parameters, learned: LearnedState, not_before: float) -> None:
        self._p, self._learned = parameters, learned
        self._first_interval = 0, math.inf  # calls admitted, and its seconds
        self._refused_at: float | None = None
        self.not_before, self._pause_s, self._last_sent_at = not_before, 0.0, -math.inf
        self._begin_interval(0.0, math.inf)

    def _begin_interval(self, now: float, rested_s: float) -> None:
        """Begin an interval, after a rest in which the bucket has filled."""
        self._began_at, self._rested_s = now, rested_s
        self._sent = self._refused = 0

    def on_start(self, now: float) -> None:
        """Count a call that is sent, and set the time of the next."""
        learned = self._learned
        if self._refused_at is not None:
            self._learn(self._refused_at - self._began_at)
            self._begin_interval(now, self._pause_s)
            self._refused_at = None
        growth = (learned.rate_age_s / learned.rate_doubling_s) ** RATE_GROWTH_EXPONENT
        rate = learned.rate * (1 + growth)
        since_last_s = max(0.0, now - self._last_sent_at)
        if since_last_s > IDLE_S + (IDLE_SLOTS / rate if rate else 0.0):
            self._begin_interval(now, since_last_s)
        else:
            learned.rate_age_s += since_last_s
        self._last_sent_at = now
        self._sent += 1
        if rate:
            earliest = min(max(self.not_before, now - CATCH_UP_SLOTS / rate), now + MAX_WAIT_S)
            self.not_before = earliest + 1 / rate

    def on_refusal(self, now: float, sent_at: float, pause_s: float) -> None:
        """Count a refused call; the first one of an interval pauses all calls."""
        if sent_at < self._began_at:
            return  # sent before the last pause
        self._refused += 1
        if self._refused_at is None:
            self._refused_at, self._pause_s = sent_at, pause_s
            self.not_before = self._last_sent_at = now + pause_s

    def _learn(self, seconds: float) -> None:
        """Estimate rate and burst from the calls that the last interval admitted.

        The rate is at most ``calls / seconds``, were the bucket empty at first. It is at least
        ``calls / (rested + seconds)``, were it filled only since the last refusal.
        """
        p, learned, (first, first_s) = self._p, self._learned, self._first_interval
        seconds, calls = max(MIN_INTERVAL_S, seconds), max(1, self._sent - self._refused)
        highest, lowest = calls / seconds, calls / (self._rested_s + seconds)
        if not learned.rate:  # a guess, since the first interval has the burst in it
            self._first_interval = calls, seconds
            learned.rate = min(GUESS_PEAK * highest, GUESS_SCALE * calls / (GUESS_S + seconds))
        elif learned.burst >= 0:
            # A run's first interval never lowers the rate: the last run may have used the burst.
            keep = 1 if math.isinf(self._rested_s) else RATE_KEEP
            rate = max(lowest, (calls - learned.burst) / seconds, keep * learned.rate)
            learned.rate = p.rate_margin * min(highest, rate)
        elif seconds > first_s:
            rate = min(highest, max(lowest, (calls - first) / (seconds - first_s)))
            learned.burst = max(0.0, first - rate * first_s)
            learned.rate = p.rate_margin * rate
        else:
            learned.rate = math.sqrt(lowest * highest)
        doubling_s = p.rate_doubling_pauses * max(MIN_DOUBLING_PAUSE_S, self._pause_s)
        doubling_s = min(doubling_s, p.rate_trust * seconds)
        learned.rate_doubling_s = doubling_s if learned.burst >= 0 else GUESS_DOUBLING_S
        learned.rate_age_s = 0.0
