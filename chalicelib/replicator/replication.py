"""Run the replicator: read the buffer, commit each page, journal it, then delete its items.

    one reader per segment ──▶ queue of pages ──▶ main thread: commit ──▶ journal ──▶ deleters

Invariants:

- An item leaves the buffer only after Postgres has committed it, as a record, in the log of its
  record if that has other evidence, or in the quarantine; and after the journal has it, if there is
  one.
- Replication is idempotent. Runs may overlap, and a run may be killed at any instant: the next run
  reads the remaining items again, and to add a record twice is a no-op.
- Memory is bounded by a few pages, and does not grow with the backlog.
- While the buffer is deep, several replicators share it: each segment is scanned, and each item
  deleted, by one of them (``postgres.replication_shares``).
- Puts come first: while the table throttles, deletes go out slowly (``delete_pace``).

A page is journaled after its commit. So a database that is taken back to an instant has lost only
records that were journaled after this instant.

Reading, committing, journaling and deleting overlap in time.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from chalicelib.buffered_items import DELETE_BATCH, BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.journal.journal_files import Journal
from chalicelib.journal.journal_lines import page_lines
from chalicelib.journal.journal_writer import SweepJournal
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.replication_shares import WHOLE, ReplicationShares, Share
from chalicelib.replicator.buffer_scan import BufferScan
from chalicelib.replicator.page_commit import CommittedPage, commit_page
from chalicelib.replicator.page_deletes import PageDeletes
from chalicelib.telemetry import REPLICATED, event

# Each has some segments of the scan, and the estimate of the depth is rough.
_MAX_SHARES = 100
# While records arrive, the buffer is never empty. A run of a shallow buffer ends before the next
# one begins, a minute after it.
_SHALLOW_S = 50.0


@dataclass(slots=True)
class Replication:
    """The result of a run, in items.

    Attributes:
        other_evidence: rows of logs for posts with other evidence than their records have.
        evidence_dropped: such posts beyond the bound of a record.
        waiting: such posts whose records have not reached Postgres yet: they stay.
        oldest_age_s: the age of the oldest record that the run read.
    """

    read: int = 0
    written: int = 0
    already_there: int = 0
    quarantined: int = 0
    other_evidence: int = 0
    evidence_dropped: int = 0
    waiting: int = 0
    deleted: int = 0
    pages: int = 0
    oldest_age_s: float = 0.0
    seconds: float = 0.0

    def count(self, page: CommittedPage) -> None:
        """Count a page."""
        self.pages += 1
        self.read += page.read
        self.written += page.written
        self.already_there += page.already_there
        self.quarantined += len(page.quarantined)
        self.other_evidence += page.other_evidence
        self.evidence_dropped += page.evidence_dropped
        self.waiting += len(page.waiting)
        self.oldest_age_s = max(self.oldest_age_s, page.oldest_age_s)

    def add(self, other: "Replication") -> None:
        """Add the counts of ``other``."""
        for each in fields(self):
            left, right = getattr(self, each.name), getattr(other, each.name)
            combined = max(left, right) if each.name == "oldest_age_s" else left + right
            setattr(self, each.name, combined)


class Replicator:
    """Moves the records of the buffer to Postgres.

    Args:
        items: the source.
        store: the destination.
        segments: the number of parallel scans.
        page: the maximum number of items that are read and committed together.
        deleters: the maximum number of batch deletes in flight.
        journal: the journal; None if the stage has none.
        journal_timeout_s: how long a page waits for the journal.
        margin_s: the time reserved at the end of a run to finish the pages in progress.
        shares: how replicators share a deep buffer.
        share_size: how many items a share has about; a buffer with more items is shared.
    """

    def __init__(
        self,
        items: BufferedItems,
        store: PointRecordStore,
        *,
        segments: int,
        page: int,
        deleters: int,
        margin_s: float,
        shares: ReplicationShares,
        share_size: int,
        journal: Journal | None = None,
        journal_timeout_s: float = 10.0,
    ) -> None:
        self._items = items
        self._store = store
        self._segments = segments
        self._page = page
        self._deleters = deleters
        self._margin_s = margin_s
        self._shares = shares
        self._share_size = share_size
        self._journal = journal
        self._journal_timeout_s = journal_timeout_s

    def run(self, remaining_s: Callable[[], float], *, helps: bool = False) -> Replication:
        """Replicate until the buffer is empty, or only ``margin_s`` of ``remaining_s()`` is left.

        A run also ends after ``_SHALLOW_S`` if the buffer is shallow by then. Deletes that the
        table throttles to the end are left to the next run.

        Args:
            remaining_s: returns how many seconds are left.
            helps: take shares of a deep buffer only, and leave a shallow one to another run.

        Raises:
            UnavailableError: a store or the journal is unavailable. Committed pages stay committed;
                those that are not journaled stay in the buffer as well.
        """
        total = Replication()
        pace = DeletePace()
        started = time.monotonic()
        has_ended = False
        try:
            while remaining_s() > self._margin_s:
                share = self._next_share(helps=helps)
                if share is None or (share == WHOLE and time.monotonic() - started > _SHALLOW_S):
                    break
                sweep = Replication()
                try:
                    with self._shares.working_on(share) as work:
                        work.is_done = self._sweep(share, sweep, pace, remaining_s)
                finally:
                    total.add(sweep)
                if not sweep.deleted and (sweep.read or share == WHOLE):
                    break  # the buffer is empty, or processes no deletes now
            has_ended = not helps
        finally:
            total.seconds = time.monotonic() - started
            if has_ended or total.read:  # a run that failed at once has replicated nothing
                self._report(total, pace)
        return total

    def _next_share(self, *, helps: bool) -> Share | None:
        """Return what to replicate now, or None if others have it all.

        A deep buffer is divided here, into as many shares as its depth asks for. Any number of
        replicators may work on them: who has finished a share takes the next one.
        """
        share = self._shares.take()
        if share or self._shares.exist():
            return share
        shares = min(math.ceil(self._items.depth() / self._share_size), _MAX_SHARES)
        if shares > 1:
            self._shares.divide(shares)
            return self._shares.take()
        return None if helps else WHOLE

    def _sweep(
        self,
        share: Share,
        result: Replication,
        pace: DeletePace,
        remaining_s: Callable[[], float],
    ) -> bool:
        """Scan a share of the buffer once and replicate its items. Count them in ``result``.

        Returns:
            Whether it was read to its end.
        """
        journal = SweepJournal(self._journal, self._journal_timeout_s)
        # The deletes of a page may overlap with the commits of the next two pages, not of more.
        max_deletes = 2 * self._page // DELETE_BATCH + self._deleters
        is_complete = True
        with (
            BufferScan(self._items, share, self._segments, self._page) as pages,
            PageDeletes(
                self._items, pace, self._deleters, lambda: remaining_s() > self._margin_s / 2
            ) as deletes,
        ):
            for items in pages:
                if items:
                    page = commit_page(items, self._store, self._items.existing_ids)
                    result.count(page)
                    may_leave = journal.begin(page_lines(page.documents, page.quarantined))
                    deletes.submit(items, page, may_leave)
                    for deleted in deletes.ended(max_deletes):
                        result.deleted += deleted
                if remaining_s() <= self._margin_s:
                    is_complete = False
                    break
            for deleted in deletes.ended(0):
                result.deleted += deleted
            journal.end()
        return is_complete

    @staticmethod
    def _report(total: Replication, pace: DeletePace) -> None:
        event(
            REPLICATED,
            read=total.read,
            written=total.written,
            already_there=total.already_there,
            quarantined=total.quarantined,
            other_evidence=total.other_evidence,
            evidence_dropped=total.evidence_dropped,
            waiting=total.waiting,
            deleted=total.deleted,
            throttled=pace.cuts,
            pages=total.pages,
            seconds=round(total.seconds, 3),
            records_per_s=round(total.read / total.seconds, 1) if total.seconds else 0.0,
            oldest_age_s=round(total.oldest_age_s, 1),
        )
