"""Choose the Retry-After of a refused request at random, so that phones do not return as one wave.

A constant value repeats a shift change: all who were refused in one second come back in one second.
A random one spreads them over a window. The window widens with the load: the more requests this
process has refused lately, the later the last of them may come back.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable

from chalicelib.wall_clock import has_passed

# Seconds. A phone must not wait longer than a person looks at its screen.
_SHORTEST_S = 1
_MIN_WINDOW_S = 3
_MAX_WINDOW_S = 30
# How long a refusal counts as load.
_MEMORY_S = 10.0

# It has no state that a snapshot of this process could copy into many processes (SnapStart):
# https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
_RANDOM = random.SystemRandom()


class RetryWindow:
    """Chooses Retry-After values in whole seconds. Thread-safe.

    Args:
        choose: returns a whole number between two, both included.
        clock: the wall clock, in seconds (``wall_clock``).
    """

    def __init__(
        self,
        choose: Callable[[int, int], int] = _RANDOM.randint,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._choose = choose
        self._clock = clock
        self._refused_at: deque[float] = deque(maxlen=_MAX_WINDOW_S - _MIN_WINDOW_S)
        self._lock = threading.Lock()

    def next_s(self) -> int:
        """Return the Retry-After of one more refused request: from 1 to at most 30 s."""
        with self._lock:
            now = self._clock()
            while self._refused_at and has_passed(_MEMORY_S, self._refused_at[0], now):
                self._refused_at.popleft()
            window_s = _MIN_WINDOW_S + len(self._refused_at)
            self._refused_at.append(now)
        return self._choose(_SHORTEST_S, window_s)
