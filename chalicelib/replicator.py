"""Step 2, the replicator: move the records of the buffer to Postgres, page by page.

    one reader per segment ──▶ queue of pages ──▶ main thread: commit ──▶ journal ──▶ deleters

Invariants:

- An item leaves the buffer only after Postgres has committed it, as a record, in the log of its
  record if that has other evidence, or in the quarantine; and after the journal has it, if there is
  one.
- Replication is idempotent. Runs may overlap, and a run may be killed at any instant: the next run
  reads the remaining items again, and to add a record twice is a no-op.
- Memory is bounded by a few pages, however large the backlog is.
- While the buffer is deep, several replicators share it: each segment is scanned, and each item
  deleted, by one of them (``postgres.replication_shares``).
- Puts come first: while the table throttles, deletes go out slowly (``delete_pace``).

A page is journaled after its commit. So a database that is taken back to an instant has lost only
records that were journaled after this instant.

Reading, committing, journaling and deleting overlap in time.
"""

import base64
import json
import logging
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.buffer import Item
from chalicelib.buffer_scan import BufferScan
from chalicelib.buffered_items import DELETE_BATCH, BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.journal.journal_files import Journal
from chalicelib.journal.journal_lines import page_lines
from chalicelib.journal.journal_writer import SweepJournal
from chalicelib.point_record import from_json
from chalicelib.postgres.point_records import Document, PointRecordStore, Poison
from chalicelib.postgres.replication_shares import WHOLE, ReplicationShares, Share
from chalicelib.telemetry import REPLICATED, event

# The key of a further post of a record (``Buffer.put_other_evidence``).
_POST = re.compile(r"[0-9a-f-]{36}/[a-z]+/[0-9]")
# Its record is in the buffer too, and reaches Postgres first. After this time it never will.
_LONGEST_WAIT = timedelta(hours=1)
# Each has some segments of the scan, and the estimate of the depth is rough.
_MAX_SHARES = 100


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
        share: the number of items from which on the buffer is shared, and of each share.
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
        share: int,
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
        self._share = share
        self._journal = journal
        self._journal_timeout_s = journal_timeout_s

    def run(self, remaining_s: Callable[[], float], *, helps: bool = False) -> Replication:
        """Replicate until the buffer is empty, or only ``margin_s`` of ``remaining_s()`` is left.

        Deletes that the table throttles to the end are left to the next run.

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
                if share is None:
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
        shares = min(math.ceil(self._items.depth() / self._share), _MAX_SHARES)
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
        deletions: deque[Future[int]] = deque()
        failed = threading.Event()

        def may_delete() -> bool:
            return not failed.is_set() and remaining_s() > self._margin_s / 2

        def delete(ids: list[str], may_leave: Callable[[], bool]) -> int:
            return self._items.delete(ids, pace, may_delete) if may_leave() else 0

        def delete_quarantined(item: Item, may_leave: Callable[[], bool]) -> int:
            return self._items.delete_unchanged(item, pace, may_delete) if may_leave() else 0

        journal = SweepJournal(self._journal, self._journal_timeout_s)

        # The deletes of a page may overlap with the commits of the next two pages, not of more.
        max_deletions = 2 * self._page // DELETE_BATCH + self._deleters
        with (
            BufferScan(self._items, share, self._segments, self._page) as pages,
            ThreadPoolExecutor(self._deleters) as deleters,
        ):
            try:
                is_complete = True
                for items in pages:
                    if not items:
                        if remaining_s() <= self._margin_s:
                            is_complete = False
                            break
                        continue
                    page = self._commit(items, result)
                    may_leave = journal.begin(page_lines(page.documents, page.quarantined))
                    quarantined = {each.item_id for each in page.quarantined}
                    staying = quarantined | page.waiting
                    ids = [each for each in map(_key, items) if each not in staying]
                    for first in range(0, len(ids), DELETE_BATCH):
                        batch = ids[first : first + DELETE_BATCH]
                        deletions.append(deleters.submit(delete, batch, may_leave))
                    for item in items:
                        if _key(item) in quarantined:
                            deletions.append(deleters.submit(delete_quarantined, item, may_leave))
                    while len(deletions) > max_deletions:
                        result.deleted += deletions.popleft().result()
                    if remaining_s() <= self._margin_s:
                        is_complete = False
                        break
                result.deleted += sum(deletion.result() for deletion in deletions)
                journal.end()
            except BaseException:
                failed.set()  # leave the remaining deletes to the next run
                raise
        return is_complete

    def _commit(self, items: Sequence[Item], result: Replication) -> "_CommittedPage":
        """Commit one page to Postgres, and return what it was."""
        documents: list[Document] = []
        posts: list[tuple[Item, Document, datetime]] = []
        poison: list[Poison] = []
        oldest = now = datetime.now(UTC)
        for item in items:
            try:
                document, created_at = _validate(item)
            except ValueError as error:
                poison.append(Poison(_key(item), _item_json(item), str(error)))
            else:
                oldest = min(oldest, created_at)
                if document.id == _key(item):
                    documents.append(document)
                else:
                    posts.append((item, document, created_at))
        added = self._store.add(documents, poison, [document for _, document, _ in posts])
        waiting = [each for each in posts if each[1].id in added.evidence.without_record]
        late = [
            Poison(_key(item), _item_json(item), "the record of this post has never arrived")
            for item, _, created_at in waiting
            if now - created_at > _LONGEST_WAIT
        ]
        if late:
            self._store.add((), late)
        quarantined = [*poison, *added.rejected, *late]
        for each in quarantined:
            event("quarantined", level=logging.WARNING, item=each.item_id, reason=each.reason)
        result.pages += 1
        result.read += len(items)
        result.written += added.written
        result.quarantined += len(quarantined)
        result.other_evidence += added.evidence.logged
        result.evidence_dropped += added.evidence.dropped
        result.waiting += len(waiting) - len(late)
        result.already_there += (
            len(items)
            - added.written
            - added.evidence.logged
            - added.evidence.dropped
            - len(quarantined)
            - (len(waiting) - len(late))
        )
        result.oldest_age_s = max(result.oldest_age_s, (now - oldest).total_seconds())
        without_record = {_key(item) for item, _, _ in waiting}
        committed = [*added.documents]
        committed += [each for each in added.posts if each.id not in added.evidence.without_record]
        return _CommittedPage(
            committed,
            quarantined,
            without_record - {each.item_id for each in late},
        )

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


@dataclass(frozen=True, slots=True)
class _CommittedPage:
    """What Postgres has of a page.

    Attributes:
        documents: the records, and further posts of records.
        quarantined: what is in quarantine.
        waiting: the keys of the items that must stay in the buffer.
    """

    documents: Sequence[Document]
    quarantined: Sequence[Poison]
    waiting: AbstractSet[str]


def _key(item: Item) -> str:
    key: str = item["id"]["S"]
    return key


def _validate(item: Item) -> tuple[Document, datetime]:
    """Return the document of an item, and the instant at which it was accepted.

    The id of the document is that of the record. If the item is a further post of it, with other
    evidence, its key goes on after that.

    Raises:
        ValueError: the item is not a valid record. The message has the reason.
    """
    if item.keys() != {"id", "record"} or "S" not in item["record"]:
        raise ValueError("the attributes must be id and record, both of type S")
    text = item["record"]["S"]
    record = from_json(text)
    record_id, slash, _ = _key(item).partition("/")
    if str(record.id) != record_id or (slash and not _POST.fullmatch(_key(item))):
        raise ValueError("the key differs from the id of the record")
    return Document(record_id, text), record.created_at


def _item_json(item: Item) -> str:
    """Return an item as JSON in ASCII, which every text column accepts."""

    def encode(value: Any) -> str:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode("ascii")
        raise TypeError(f"DynamoDB returns no values of type {type(value).__name__}")

    return json.dumps(item, default=encode)
