"""Decide whom a Retry-After concerns: all calls, or only some.

A legacy that limits the rate of all calls refuses the next ones, too. But a broken node behind a
balancer, or a limit for each employee or employer, refuses some calls while others are delivered.
To pause all calls for these would idle the legacy.

A Retry-After of 30 s that concerns all calls means: none is accepted for 30 s. So it does not
concern all calls if one that was sent later is delivered meanwhile. Calls show it that were in
flight with the refused one; without them, one call is sent early in the pause. In a pause of more
than a minute one is sent after a minute in any case: if it is delivered, the pause ends.

- *Wide*, the default: a refusal pauses all calls, and ``RateEstimator`` learns from it.
- *Narrow*: a refusal is a failure among others, and ``FailureDetector`` judges its cause. The
  learned rate does not count. This ends as soon as most calls are refused, all fail, or load is the
  cause: then the refusals concern all calls after all, and are taken so for a while.
"""

import math

from chalicelib.integrator.limiter.parameters import (
    EARLY_CALL_MAX_SKIPPED,
    EARLY_CALL_MIN_PAUSE_S,
    EARLY_CALL_S,
    LONG_PAUSE_S,
    MAX_WAIT_S,
    NARROW_CALLS,
    NARROW_LOAD_SHARE,
    NARROW_MAX_SHARE,
    NARROW_RATE_FACTOR,
    NARROW_TRUSTED_CALLS,
    NOISE_CALLS,
    SURPRISES,
    WIDE_GROWTH,
    WIDE_MAX_S,
    WIDE_MIN_PAUSES,
    WIDE_MIN_S,
)
from chalicelib.integrator.limiter.rate_estimator import RateEstimator
from chalicelib.integrator.limiter.state import LearnedState


class RefusalScope:
    """Passes refusals on to the rate estimator while they concern all calls.

    Attributes:
        is_narrow: whether refusals concern some calls only.
        early_call_at: when a call is sent early in the present pause; infinity if none is.
    """

    def __init__(self, learned: LearnedState, rate: RateEstimator, now: float) -> None:
        self._learned, self._rate = learned, rate
        self.is_narrow = False
        self.early_call_at = math.inf
        self._early_sent_at: float | None = None
        self._skipped = self._to_skip = 0  # pauses without an early call, since one was refused
        self._refused_sent_at: float | None = None  # of the call that began the pause
        self._pause_s, self._paused_at, self._paused_until = 0.0, now, now
        self._is_surprise, self._surprises = False, 0
        self._delivered = self._refused = 0  # of the calls sent after it
        self._calls = 0.0  # since the scope is narrow; these and the refused ones among them fade
        self._calls_refused = 0.0
        self._trusted = 0
        self._wide_until = now + learned.wide_s
        self._wide_for_s = WIDE_MIN_S
        self._last_rate = 0.0  # the learned rate before the scope became narrow
        if learned.check_s:  # the run before has ended in a long pause
            self.early_call_at = now + learned.check_s
            self._refused_sent_at, self._pause_s = -math.inf, MAX_WAIT_S
            self._paused_at = self.early_call_at - LONG_PAUSE_S
            self._paused_until = now + learned.pause_s

    def wide_s(self, now: float) -> float:
        """Return for how long refusals concern all calls without a further trial."""
        return max(0.0, self._wide_until - now)

    def check_s(self, now: float) -> float:
        """Return the time until a call checks the present long pause; 0 if none does."""
        is_checked = self._pause_s > LONG_PAUSE_S and self.early_call_at < math.inf
        return max(0.0, self.early_call_at - now) if is_checked else 0.0

    def on_start(self, now: float) -> bool:
        """Count a call that is sent; return whether it is an early call, which has no pace."""
        if now < self.early_call_at:
            return False
        self.early_call_at, self._early_sent_at = math.inf, now
        return True

    def on_refusal(self, now: float, sent_at: float, pause_s: float) -> None:
        """Pause all calls after a refusal while the scope is wide."""
        if self._is_early(sent_at):
            self._early_sent_at = None
            self._surprises = max(0, self._surprises - 1)
            if not self._surprises:  # the pause holds, and so may the next ones
                self._to_skip = min(EARLY_CALL_MAX_SKIPPED, 2 * self._to_skip + 1)
            self._paused_until = max(self._paused_until, now + pause_s)
            self._rate.prolong(self._paused_until)
            return
        is_surprise = self._rate.is_steady
        if self._rate.on_refusal(now, sent_at, pause_s):
            self._is_surprise = is_surprise
            self._refused_sent_at = sent_at
            self._pause_s, self._paused_at, self._paused_until = pause_s, now, now + pause_s
            self._delivered = self._refused = 0
            self.early_call_at = now + LONG_PAUSE_S if pause_s > LONG_PAUSE_S else math.inf
            # An early call would take a token from a bucket that the learned rate explains.
            if pause_s < EARLY_CALL_MIN_PAUSE_S or not is_surprise or now < self._wide_until:
                return
            self._skipped += 1
            if self._skipped > self._to_skip:
                self._skipped = 0
                self.early_call_at = now + min(EARLY_CALL_S, pause_s / 2)
        elif self._refused_sent_at is not None and sent_at > self._refused_sent_at:
            self._refused += 1

    def on_delivery(self, now: float, sent_at: float, in_flight: int) -> None:
        """Learn from a delivery; in a pause it may show that the pause does not concern all.

        Args:
            now: the present.
            sent_at: when the call was sent.
            in_flight: the calls that are still in flight.
        """
        if self.is_narrow or self._refused_sent_at is None or sent_at <= self._refused_sent_at:
            return
        if now >= self._paused_until:
            self._end_pause()
            return
        self._delivered += 1
        is_early = self._is_early(sent_at)
        if not (is_early or self._delivered >= NARROW_CALLS or not in_flight):
            return
        if self._delivered <= self._refused:
            return
        if self._pause_s > LONG_PAUSE_S:
            self._paused_until = max(now, self._paused_at + LONG_PAUSE_S)
            self._rate.shorten(self._paused_until)
        if now < self._wide_until:
            return
        if self._is_surprise:
            self._to_skip = 0
        self._surprises = max(0, self._surprises + (1 if self._is_surprise else -1))
        if self._surprises >= SURPRISES:
            self._become_narrow(now)
        else:
            self._early_sent_at = self._refused_sent_at = None  # it has shown what it can

    def on_narrow_result(self, now: float, in_flight: int, *, refused: bool) -> bool:
        """Count a call while the scope is narrow; return whether it has become wide.

        A refusal comes before the responses of calls that were sent with it, so that those in
        flight count as delivered.
        """
        fade = 1 - 1 / (2 * NARROW_CALLS)
        self._calls = self._calls * fade + 1
        self._calls_refused = self._calls_refused * fade + refused
        self._trusted += 1
        if self._trusted < NARROW_CALLS:
            return False
        if self._calls_refused > NARROW_MAX_SHARE * (self._calls + in_flight):
            self.become_wide(now)
            return True
        # A pool that is filled at once shows many refusals before the first delivery.
        is_filled = self._trusted >= NARROW_CALLS + self._learned.limit
        self._learned.rate = 0.0 if is_filled else self._full_rate
        if self._trusted >= NARROW_TRUSTED_CALLS:
            self._wide_for_s = WIDE_MIN_S
        return False

    def become_wide(self, now: float) -> None:
        """Take refusals for ones of all calls, for a while."""
        self.is_narrow = False
        learned = self._learned
        if self._trusted < NARROW_TRUSTED_CALLS:
            learned.rate = self._last_rate
        wide_s = max(self._wide_for_s, WIDE_MIN_PAUSES * self._pause_s)
        self._wide_until = now + min(WIDE_MAX_S, wide_s)
        self._wide_for_s = min(WIDE_MAX_S, WIDE_GROWTH * self._wide_for_s)

    @property
    def may_be_load(self) -> bool:
        """Whether so many calls were refused that load, if there is any, may be the cause."""
        share = self._calls_refused / max(1.0, self._calls)
        is_trial = NOISE_CALLS <= self._trusted < NARROW_TRUSTED_CALLS
        return is_trial and share > NARROW_LOAD_SHARE

    @property
    def _full_rate(self) -> float:
        """The rate of calls at which the pool is full, by Little's law."""
        return self._learned.limit / self._learned.base_s

    def _is_early(self, sent_at: float) -> bool:
        early_at = self._early_sent_at
        return early_at is not None and early_at <= sent_at < self._paused_until

    def _become_narrow(self, now: float) -> None:
        learned = self._learned
        self.is_narrow = True
        self._calls = self._calls_refused = 0.0
        self._trusted = self._to_skip = self._skipped = self._surprises = 0
        self._end_pause()
        self._last_rate = learned.rate
        # The first calls show whether the rate counts.
        learned.rate = min(NARROW_RATE_FACTOR * learned.rate or self._full_rate, self._full_rate)
        self._rate.forgive(now)

    def _end_pause(self) -> None:
        self.early_call_at, self._early_sent_at, self._refused_sent_at = math.inf, None, None
