"""What follows the phones: the replicators, whose deletes compete with puts, and the integrator."""

import math
from collections import deque
from collections.abc import Callable
from random import Random

from chalicelib.buffered_items import DELETE_BATCH
from chalicelib.delete_pace import DeletePace
from chalicelib.settings import Settings
from deploy.capacity.facts import functions, measured
from deploy.capacity.table import Table

_EVERY_S = 60.0
_SETTINGS = Settings()
# As in ``Replicator``: the deletes of two pages may wait for the table.
_MAX_UNDELETED = 2 * _SETTINGS.replication_page + _SETTINGS.replication_deleters * DELETE_BATCH


class Schedule:
    """A schedule that starts every minute, and runs as long as there is work.

    Args:
        first_s: the time of its first start.
        longest_s: the timeout of a run. The next start continues.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._next_s = first_s
        self._longest_s = longest_s
        self._ends_s = 0.0

    def runs(self, now_s: float, has_work: bool) -> bool:
        """Return whether a run is in progress."""
        while self._next_s <= now_s:
            if has_work and self._ends_s <= now_s:
                self._ends_s = self._next_s + self._longest_s
            self._next_s += _EVERY_S
        if not has_work:
            self._ends_s = 0.0
        return now_s < self._ends_s


class Replication:
    """The runs of the replicator, of which more work the deeper the buffer is.

    Args:
        table: the table, which phones use too.
        tick_s: the time of the first start.
        rng: draws the jitter of the pace of deletes.
        runs: how many runs start each minute.
    """

    def __init__(self, table: Table, tick_s: float, rng: Random, runs: int) -> None:
        self._schedule = Schedule(tick_s, functions()["replicate"]["lambda_timeout"])
        self._runs = [_Run(table, rng) for _ in range(runs)]
        self.buffered = 0
        self.replicated = 0

    @property
    def waiting(self) -> int:
        """The number of records that are accepted and not yet in Postgres."""
        return self.buffered - sum(run.undeleted for run in self._runs)

    def accept(self, records: int) -> None:
        """Take new records into the buffer."""
        self.buffered += records

    def step(self, now_s: float, seconds: float) -> int:
        """Replicate for a slice of time; return the number of records that reached Postgres."""
        if not self._schedule.runs(now_s, self.buffered > 0):
            return 0
        shares = max(1, math.ceil(self.buffered / _SETTINGS.replication_share))
        moved = 0
        for number, run in enumerate(self._runs):
            # A run that has no share any more still finishes its deletes.
            offered = self.waiting if number < shares else 0
            moved += run.commit(offered, seconds)
            self.buffered -= run.delete(now_s)
        self.replicated += moved
        return moved


class _Run:
    """One run: commits records to Postgres, and deletes them at the pace of ``DeletePace``."""

    def __init__(self, table: Table, rng: Random) -> None:
        self._table = table
        self._now_s = 0.0
        self._pace = DeletePace(sleep=lambda _: None, clock=lambda: self._now_s, rng=rng.random)
        self._batches: deque[int] = deque()
        self._fraction = 0.0

    @property
    def undeleted(self) -> int:
        """The number of records that are in Postgres and still in the buffer."""
        return sum(self._batches)

    def commit(self, waiting: int, seconds: float) -> int:
        """Commit as many of the waiting records as a slice of time allows; return their number."""
        self._fraction += measured("replication") * seconds
        moved = min(int(self._fraction), waiting, _MAX_UNDELETED - self.undeleted)
        self._fraction = min(self._fraction - moved, measured("replication") * seconds)
        self._batches.extend([DELETE_BATCH] * (moved // DELETE_BATCH))
        if moved % DELETE_BATCH:
            self._batches.append(moved % DELETE_BATCH)
        return moved

    def delete(self, now_s: float) -> int:
        """Make the batches of deletes that the pace allows now; return how many were processed."""
        self._now_s = now_s
        all_deleted = 0
        for _ in range(min(_SETTINGS.replication_deleters, len(self._batches))):
            ticket = self._pace.wait(_once())
            if ticket is None:
                break
            batch = self._batches.popleft()
            deleted = self._table.write(batch)
            all_deleted += deleted
            if deleted == batch:
                self._pace.processed(ticket)
            else:
                self._batches.append(batch - deleted)
                self._pace.throttled(ticket)
        return all_deleted


def _once() -> Callable[[], bool]:
    """Return a condition that holds once, so that a wait tries once and does not wait."""
    tries = iter((True,))
    return lambda: next(tries, False)


class Integration:
    """The integrator, which delivers what is in Postgres as fast as the legacy takes it.

    Args:
        legacy_per_s: records a second that the legacy takes.
        tick_s: the time of the first start.
    """

    def __init__(self, legacy_per_s: float, tick_s: float) -> None:
        self._per_s = legacy_per_s
        self._schedule = Schedule(tick_s, functions()["integrate"]["lambda_timeout"])
        self._fraction = 0.0
        self.waiting = 0
        self.integrated = 0

    def step(self, now_s: float, seconds: float, arrived: int) -> None:
        """Take the records that arrived in Postgres, and deliver for a slice of time."""
        if self._schedule.runs(now_s, self.waiting > 0):
            self._fraction += self._per_s * seconds
            delivered = min(int(self._fraction), self.waiting)
            self._fraction = min(self._fraction - delivered, 1.0)
            self.waiting -= delivered
            self.integrated += delivered
        self.waiting += arrived
