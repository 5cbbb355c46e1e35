"""Prefetch: decide how many records to claim before they can be sent, and hold them until then.

Invariants:

- The queue is bounded: by a number, and by what is sent in about a second.
- No record is handed out whose lease could expire during its call.
- Suspects do not delay others. A suspect is a record that has used up an attempt: its call failed
  while others were delivered, and may time out again. Suspects go first, so that a call sent later
  decides whether theirs counts, but the dispatcher gives them only half of the limit's places.
  They count little towards the size of the queue, so that the run goes on claiming others.

This module does no I/O. The run asks how many records to claim, claims them, and adds them. The
dispatcher takes them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from math import ceil

from chalicelib.postgres.claims import Claimed

# The queue holds what is sent in this time, during which Postgres claims the next records.
_AHEAD_S = 1.0
# Slow start may raise the limit by this factor between two claims, to at most this many calls.
_SLOW_START_FACTOR, _SLOW_START_MAX = 10, 200
_MAX_QUEUED = 10_000
# Suspects count towards the queue's size up to this share of it.
_SUSPECTS_SHARE = 0.25
# One claim: some 20 ms of Postgres' time, for which a flush may have to wait.
_MAX_CLAIM = 1_000


def is_suspect(record: Claimed) -> bool:
    """Return whether a call for this record has failed while others were delivered."""
    return record.attempts > 0


def max_suspects(limit: float) -> int:
    """Return how many suspects may be in flight: half of the limit, at least one."""
    return max(1, int(limit) // 2)


def peak_calls(limit: float) -> int:
    """Return how many calls may be in flight before the next claim, should the limit rise."""
    return max(int(limit), min(_SLOW_START_FACTOR * int(limit), _SLOW_START_MAX))


class PrefetchQueue:
    """A queue of claimed records. It belongs to one thread.

    Every ``now`` is of one clock, in seconds.

    Args:
        max_wait_s: how long after its claim a record may be sent.
        now: the present.
    """

    def __init__(self, max_wait_s: float, now: float) -> None:
        self._max_wait_s = max_wait_s
        self._ahead_s = min(_AHEAD_S, max_wait_s / 2)
        # Each record with the last instant at which it may be sent.
        self._records: deque[tuple[Claimed, float]] = deque()
        self._suspects: deque[tuple[Claimed, float]] = deque()
        # Finished calls of the current and of the previous interval, with the start of each.
        # The rate of calls is taken over both.
        self._finished = self._finished_before = 0
        self._since = self._since_before = now
        self.needs_release = False
        """Whether the run may hold claims that it no longer knows; release them before claiming."""

    def __len__(self) -> int:
        return len(self._records) + len(self._suspects)

    def __iter__(self) -> Iterator[Claimed]:
        return (record for record, _ in (*self._records, *self._suspects))

    def has_sendable(self, *, with_suspects: bool) -> bool:
        """Return whether ``pop`` may return a record."""
        return bool(self._records or (with_suspects and self._suspects))

    def pop(
        self,
        now: float,
        *,
        with_suspects: bool = True,
        suspects_last: bool = False,
        newest: bool = False,
    ) -> Claimed | None:
        """Remove and return the next record to send; discard those whose lease is too short.

        Args:
            now: the present.
            with_suspects: whether the record may be a suspect.
            suspects_last: return a suspect only if there is no other record.
            newest: return the record that is due last, not first.
        """
        queues = [self._suspects, self._records] if with_suspects else [self._records]
        for records in reversed(queues) if suspects_last else queues:
            while records:
                record, send_until = records.pop() if newest else records.popleft()
                if now <= send_until:
                    return record
                self.needs_release = True
        return None

    def clear(self) -> None:
        """Discard all records."""
        self.needs_release = self.needs_release or len(self) > 0
        self._records.clear()
        self._suspects.clear()

    def add(self, records: Sequence[Claimed], claimed_at: float) -> None:
        """Add records; ``claimed_at`` is when the claim was submitted, before the leases began."""
        send_until = claimed_at + self._max_wait_s
        for each in records:
            (self._suspects if is_suspect(each) else self._records).append((each, send_until))

    def count_finished(self, calls: int, now: float) -> None:
        """Count finished calls, from which the rate of calls is estimated."""
        if now - self._since > self._ahead_s:
            self._finished_before, self._since_before = self._finished, self._since
            self._finished, self._since = 0, now
        self._finished += calls

    def deficit(self, limit: float, now: float) -> int:
        """Return how many records to claim now; 0 while the queue is more than half full."""
        per_s = (self._finished_before + self._finished) / max(now - self._since_before, 1e-3)
        target_size = min(_MAX_QUEUED, max(2 * peak_calls(limit), ceil(per_s * self._ahead_s)))
        suspects = min(len(self._suspects), int(_SUSPECTS_SHARE * target_size))
        deficit = target_size - len(self._records) - suspects
        # Without this bound, suspects that cannot be sent yet would fill the memory.
        deficit = min(deficit, _MAX_QUEUED - len(self))
        return min(_MAX_CLAIM, deficit) if 2 * deficit >= target_size else 0
