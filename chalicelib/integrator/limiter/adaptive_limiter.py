"""The adaptive limiter: learn how many calls in flight the legacy handles best.

Four parts each decide one question, and share the ``LearnedState``:

- ``GradientLimit``, from latency: does one more call in flight add throughput?
- ``FailureDetector``, from failures: are they load, noise or an outage?
- ``RateEstimator``, from Retry-After: does the legacy limit the rate of calls?
- ``RefusalScope``: does a Retry-After concern all calls, or only some?
"""

from collections.abc import Callable
from heapq import heappop, heappush

from chalicelib.integrator.limiter.failure_detector import FailureDetector
from chalicelib.integrator.limiter.gradient import GradientLimit
from chalicelib.integrator.limiter.parameters import (
    CLOCK_ROUNDING_S,
    FIRST_LATENCY_S,
    MAX_LATENCY_S,
    MAX_WAIT_S,
    MIN_LATENCY_S,
    MIN_PAUSE_S,
    NARROW_PATIENCE,
    RECENT_WEIGHT,
    RESERVED_LATENCIES,
    RESERVED_SLOTS,
    Parameters,
)
from chalicelib.integrator.limiter.rate_estimator import RateEstimator
from chalicelib.integrator.limiter.refusal_scope import RefusalScope
from chalicelib.integrator.limiter.state import LearnedState, LimiterState


class AdaptiveLimiter:
    """A limiter for one run; ``snapshot`` and ``restore`` pass its state to the next run.

    Invariant: 1 ≤ ``limit`` ≤ ``max_limit``, and ``not_before`` is at most 300 s ahead,
    whatever the results and the clock are.
    """

    def __init__(
        self, clock: Callable[[], float], *, max_limit: float, parameters: Parameters
    ) -> None:
        self._clock, self._max_limit, self._p = clock, max_limit, parameters
        self.restore(None)

    def restore(self, snapshot: object, idle_s: float = 0.0) -> None:
        """Continue from a snapshot; start afresh if it is not one of this policy."""
        p, now = self._p, self._clock()
        fresh = LearnedState(p.initial_limit, background=p.initial_background)
        learned = LearnedState.restore(snapshot) or fresh
        learned.shorten_pauses(idle_s)
        learned.limit = min(self._max_limit, learned.limit)
        learned.ceiling = max(learned.ceiling, learned.limit)
        learned.lowered_ceiling = min(learned.lowered_ceiling, learned.ceiling)
        self._learned = learned
        self._gradient = GradientLimit(p, learned, self._max_limit, now)
        self._failures = FailureDetector(p, learned)
        self._rate = RateEstimator(p, learned, now + learned.pause_s)
        self._scope = RefusalScope(learned, self._rate, now)
        self._in_flight = self.recent_failures = 0
        self._retry_after_s: float | None = None
        self._reserved_until: list[float] = []  # slots of calls that failed fast, as a heap
        self._recent_latency_s = min(FIRST_LATENCY_S, learned.base_s)

    def snapshot(self) -> dict[str, float]:
        """Return what the limiter has learned; the next run repeats an unfinished probe."""
        snapshot = self._rate.after_pause().snapshot()
        if above := self._gradient.above_probe:
            snapshot |= {"limit": above.limit, "windows_since_probe": self._p.probe_interval}
        # No success since the last refusal: the next run begins as after a pause.
        least_s = MIN_PAUSE_S if self._rate.is_refused else 0.0
        snapshot["pause_s"] = max(least_s, self._rate.not_before - self._clock())
        snapshot["check_s"] = self._scope.check_s(self._clock())
        snapshot["wide_s"] = self._scope.wide_s(self._clock())
        return snapshot

    @property
    def state(self) -> LimiterState:
        """What decides the limit now."""
        if self._learned.outage:
            return LimiterState.OUTAGE
        if self._rate.not_before > self._clock():
            return LimiterState.PACED
        if self._failures.limit_before_cut:
            return LimiterState.TENTATIVE_CUT
        if self._gradient.above_probe:
            return LimiterState.PROBE
        return LimiterState.SLOW_START if self._learned.slow_start else LimiterState.STEADY

    @property
    def limit(self) -> float:
        """Most calls in flight; slots of calls that failed fast stay occupied for a while."""
        limit = self._learned.limit
        return limit if self._learned.outage else max(1.0, limit - self._reserved_slots)

    @property
    def _reserved_slots(self) -> int:
        reserved, now = self._reserved_until, self._clock()
        while reserved and reserved[0] <= now:
            heappop(reserved)
        return len(reserved)

    @property
    def not_before(self) -> float:
        """The clock's time before which no call may be sent."""
        rate_until = min(self._rate.not_before, self._scope.early_call_at)
        until = max(rate_until, self._failures.not_before)
        return min(until, self._clock() + MAX_WAIT_S)

    def on_start(self) -> None:
        """Count a call that is being sent."""
        now = self._clock()
        self._in_flight += 1
        if not self._scope.on_start(now):
            self._rate.on_start(now)
        self._failures.on_start(now)
        self._gradient.window.on_start(self._in_flight + self._reserved_slots, now)

    def on_retry_after(self, seconds: float) -> None:
        """Note the Retry-After of the next result."""
        self._retry_after_s = min(MAX_WAIT_S, max(MIN_PAUSE_S, seconds))

    def on_refused(self, latency_s: float, inflight: int) -> None:
        """Learn that the legacy is available, and leave the call out of the sample window."""
        self._end_call(True, latency_s, inflight, is_sample=False)

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        """Learn from a call that has ended."""
        self._end_call(ok, latency_s, inflight, is_sample=True)

    def _end_call(self, ok: bool, latency_s: float, inflight: int, *, is_sample: bool) -> None:
        now, gradient = self._clock(), self._gradient
        latency_s = min(MAX_LATENCY_S, max(MIN_LATENCY_S, latency_s))
        sent_at = now - latency_s + CLOCK_ROUNDING_S
        self._in_flight = max(0, self._in_flight - 1)
        self.recent_failures += not ok
        retry_after_s, self._retry_after_s = self._retry_after_s, None
        has_moved = False
        if retry_after_s is not None and not self._scope.is_narrow:
            self._scope.on_refusal(now, sent_at, retry_after_s)
        else:
            if ok:
                self._scope.on_delivery(now, sent_at, self._in_flight)
                self._rate.on_success(now, sent_at)
            else:
                self._reserve_slot(now, latency_s)
            patience_s = NARROW_PATIENCE * self._recent_latency_s
            self._failures.patience_s = patience_s if self._scope.is_narrow else 0.0
            has_moved = self._failures.on_result(ok, sent_at, now)
            if self._scope.is_narrow:
                self._check_scope(retry_after_s, now)
        if has_moved:
            if self._failures.needs_probe:
                self._failures.needs_probe = False
                gradient.probe_soon()
            gradient.restart_window(now)
        elif not self._learned.outage:
            if ok and is_sample:
                self._recent_latency_s += RECENT_WEIGHT * (latency_s - self._recent_latency_s)
                gradient.on_success()
            # With reserved slots the limit is reached, too: else there would be neither windows nor
            # probes while many calls fail.
            window, occupied = gradient.window, inflight + self._reserved_slots
            is_complete = (
                window.on_result(ok, latency_s, occupied, sent_at)
                if is_sample
                else window.on_refused(occupied, sent_at)
            )
            if is_complete:
                self.recent_failures = 0
                if self._failures.limit_before_cut:
                    gradient.restart_window(now)  # the cause of the failures has to be known first
                else:
                    gradient.on_window(now)

    def _check_scope(self, retry_after_s: float | None, now: float) -> None:
        """While refusals concern some calls only: notice if they concern all."""
        scope = self._scope
        is_load = self._failures.is_load and scope.may_be_load
        if self._learned.outage or is_load:
            scope.become_wide(now)
        elif not scope.on_narrow_result(now, self._in_flight, refused=retry_after_s is not None):
            return
        if retry_after_s is not None:
            self._failures.forget_outage()
            self._rate.pause(now, retry_after_s)

    def _reserve_slot(self, now: float, latency_s: float) -> None:
        """Keep a failed call's slot for as long as a successful call would have held it.

        Otherwise refusals at once would raise the rate of calls.
        """
        longest_s = RESERVED_LATENCIES * self._recent_latency_s
        remaining_s = min(self._learned.base_s, longest_s) - latency_s
        if remaining_s > 0 and len(self._reserved_until) < RESERVED_SLOTS * self._learned.limit:
            heappush(self._reserved_until, now + remaining_s)
