"""The limit: how many calls to the legacy may be open at once, learned from how it answers.

Arithmetic only: time comes from the ``clock`` handed in, and nothing here waits or counts calls for
others. The integrator asks ``limit`` and ``not_before`` before each call and tells each start and
each result; what the limiter has learned goes from run to run through ``snapshot`` and ``restore``.
"""

from collections.abc import Callable
from typing import Any, Protocol

from chalicelib.integrator.limit.adaptive import Adaptive
from chalicelib.integrator.limit.evolved import deployed
from chalicelib.integrator.limit.parameters import Parameters
from chalicelib.integrator.limit.windowed import Windowed, WindowedParameters

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

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        """A call has ended, well if ``ok``; ``dropped`` if by pushback or silence (429, 503,
        refused, reset, timeout). ``inflight`` calls were open when it was sent, itself included."""

    def on_retry_after(self, seconds: float) -> None:
        """The result that follows carried a Retry-After of so many seconds."""

    def snapshot(self) -> dict[str, Any]:
        """What is learned, as JSON can hold it."""

    def restore(self, state: Any) -> None:
        """Take up what an earlier limiter of this kind had learned."""


class Classic:
    """The founding heuristic: each time the open calls reach the limit it grows by 1.5 %, or
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

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        del latency_s, dropped, inflight
        self._open -= 1
        self.recent_failures += not ok

    def on_retry_after(self, seconds: float) -> None:
        self.not_before = max(self.not_before, self._clock() + seconds)

    def snapshot(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def restore(self, state: Any) -> None:
        self.limit = min(self._most, max(1.0, float(state["limit"])))


BY_HAND = Parameters()


def classic(clock: Clock, *, most: float = 1_000.0) -> Classic:
    """Make the founding heuristic, starting at a limit of 6."""
    return Classic(clock, most=most)


def adaptive(clock: Clock, *, most: float = 1_000.0, parameters: Parameters = BY_HAND) -> Adaptive:
    """Make the limit that learns; its parameters are tuned by hand unless others are given."""
    return Adaptive(clock, most=most, parameters=parameters)


def evolved(
    clock: Clock, *, most: float = 1_000.0, parameters: Parameters | None = None
) -> Adaptive:
    """Make the limit that learns; its parameters are the evolved ones unless others are given."""
    return Adaptive(clock, most=most, parameters=parameters or deployed("evolved"))


def windowed(
    clock: Clock, *, most: float = 1_000.0, parameters: WindowedParameters | None = None
) -> Windowed:
    """Make the founding heuristic judged by window; its numbers are evolved, likewise."""
    return Windowed(clock, most=most, parameters=parameters or deployed("windowed"))


POLICIES: dict[str, Callable[..., Limiter]] = {
    "adaptive": adaptive,
    "classic": classic,
    "evolved": evolved,
    "windowed": windowed,
}
