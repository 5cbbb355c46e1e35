"""The classic limiter, the project's first rule: multiplicative increase and decrease (MIMD)."""

from typing import Any

from chalicelib.integrator.limiter.protocol import Clock

INITIAL_LIMIT = 6.0
INCREASE, DECREASE = 1.015, 0.90  # factors of the limit


class ClassicLimiter:
    """Grows by 1.5 % each time the calls in flight reach the limit.

    If a call has failed since the last time, it shrinks by 10 % instead.

    Example: 6 → 6.09 → 6.18135 → (two failures) → 5.563215.
    """

    def __init__(self, clock: Clock, *, max_limit: float = 1_000.0) -> None:
        self._clock, self._max_limit = clock, max_limit
        self.limit, self.not_before = INITIAL_LIMIT, 0.0
        self._in_flight = self.recent_failures = 0

    def on_start(self) -> None:
        """Count a call that is being sent; adjust the limit if it is reached."""
        self._in_flight += 1
        if self._in_flight >= int(self.limit):
            factor = DECREASE if self.recent_failures else INCREASE
            self.limit = min(self._max_limit, max(1.0, self.limit * factor))
            self.recent_failures = 0

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        """Count a call that has ended; only its success matters."""
        del latency_s, inflight
        self._in_flight -= 1
        self.recent_failures += not ok

    def on_refused(self, latency_s: float, inflight: int) -> None:
        """Count a call that has ended."""
        self.on_result(True, latency_s, inflight)

    def on_retry_after(self, seconds: float) -> None:
        """Pause all calls."""
        self.not_before = max(self.not_before, self._clock() + seconds)

    def snapshot(self) -> dict[str, Any]:
        """Return the limit."""
        return {"limit": self.limit}

    def restore(self, snapshot: Any, idle_s: float = 0.0) -> None:
        """Continue at a snapshot's limit."""
        del idle_s
        self.limit = min(self._max_limit, max(1.0, float(snapshot["limit"])))
