"""The limit: how many calls to the legacy may be open at once, learned from how it answers.

Arithmetic only: time comes from the ``clock`` handed in, and nothing here waits or counts calls for
others. The integrator asks ``limit`` and ``not_before`` before each call and tells each start and
each result; what the limiter has learned goes from run to run through ``snapshot`` and ``restore``.
"""

from collections.abc import Callable
from typing import Any, Protocol

from chalicelib.integrator.adaptive import Adaptive
from chalicelib.integrator.parameters import Parameters

Clock = Callable[[], float]

MIN_LIMIT = 1.0


class Limiter(Protocol):
    """What the integrator needs of a limiter."""

    recent_failures: int
    """Calls that failed since the limit was last judged."""

    @property
    def not_before(self) -> float:
        """The clock's time before which no call may be sent."""

    @property
    def limit(self) -> float:
        """Calls allowed open at once; its whole part counts."""

    def on_start(self) -> None:
        """A call is being sent."""

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        """A call has ended.

        Args:
            ok: the legacy accepted the record.
            latency_s: how long the call took.
            dropped: it failed by pushback or silence (429, 503, refused, reset, timeout).
            inflight: calls open when this one was sent, itself included.
        """

    def on_retry_after(self, seconds: float) -> None:
        """The result that follows carried a Retry-After of so many seconds."""

    def snapshot(self) -> dict[str, Any]:
        """What is learned, as JSON can hold it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what an earlier limiter of this kind had learned."""


class Classic:
    """The founding heuristic: a counter of open calls, a counter of failures and a limit.

    Each time the open calls reach the limit it is judged: without a failure since the last time it
    grows by 1.5 %, with one it shrinks by 10 %, and the failures are counted anew. Its trace:
    6 → 6.09 → 6.18135 → (two failures) → 5.563215.
    """

    GROW = 1.015
    SHRINK = 0.90

    def __init__(self, clock: Clock, *, initial: float = 6.0, most: float = 1_000.0) -> None:
        self._clock = clock
        self._limit = initial
        self._most = most
        self._open = 0
        self.recent_failures = 0
        self.not_before = 0.0

    @property
    def limit(self) -> float:
        return self._limit

    def on_start(self) -> None:
        self._open += 1
        if self._open >= int(self._limit):
            factor = self.SHRINK if self.recent_failures else self.GROW
            self._limit = min(self._most, max(MIN_LIMIT, self._limit * factor))
            self.recent_failures = 0

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        del latency_s, dropped, inflight
        self._open -= 1
        if not ok:
            self.recent_failures += 1

    def on_retry_after(self, seconds: float) -> None:
        self.not_before = max(self.not_before, self._clock() + seconds)

    def snapshot(self) -> dict[str, Any]:
        return {"limit": self._limit}

    def restore(self, state: dict[str, Any]) -> None:
        self._limit = min(self._most, max(MIN_LIMIT, float(state["limit"])))


def classic(clock: Clock, *, most: float = 1_000.0) -> Classic:
    """Make the founding heuristic, starting at a limit of 6."""
    return Classic(clock, most=most)


_BY_HAND = Parameters()


def adaptive(clock: Clock, *, most: float = 1_000.0, parameters: Parameters = _BY_HAND) -> Adaptive:
    """Make the limit that learns; its parameters are tuned by hand unless others are given."""
    return Adaptive(clock, most=most, parameters=parameters)


POLICIES: dict[str, Callable[..., Limiter]] = {"adaptive": adaptive, "classic": classic}
