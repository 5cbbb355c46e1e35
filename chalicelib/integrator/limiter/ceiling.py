"""The highest limit after calls have failed for load."""

from chalicelib.integrator.limiter.parameters import (
    CEILING_FORGOTTEN,
    CEILING_GROWTH,
    CEILING_GROWTH_AGE,
    CEILING_GROWTH_STEP,
    CEILING_NEAR,
    CEILING_PATIENCE,
    CEILING_WINDOWS,
    NO_CEILING,
)
from chalicelib.integrator.limiter.state import LearnedState


class Ceiling:
    """Raises ``LearnedState.ceiling`` from window to window, after others have lowered it."""

    def __init__(self, learned: LearnedState) -> None:
        self._learned = learned
        self._last, self._windows, self._patience = learned.ceiling, 0, 1

    @property
    def was_met(self) -> bool:
        """Whether load has made calls fail, not more than some hundred windows ago."""
        return self._learned.lowered_ceiling < NO_CEILING

    def rise(self, windows_without_queue: int) -> None:
        """Raise the ceiling after a window, the faster the longer ago calls failed at it.

        If calls fail again at about the same ceiling, it rises more slowly.

        Args:
            windows_without_queue: how many windows in a row have shown no queue.
        """
        learned = self._learned
        if learned.ceiling == self._last:
            self._windows += 1
        else:
            is_near = 1 / CEILING_NEAR < learned.ceiling / learned.lowered_ceiling < CEILING_NEAR
            self._patience = min(CEILING_PATIENCE, 2 * self._patience) if is_near else 1
            learned.lowered_ceiling, self._windows = learned.ceiling, 0
        if learned.ceiling == NO_CEILING:
            forgotten = CEILING_FORGOTTEN * learned.lowered_ceiling
            learned.lowered_ceiling = min(NO_CEILING, forgotten)
        growth = 1 + (CEILING_GROWTH - 1) / self._patience
        growth += CEILING_GROWTH_STEP * windows_without_queue
        age = max(0, self._windows - CEILING_WINDOWS * self._patience)
        growth += CEILING_GROWTH_AGE * age**2
        learned.ceiling = self._last = min(NO_CEILING, growth * learned.ceiling)
