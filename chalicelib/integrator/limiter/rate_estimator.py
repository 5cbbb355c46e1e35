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
    MAX_DOUBLINGS,
    MAX_SLOT_S,
    MAX_WAIT_S,
    MIN_DOUBLING_PAUSE_S,
    MIN_INTERVAL_S,
    MIN_PAUSE_S,
    RATE_GROWTH_EXPONENT,
    RATE_KEEP,
    Parameters,
)
from chalicelib.integrator.limiter.state import LearnedState

# What a lesson changes in the learned state.
_RATE = ("rate", "burst", "rate_age_s", "rate_doubling_s")


class RateEstimator:
    """Estimates rate and burst of a token bucket, and spaces calls at that rate.

    An *interval* is the time from a pause to the next refusal. In it a bucket admits the tokens it
    holds + rate * time. In the first interval it holds the whole burst, after a pause at most
    rate * pause: two intervals of different length give rate and burst.

    The paced rate grows slowly at first, as in TCP CUBIC (RFC 9438 §4.2), and exponentially later.
    It grows the slower the longer the pauses are.

    An *empty* interval admits no call: the legacy is unavailable, rather than limiting a rate. What
    the interval before it has taught is forgotten. One call then goes ahead after each pause, and
    the others follow once it has succeeded. A bucket that fills by less than a call per pause has
    empty intervals too. What an interval after an empty one teaches is kept, but as a guess only.

    Attributes:
        not_before: the time before which the pace or a pause allows no call.
    """

    def __init__(self, parameters: Parameters, learned: LearnedState, not_before: float) -> None:
        self._p, self._learned = parameters, learned
        self._first_interval = 0, math.inf  # calls admitted, and its seconds
        self._refused_at: float | None = None
        self.not_before, self._pause_s, self._last_sent_at = not_before, MIN_PAUSE_S, -math.inf
        self._is_ahead = learned.pause_s > 0  # one call goes ahead of the others
        self._follows_empty = False
        self._before_lesson: dict[str, float] = {}  # what the last lesson replaced, by name
        self._admitted_early = 0
        self._begin_interval(0.0, math.inf)

    def _begin_interval(self, now: float, rested_s: float) -> None:
        """Begin an interval, after a rest in which the bucket has filled."""
        self._began_at, self._rested_s = now, rested_s
        # A call that was admitted early in the rest has taken a token.
        self._sent = self._admitted_early
        self._refused = self._admitted_early = 0

    @property
    def is_refused(self) -> bool:
        """Whether no call has succeeded since the last refusal."""
        return self._is_ahead or self._refused_at is not None

    def on_start(self, now: float) -> None:
        """Count a call that is sent, and set the time of the next."""
        learned = self._learned
        if self._refused_at is not None:
            self._end_interval(self._refused_at - self._began_at, now)
        since_last_s = max(0.0, now - self._last_sent_at)
        if since_last_s <= IDLE_S + IDLE_SLOTS * self._slot_s():
            learned.rate_age_s += since_last_s
        elif not (self._is_ahead and self._sent):
            self._begin_interval(now, since_last_s)
        self._last_sent_at = now
        self._sent += 1
        slot_s = self._slot_s()
        if self._is_ahead:
            self.not_before = now + max(self._pause_s, slot_s)
        elif slot_s:
            earliest = min(max(self.not_before, now - CATCH_UP_SLOTS * slot_s), now + MAX_WAIT_S)
            self.not_before = earliest + slot_s

    def _slot_s(self) -> float:
        """Return the time between two calls at the paced rate; 0 without a rate."""
        learned = self._learned
        if not learned.rate:
            return 0.0
        doublings = (learned.rate_age_s / learned.rate_doubling_s) ** RATE_GROWTH_EXPONENT
        return min(MAX_SLOT_S, math.pow(0.5, min(MAX_DOUBLINGS, doublings)) / learned.rate)

    def on_success(self, now: float, sent_at: float) -> None:
        """Let the other calls follow the one that has gone ahead."""
        if self._is_ahead and self._refused_at is None and sent_at >= self._began_at:
            self._is_ahead = False
            self.not_before = max(now, self._last_sent_at + self._slot_s())

    def on_refusal(self, now: float, sent_at: float, pause_s: float) -> bool:
        """Count a refused call; the first one of an interval pauses all calls.

        Returns:
            Whether this call begins a pause.
        """
        if sent_at < self._began_at:
            return False  # sent before the last pause
        self._refused += 1
        if self._refused_at is None:
            self._refused_at, self._pause_s = sent_at, pause_s
            self.not_before = self._last_sent_at = now + pause_s
            return True
        return False

    def prolong(self, not_before: float) -> None:
        """Prolong the present pause."""
        self.not_before = self._last_sent_at = max(self.not_before, not_before)

    def shorten(self, now: float, sent_at: float) -> None:
        """End the present pause early: a call of ``sent_at`` was admitted in it."""
        self._pause_s = max(MIN_PAUSE_S, self._pause_s - (self.not_before - now))
        self._admitted_early = 1
        self._last_sent_at = sent_at
        self.not_before = max(now, sent_at + self._slot_s())

    def forgive(self, now: float) -> None:
        """End the present pause, and learn nothing from the refusal that began it."""
        self._refused_at, self._is_ahead = None, False
        self.not_before = self._last_sent_at = now

    def pause(self, now: float, pause_s: float) -> None:
        """Begin an interval with a pause, after refusals that have taught nothing."""
        self._begin_interval(now, pause_s)
        self._refused_at, self._pause_s, self._is_ahead = None, pause_s, True
        self.not_before = self._last_sent_at = now + pause_s

    def _end_interval(self, seconds: float, now: float) -> None:
        """Learn from an interval that a refusal has ended, and begin the next one."""
        learned, rested_s, self._refused_at = self._learned, self._pause_s, None
        is_empty = self._sent <= self._refused
        if is_empty:
            rested_s += self._rested_s + seconds
            for name, value in self._before_lesson.items():
                setattr(learned, name, value)
            self._before_lesson = {}
        else:
            lesson = {} if self._follows_empty else {each: getattr(learned, each) for each in _RATE}
            self._before_lesson = lesson
            self._learn(seconds)
        self._follows_empty = self._is_ahead = is_empty
        self._begin_interval(now, rested_s)

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
        if self._follows_empty:
            learned.burst = -1
        doubling_s = p.rate_doubling_pauses * max(MIN_DOUBLING_PAUSE_S, self._pause_s)
        doubling_s = min(doubling_s, p.rate_trust * seconds)
        learned.rate_doubling_s = doubling_s if learned.burst >= 0 else GUESS_DOUBLING_S
        learned.rate_age_s = 0.0
