"""A sample of calls at one limit: how long they took, and how many succeeded."""

import math

from chalicelib.integrator.limiter.parameters import (
    CLOCK_ROUNDING_S,
    SAME_INSTANT_S,
    WINDOW_COMPLETE,
    WINDOW_PATIENCE,
)


class SampleWindow:
    """A sample of calls that were sent one after another at one limit.

    It is complete once most of its calls have ended: the slowest fifth is not awaited. Calls sent
    with fewer than ``full`` slots occupied, by calls in flight or by reservations, are not sampled:
    they show nothing about the limit. The occupied slots are counted again when a call ends: a
    reservation may have ended meanwhile. That may leave too few calls in a window. It is therefore
    complete as well once all calls that were sent in its time have ended, or many that were sent
    later.

    Attributes:
        limit: the limit at which the calls are sent.
        ended: how many calls of the sample have ended.
        succeeded: how many of these succeeded.
        log_latency: the mean of the logarithms of their latencies in s.
        variance: the variance of these logarithms.
    """

    def __init__(self, limit: int, size: int, full: float, now: float) -> None:
        self.limit, self._size, self._full = limit, size, full
        self._began_at, self._sent_until = now, math.inf
        self._awaited = 0  # calls sent in the window's time, whether sampled or not
        self._sent = self._refused = self._ended_later = self.ended = self.succeeded = 0
        self.log_latency = self.variance = 0.0

    def on_start(self, occupied: int, now: float) -> None:
        """Count a call that is sent; with the last one, close the window to later calls."""
        self._awaited += now + CLOCK_ROUNDING_S < self._sent_until
        self._sent += occupied >= self._full
        if self._sent > self._size:
            self._sent_until = min(self._sent_until, now + SAME_INSTANT_S)

    def on_result(self, ok: bool, latency_s: float, occupied: int, sent_at: float) -> bool:
        """Add a call's result; return whether the window is complete."""
        self._count_end(sent_at)
        if self._includes(occupied, sent_at):
            self.ended += 1
            if ok:  # Welford's recurrence
                self.succeeded += 1
                deviation = math.log(latency_s) - self.log_latency
                self.log_latency += deviation / self.succeeded
                self.variance += (
                    deviation * deviation * (1 - 1 / self.succeeded) - self.variance
                ) / self.succeeded
        return self._is_complete

    def on_refused(self, occupied: int, sent_at: float) -> bool:
        """Leave a refused call out of the sample; return whether the window is complete."""
        self._count_end(sent_at)
        self._refused += self._includes(occupied, sent_at)
        return self._is_complete

    def _count_end(self, sent_at: float) -> None:
        self._ended_later += sent_at >= self._sent_until
        self._awaited -= self._began_at <= sent_at < self._sent_until

    def _includes(self, occupied: int, sent_at: float) -> bool:
        """Return whether a call belongs to the window: sent in it, while the limit was reached."""
        return occupied >= self._full and self._began_at <= sent_at < self._sent_until

    @property
    def _is_complete(self) -> bool:
        return (
            self.ended >= WINDOW_COMPLETE * (self._size - self._refused)
            or (self._sent_until < math.inf and self._awaited <= 0)
            or self._ended_later > WINDOW_PATIENCE * self._size
        )
