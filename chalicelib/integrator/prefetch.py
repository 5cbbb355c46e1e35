"""What is claimed and not yet sent: how much of it a run keeps at hand, and for how long.

Promises that what waits is bounded, in number and to what is sent in about a second, and that
nothing is handed out whose lease could end during its call. Knows nothing of Postgres: the run asks
how many to claim, and brings them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from math import ceil

from chalicelib.postgres.claims import Claimed

# Kept at hand: what is sent in so long, in which Postgres claims the next.
_AHEAD_S = 1.0
# While the limit is sought it may grow so many times over between two claims, up to so many calls.
_GROWTH, _GROWN = 10, 200
_MOST_WAITING = 10_000
# Claimed at once: some 20 ms of Postgres' time, which a flush may have to wait for.
_MOST_CLAIMED = 1_000


def foreseen(limit: float) -> int:
    """Return how many calls may soon be open under a limit that may still be sought."""
    return max(int(limit), min(_GROWTH * int(limit), _GROWN))


class Supply:
    """Belongs to one thread. Every ``now`` is of one clock, in seconds.

    Args:
        longest_wait_s: how long after it was claimed a record may be sent.
    """

    def __init__(self, longest_wait_s: float, now: float) -> None:
        self._longest_wait_s = longest_wait_s
        self._ahead_s = min(_AHEAD_S, longest_wait_s / 2)
        # Each with the last instant at which it may be sent.
        self._waiting: deque[tuple[Claimed, float]] = deque()
        # How many calls ended since two instants, the later of which moves up to the present.
        self._ended = self._ended_before = 0
        self._since = self._since_before = now
        self.has_dropped = False
        """Whether records may be claimed of which the run knows nothing any more."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Claimed]:
        return (record for record, _ in self._waiting)

    def pop(self, now: float) -> Claimed | None:
        """Take the record to be sent next; none if none waits whose lease is long enough."""
        while self._waiting:
            record, last_start = self._waiting.popleft()
            if now <= last_start:
                return record
            self.has_dropped = True
        return None

    def drop(self) -> None:
        """Drop all that waits."""
        self.has_dropped = self.has_dropped or bool(self._waiting)
        self._waiting.clear()

    def add(self, records: Sequence[Claimed], asked_at: float) -> None:
        """Add what was claimed, by a question that was asked at an instant."""
        last_start = asked_at + self._longest_wait_s
        self._waiting.extend((each, last_start) for each in records)

    def count_ended(self, calls: int, now: float) -> None:
        """Count calls that have ended: they tell how many are sent in a second."""
        if now - self._since > self._ahead_s:
            self._ended_before, self._since_before = self._ended, self._since
            self._ended, self._since = 0, now
        self._ended += calls

    def lacking(self, limit: float, now: float) -> int:
        """Return how many to claim at once: none until half of what is kept at hand is sent."""
        per_s = (self._ended_before + self._ended) / max(now - self._since_before, 1e-3)
        kept = min(_MOST_WAITING, max(2 * foreseen(limit), ceil(per_s * self._ahead_s)))
        lacking = kept - len(self._waiting)
        return min(_MOST_CLAIMED, lacking) if 2 * lacking >= kept else 0
