"""How steeply latency rises with the limit."""

import math

from chalicelib.integrator.limiter.parameters import (
    STEEPNESS_KEPT,
    STEEPNESS_MAX,
    STEEPNESS_PRIOR,
)
from chalicelib.integrator.limiter.sample_window import SampleWindow


class Steepness:
    """Estimates d ln(latency) / d ln(limit) from each window and the one before it.

    Of the mean latency it is 1 if calls queue: the mean is the limit / the throughput (Little's
    law). A window has the geometric mean. If a few calls take most of the time, this is far below
    the mean, and waiting multiplies it: latency rises two or three times as much as the limit. A
    step of the limit that does not allow for that goes too far, and the limit swings around the
    knee.

    The estimate is the slope of a regression through the origin, with more weight for later
    windows, and with a prior slope of 1. It errs to the high side, so that steps are shorter: the
    limit falls after a latency that is high by chance, and so does the next latency.
    """

    def __init__(self) -> None:
        self._last: SampleWindow | None = None
        self._products = self._squares = 0.0

    def add(self, window: SampleWindow) -> None:
        """Add a window of the steady state, or a probe."""
        last, self._last = self._last, window
        if last:
            change = math.log(window.limit / last.limit)
            most = STEEPNESS_MAX * abs(change)  # a larger rise has another cause
            rise = max(-most, min(most, window.log_latency - last.log_latency))
            self._products = STEEPNESS_KEPT * self._products + change * rise
            self._squares = STEEPNESS_KEPT * self._squares + change * change

    def interrupt(self) -> None:
        """Compare the next window with none: the limit has moved for another reason."""
        self._last = None

    @property
    def value(self) -> float:
        """The estimate, between 1 and ``STEEPNESS_MAX``."""
        slope = (STEEPNESS_PRIOR + self._products) / (STEEPNESS_PRIOR + self._squares)
        return min(STEEPNESS_MAX, max(1.0, slope))
