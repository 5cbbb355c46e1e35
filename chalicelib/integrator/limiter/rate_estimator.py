"""Learn the rate limit of a legacy that refuses with Retry-After, and pace calls just below it."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import replace

from chalicelib.integrator.limiter.parameters import (
    BISECTIONS,
    CATCH_UP_SLOTS,
    FRACTION_MIN_CALLS,
    GUESS_DOUBLING_S,
    GUESS_PEAK,
    GUESS_S,
    GUESS_SCALE,
    IDLE_S,
    IDLE_SLOTS,
    LIFTED_CALLS,
    LIFTED_FACTOR,
    LIFTED_SLOTS,
    LIFTED_SPEED,
    MAX_DOUBLINGS,
    MAX_SLOT_S,
    MAX_WAIT_S,
    MIN_DOUBLING_PAUSE_S,
    MIN_INTERVAL_S,
    MIN_PAUSE_S,
    RATE_GROWTH_EXPONENT,
    RATE_KEEP,
    REFILL_SHARE,
    SURPRISE_AGE,
    SURPRISE_CALLS,
    TRIAL_CALLS,
    TRUST_PAUSES,
    Parameters,
)
from chalicelib.integrator.limiter.send_log import SendLog
from chalicelib.integrator.limiter.state import LearnedState

# What a lesson changes in the learned state.
_RATE = ("rate", "burst", "first_calls", "first_s", "rate_age_s", "rate_doubling_s")


class RateEstimator:
    """Estimates rate and burst of a token bucket, and spaces calls at that rate.

    An *interval* is the time from a pause to the last refusal before the next pause. From any time
    at which the bucket is full, it admits burst + rate * time. It is full at the beginning of the
    first interval, and later whenever calls are sent below its rate: two intervals of different
    length give rate and burst. After a pause most of the tokens that it has added are used at once.

    The paced rate grows slowly at first, as in TCP CUBIC (RFC 9438 §4.2), and exponentially later.
    It grows the slower the longer the pauses are. Once more calls were sent without a refusal than
    a bucket of a slightly higher rate admits, the limit was lifted, and it grows fast.

    An *empty* interval admits no call: the legacy is unavailable, rather than limiting a rate. What
    the interval before it has taught is forgotten. One call then goes ahead after each pause, and
    the others follow once it has succeeded. A bucket that fills by less than a call per pause has
    empty intervals too. What an interval after an empty one teaches is kept, but as a guess only.

    Attributes:
        not_before: the time before which the pace or a pause allows no call.
    """

    def __init__(self, parameters: Parameters, learned: LearnedState, not_before: float) -> None:
        self._p, self._learned = parameters, learned
        # The length of the first interval, and the tokens that a full bucket needed for it, by the
        # rate at which it is filled.
        self._first_s = learned.first_s if learned.first_calls else math.inf
        self._measures_burst = learned.burst < 0  # if not, it is that of an earlier run
        self._first_tokens: Callable[[float], float] = lambda rate: (
            max(0.0, learned.first_calls - rate * learned.first_s)
            if learned.burst < 0
            else learned.burst
        )
        self._refused_at: float | None = None
        self._refused_until = -math.inf  # when the latest refused call was sent
        self.not_before, self._pause_s = not_before, MIN_PAUSE_S
        self._last_sent_at = not_before if learned.rested_s else -math.inf
        self._is_ahead = learned.pause_s > 0  # one call goes ahead of the others
        self._follows_empty = False
        self._before_lesson: dict[str, float] = {}  # what the last lesson replaced, by name
        if learned.burst < 0 and learned.rested_s:  # a guess, perhaps from an outage's beginning
            self._before_lesson = {each: getattr(LearnedState(), each) for each in _RATE}
        self._begin_interval(not_before, learned.rested_s or math.inf)

    def _begin_interval(self, now: float, rested_s: float) -> None:
        """Begin an interval, after a rest in which the bucket has filled."""
        self._began_at, self._rested_s = now, rested_s
        self._sent = self._refused = 0
        self._log = SendLog()
        self._is_lifted = False  # the rate is higher than was learned
        self._excess = 0.0  # tokens used beyond those of LIFTED_FACTOR times the learned rate
        learned = self._learned
        added = min(learned.burst, learned.rate * rested_s) if math.isfinite(rested_s) else 0.0
        self._refilled = REFILL_SHARE * added  # calls that need not wait for their slot

    @property
    def is_refused(self) -> bool:
        """Whether no call has succeeded since the last refusal."""
        return self._is_ahead or self._refused_at is not None

    @property
    def is_steady(self) -> bool:
        """Whether the paced rate has hardly grown since it was learned.

        A refusal is then a surprise.
        """
        learned = self._learned
        if not learned.rate or self._is_lifted:
            return False
        steady_s = max(SURPRISE_AGE * learned.rate_doubling_s, SURPRISE_CALLS / learned.rate)
        return learned.rate_age_s < steady_s

    def on_start(self, now: float) -> None:
        """Count a call that is sent, and set the time of the next."""
        learned = self._learned
        if self._refused_at is not None:
            self._end_interval(self._refused_until - self._began_at, now)
        since_last_s = max(0.0, now - self._last_sent_at)
        if since_last_s <= IDLE_S + IDLE_SLOTS * self._slot_s():
            learned.rate_age_s += since_last_s
        elif not (self._is_ahead and self._sent):
            self._begin_interval(now, since_last_s)
        self._note_excess(since_last_s)
        self._last_sent_at = now
        self._log.add(now, self._sent)
        self._sent += 1
        slot_s = self._slot_s()
        if self._is_ahead:
            self.not_before = now + max(self._pause_s, slot_s)
        elif self._refilled >= 1:
            self._refilled -= 1
        elif slot_s:
            earliest = min(max(self.not_before, now - CATCH_UP_SLOTS * slot_s), now + MAX_WAIT_S)
            self.not_before = earliest + slot_s

    def _note_excess(self, since_last_s: float) -> None:
        """Let the rate grow fast once more calls were sent than the bucket could have admitted."""
        learned = self._learned
        if self._is_lifted or learned.burst < 0 or not learned.rate:
            return
        added = LIFTED_FACTOR * learned.rate * since_last_s
        self._excess = max(0.0, self._excess - added) + 1
        if self._excess > learned.burst + LIFTED_CALLS:
            self._is_lifted = True
            slot_s = self._slot_s()
            fast_s = learned.rate_doubling_s / LIFTED_SPEED
            fast_s = max(fast_s, GUESS_DOUBLING_S, LIFTED_SLOTS * slot_s)
            if fast_s < learned.rate_doubling_s:
                learned.rate, learned.rate_doubling_s, learned.rate_age_s = 1 / slot_s, fast_s, 0.0

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
        self._refused_until = max(self._refused_until, sent_at)
        if self._refused_at is None:
            self._refused_at, self._pause_s = sent_at, pause_s
            self.not_before = self._last_sent_at = now + pause_s
            return True
        return False

    def prolong(self, not_before: float) -> None:
        """Prolong the present pause."""
        self.not_before = self._last_sent_at = max(self.not_before, not_before)

    def shorten(self, until: float) -> None:
        """End the present pause sooner; what its refusal teaches stays."""
        if until < self.not_before:
            self.not_before = self._last_sent_at = until
            self._began_at = min(self._began_at, until)  # a run may begin in a pause
            if self._refused_at is not None:
                self._pause_s = min(self._pause_s, until - self._refused_at)

    def forgive(self, now: float) -> None:
        """End the present pause, and learn nothing from the refusal that began it."""
        self._refused_at, self._is_ahead = None, False
        self.not_before = self._last_sent_at = now

    def pause(self, now: float, pause_s: float) -> None:
        """Begin an interval with a pause, after refusals that have taught nothing."""
        self._begin_interval(now, pause_s)
        self._refused_at, self._pause_s, self._is_ahead = None, pause_s, True
        self.not_before = self._last_sent_at = now + pause_s

    def after_pause(self) -> LearnedState:
        """Return the state as it will be after the present pause, or as it is if there is none.

        A run that ends in a pause passes on what its last interval has taught. Otherwise runs
        shorter than two pauses would never learn the rate.
        """
        after = copy(self)
        after._learned = learned = replace(self._learned)
        if self._refused_at is not None:
            after._end_interval(self._refused_until - self._began_at, self.not_before)
        is_known = self.is_refused and math.isfinite(after._rested_s)
        learned.rested_s = after._rested_s if is_known else 0.0
        return learned

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

        The rate is at least ``calls / (rested + seconds)``, were the bucket filled only since the
        last refusal.
        """
        p, learned, log, until = self._p, self._learned, self._log, self._refused_until
        last_rate = learned.rate
        seconds, calls = max(MIN_INTERVAL_S, seconds), max(1, self._sent - self._refused)
        highest, lowest = calls / seconds, calls / (self._rested_s + seconds)
        if not learned.rate or (learned.burst < 0 and not learned.first_calls):
            # The first interval has the burst in it, so that the rate is a guess.
            self._first_s, self._measures_burst = seconds, True
            self._first_tokens = lambda rate: max(0.0, log.tokens_used(rate, calls, until))
            learned.burst = -1
            steady = calls / (GUESS_S + seconds)
            learned.rate = min(GUESS_PEAK * highest, GUESS_SCALE * steady)
            learned.first_calls, learned.first_s = log.calls_from_full(steady / 2, calls, until)
        elif learned.burst >= 0 or seconds > self._first_s:
            paced = 1 / self._slot_s()
            rate = self._rate_of_bucket(lowest, max(highest, paced), calls)
            if self._measures_burst and seconds > self._first_s:
                learned.burst = self._first_tokens(rate)
            else:
                # If the rest before the interval is unknown, the bucket may not have been full, and
                # the rate is not lowered.
                rate = max(rate, learned.rate * (1 if math.isinf(self._rested_s) else RATE_KEEP))
            learned.rate = p.rate_margin * rate
        elif lowest:
            learned.rate = math.sqrt(lowest * highest)
        if self._follows_empty:
            learned.burst = -1
        doubling_s = p.rate_doubling_pauses * max(MIN_DOUBLING_PAUSE_S, self._pause_s)
        # A rate learned from few calls is tried again soon, but each trial costs a pause. If the
        # rate is about the last one, that has held for longer than this interval.
        held_s = learned.rate_age_s if learned.rate > RATE_KEEP * last_rate else 0.0
        held_s = max(seconds, held_s)
        trust_s = max(p.rate_trust * held_s, TRUST_PAUSES * self._pause_s * lowest * seconds)
        doubling_s = min(doubling_s, trust_s)
        # A pause in which hardly a call would be sent costs nothing.
        cheap_s = max(GUESS_DOUBLING_S, doubling_s * learned.rate * self._pause_s / TRIAL_CALLS)
        doubling_s = min(doubling_s, cheap_s)
        learned.rate_doubling_s = doubling_s if learned.burst >= 0 else GUESS_DOUBLING_S
        learned.rate_age_s = 0.0

    def _rate_of_bucket(self, low: float, high: float, calls: int) -> float:
        """Return the rate, from low to high, at which the bucket was empty at the refusal.

        When an interval begins, the bucket may hold a fraction of a token that whole calls do not
        show. After a refusal that comes as a surprise, a whole token is taken for such a fraction,
        and not for one that was filled in: the learned rate is too high.
        """
        is_surprise = self.is_steady and self._learned.burst >= 0 and calls >= FRACTION_MIN_CALLS
        fraction = 1.0 if is_surprise else 0.0
        for _ in range(BISECTIONS):
            rate = (low + high) / 2
            used = self._log.tokens_used(rate, calls, self._refused_until)
            if used > fraction + self._first_tokens(rate):
                low = rate
            else:
                high = rate
        return low
