"""The alarm while the legacy delivers nothing: lines of the log, which are metrics, too.

A run may go on for long, and its own line comes at its end.
"""

import logging

from chalicelib.integrator.liveness import Liveness
from chalicelib.integrator.run_stats import RunStats
from chalicelib.telemetry import DELIVERS_AGAIN, NOTHING_DELIVERED, event

# How often the alarm is logged again.
_REPEAT_S = 60.0


class DeliveryAlarm:
    """Logs an error each minute while the legacy delivers nothing, and once when it delivers again.

    Args:
        liveness: knows what the legacy delivers.
        stats: what the run counts.
    """

    def __init__(self, liveness: Liveness, stats: RunStats) -> None:
        self._liveness, self._stats = liveness, stats
        self._repeat_at: float | None = None  # None while there is no alarm

    def check(self, now: float, *, run_ends: bool = False) -> None:
        """Log what is due at the instant ``now``; with ``run_ends``, no more calls follow."""
        if self._liveness.delivers_nothing(run_ends=run_ends):
            if self._repeat_at is None or now >= self._repeat_at:
                self._repeat_at = now + _REPEAT_S
                event(
                    NOTHING_DELIVERED,
                    level=logging.ERROR,
                    sent=self._stats.sent,
                    nothing_delivered=1,
                )
        elif self._repeat_at is not None:
            self._repeat_at = None
            event(DELIVERS_AGAIN, nothing_delivered=0)

    @property
    def delivers(self) -> bool | None:
        """Whether the legacy delivers; None if that is not sure."""
        if self._repeat_at is not None:
            return False
        return True if self._liveness.delivered else None
