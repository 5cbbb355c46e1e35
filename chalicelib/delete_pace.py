"""Pace the replicator's deletes, so that puts come first while the table throttles.

Deletes are writes: they use the same throughput as the puts of phones, which wait for an answer. A
delete can wait, since its record is in Postgres. So deletes go out freely until the table throttles
one. From then on they go out one by one, with a gap that doubles with each throttled delete and
shrinks with each that is processed, as in congestion control.
"""

import random
import threading
import time
from collections.abc import Callable

# Seconds. At the first gap, batches of 25 are 250 deletes a second; at the longest, 12.
_FIRST_GAP_S = 0.1
_MAX_GAP_S = 2.0
_GROWTH = 2.0
_DECAY = 0.9
# How often a waiting thread checks whether its run may go on.
_POLL_S = 0.1


class DeletePace:
    """Decides when each delete of a run may go out. Thread-safe.

    Args:
        sleep: waits for a number of seconds.
        clock: returns seconds that only increase.
        rng: returns a number from 0 to 1, for the jitter. Runs may overlap.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._gap_s = 0.0
        self._next_at = clock()
        self._cuts = 0

    @property
    def cuts(self) -> int:
        """How often the gap was widened."""
        return self._cuts

    @property
    def gap_s(self) -> float:
        """The mean time between two deletes, in seconds; 0 while the table does not throttle."""
        return self._gap_s

    def wait(self, may_continue: Callable[[], bool]) -> int | None:
        """Wait until a delete may go out.

        Returns:
            The ticket of the delete, for ``throttled`` and ``processed``; None if ``may_continue``
            returned False first.
        """
        while may_continue():
            with self._lock:
                remaining_s = self._next_at - self._clock()
                if remaining_s <= 0:
                    gap_s = self._gap_s * (0.5 + self._rng())
                    self._next_at = self._clock() + gap_s
                    return self._cuts
            self._sleep(min(remaining_s, _POLL_S))
        return None

    def throttled(self, ticket: int) -> None:
        """Widen the gap. Deletes that went out before the last widening do not count again."""
        with self._lock:
            if ticket != self._cuts:
                return
            self._cuts += 1
            self._gap_s = min(max(self._gap_s * _GROWTH, _FIRST_GAP_S), _MAX_GAP_S)
            self._next_at = self._clock() + self._gap_s * (0.5 + self._rng())

    def processed(self, ticket: int) -> None:
        """Narrow the gap, if the delete went out at the present gap."""
        with self._lock:
            if ticket == self._cuts and self._gap_s:
                gap_s = self._gap_s * _DECAY
                self._gap_s = gap_s if gap_s >= _FIRST_GAP_S / 2 else 0.0
