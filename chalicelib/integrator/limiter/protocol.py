"""What the integrator needs of a limit, whichever policy it follows."""

from collections.abc import Callable
from typing import Any, Protocol

Clock = Callable[[], float]


class Limiter(Protocol):
    """What the integrator needs of a limiter."""

    recent_failures: int  # since the limit was last judged

    @property
    def limit(self) -> float:
        """Calls allowed open at once, 1 at least; its whole part counts."""

    @property
    def not_before(self) -> float:
        """The clock's time before which no call may be sent."""

    def on_start(self) -> None:
        """A call is being sent."""

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        """A call has ended, well if ``ok``; ``dropped`` if by pushback or silence (429, 503,
        refused, reset, timeout). ``inflight`` calls were open when it was sent, itself included."""

    def on_retry_after(self, seconds: float) -> None:
        """The result that follows carried a Retry-After of so many seconds."""

    def snapshot(self) -> dict[str, Any]:
        """What is learned, as JSON can hold it."""

    def restore(self, state: Any) -> None:
        """Take up what an earlier limiter of this kind had learned."""
