"""The interface of a limiter, whichever policy it follows."""

from collections.abc import Callable
from typing import Any, Protocol

Clock = Callable[[], float]
"""Returns the time in seconds; its origin does not matter."""


class Limiter(Protocol):
    """Decides how many calls may be in flight, and when the next one may be sent."""

    recent_failures: int
    """Failed calls since the limit was last adjusted."""

    @property
    def limit(self) -> float:
        """Most calls in flight, at least 1; the integer part counts."""

    @property
    def not_before(self) -> float:
        """The clock's time before which no call may be sent."""

    def on_start(self) -> None:
        """Report a call that is being sent."""

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        """Report a call that has ended.

        Args:
            ok: the legacy has accepted the record.
            latency_s: the time since the call was sent.
            inflight: calls in flight when it was sent, itself included.
        """

    def on_refused(self, latency_s: float, inflight: int) -> None:
        """Report a call that has ended with a refusal of its record; arguments as above.

        The legacy is available, but a refusal does not take the time of a delivery: it says nothing
        about the legacy's capacity.
        """

    def on_retry_after(self, seconds: float) -> None:
        """Report that the next result carries a Retry-After."""

    def snapshot(self) -> dict[str, Any]:
        """Return what the limiter has learned, ready for JSON."""

    def restore(self, snapshot: Any, idle_s: float = 0.0) -> None:
        """Continue from the snapshot of an earlier limiter of the same policy.

        Args:
            snapshot: what the earlier limiter had learned.
            idle_s: the time since then, which counts for pauses.
        """
