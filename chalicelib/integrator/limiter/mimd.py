"""The classic rule, the project's first."""

from typing import Any

from chalicelib.integrator.limiter.protocol import Clock


class Classic:
    """The classic rule: each time the open calls reach the limit it grows by 1.5 %, or
    shrinks by 10 % if a call has failed since the last time.

    Its trace: 6 → 6.09 → 6.18135 → (two failures) → 5.563215.
    """

    def __init__(self, clock: Clock, *, most: float = 1_000.0) -> None:
        self._clock, self._most = clock, most
        self.limit, self.not_before = 6.0, 0.0
        self._open = self.recent_failures = 0

    def on_start(self) -> None:
        self._open += 1
        if self._open >= int(self.limit):
            factor = 0.90 if self.recent_failures else 1.015
            self.limit = min(self._most, max(1.0, self.limit * factor))
            self.recent_failures = 0

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        del latency_s, inflight
        self._open -= 1
        self.recent_failures += not ok

    def on_retry_after(self, seconds: float) -> None:
        self.not_before = max(self.not_before, self._clock() + seconds)

    def snapshot(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def restore(self, state: Any) -> None:
        self.limit = min(self._most, max(1.0, float(state["limit"])))
