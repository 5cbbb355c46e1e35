"""Step 2, the replicator: brings what is in the buffer to the replica, page by page.

    reader per segment ──▶ pages ──▶ this thread: commit to Postgres ──▶ deleters

Promises that an item leaves the buffer only after Postgres has committed it, as a record or in the
quarantine. Whatever a run leaves undone, killed at any instant or run twice at once, the next one
meets again and dissolves: adding a record twice is adding it once. Reading, committing and deleting
overlap, and what is held in memory is bounded by a few pages whatever the backlog.
"""

import base64
import json
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from chalicelib.buffer import DELETE_BATCH, Buffer, Item
from chalicelib.point_record import from_json
from chalicelib.postgres.point_records import Document, PointRecordStore, Poison
from chalicelib.telemetry import REPLICATED, event

# How long a reader that is ahead waits before it looks whether the run has ended.
_LOOK_S = 0.1


@dataclass(slots=True)
class Replication:
    """What a run did, in items; ``oldest_age_s`` is that of the oldest record it met."""

    read: int = 0
    written: int = 0
    already_there: int = 0
    quarantined: int = 0
    deleted: int = 0
    pages: int = 0
    oldest_age_s: float = 0.0
    seconds: float = 0.0

    def add(self, other: "Replication") -> None:
        """Add the counts of ``other``."""
        for each in fields(self):
            ours, theirs = getattr(self, each.name), getattr(other, each.name)
            combined = max(ours, theirs) if each.name == "oldest_age_s" else ours + theirs
            setattr(self, each.name, combined)


class Replicator:
    """Drains ``buffer`` into ``replica``.

    Args:
        segments: parallel scans.
        page: most items read and committed together.
        deleters: batch deletes in flight.
        margin_s: time kept at the end of a run to finish the pages it has begun.
    """

    def __init__(
        self,
        buffer: Buffer,
        replica: PointRecordStore,
        *,
        segments: int,
        page: int,
        deleters: int,
        margin_s: float,
    ) -> None:
        self._buffer = buffer
        self._replica = replica
        self._segments = segments
        self._page = page
        self._deleters = deleters
        self._margin_s = margin_s

    def run(self, remaining_s: Callable[[], float]) -> Replication:
        """Replicate until the buffer is empty or ``remaining_s()`` comes near its end.

        Raises:
            UnavailableError: a store cannot serve; what was committed stays so.
        """
        total = Replication()
        started = time.monotonic()
        try:
            while remaining_s() > self._margin_s:
                swept = Replication()
                try:
                    self._sweep(swept, remaining_s)
                finally:
                    total.add(swept)
                if not swept.deleted:  # empty, or the buffer lets nothing go for now
                    break
        finally:
            total.seconds = time.monotonic() - started
            self._report(total)
        return total

    def _sweep(self, swept: Replication, remaining_s: Callable[[], float]) -> None:
        """Go through the whole buffer once, counting in ``swept``."""
        deletions: deque[Future[int]] = deque()
        failed = threading.Event()

        def may_delete() -> bool:
            return not failed.is_set() and remaining_s() > self._margin_s / 2

        def discard(item: Item) -> int:
            return self._buffer.discard(item) if may_delete() else 0

        # A page's deletes are under way while the next two are read and committed, not more.
        most_deletions = 2 * self._page // DELETE_BATCH + self._deleters
        with (
            _Reading(self._buffer, self._segments, self._page) as pages,
            ThreadPoolExecutor(self._deleters) as deleters,
        ):
            try:
                for items in pages:
                    quarantined = self._commit(items, swept) if items else set()
                    ids = [item["id"]["S"] for item in items if item["id"]["S"] not in quarantined]
                    for first in range(0, len(ids), DELETE_BATCH):
                        batch = ids[first : first + DELETE_BATCH]
                        deletions.append(deleters.submit(self._buffer.delete, batch, may_delete))
                    for item in items:
                        if item["id"]["S"] in quarantined:
                            deletions.append(deleters.submit(discard, item))
                    while len(deletions) > most_deletions:
                        swept.deleted += deletions.popleft().result()
                    if remaining_s() <= self._margin_s:
                        break
                swept.deleted += sum(deletion.result() for deletion in deletions)
            except BaseException:
                failed.set()  # what is not yet deleted is left for the next run
                raise

    def _commit(self, items: Sequence[Item], swept: Replication) -> set[str]:
        """Commit one page to Postgres: once it returns, every item of it may leave the buffer.

        Returns:
            The keys of those that are no records and are in quarantine now.
        """
        documents: list[Document] = []
        poison: list[Poison] = []
        oldest = now = datetime.now(UTC)
        for item in items:
            try:
                document, created_at = _read(item)
            except ValueError as error:
                poison.append(Poison(item["id"]["S"], _item_json(item), str(error)))
            else:
                documents.append(document)
                oldest = min(oldest, created_at)
        added = self._replica.add(documents, poison)
        quarantined = [*poison, *added.rejected]
        for each in quarantined:
            event("quarantined", level=logging.WARNING, item=each.item_id, reason=each.reason)
        swept.pages += 1
        swept.read += len(items)
        swept.written += added.written
        swept.quarantined += len(quarantined)
        swept.already_there += len(items) - added.written - len(quarantined)
        swept.oldest_age_s = max(swept.oldest_age_s, (now - oldest).total_seconds())
        return {each.item_id for each in quarantined}

    @staticmethod
    def _report(total: Replication) -> None:
        event(
            REPLICATED,
            read=total.read,
            written=total.written,
            already_there=total.already_there,
            quarantined=total.quarantined,
            deleted=total.deleted,
            pages=total.pages,
            seconds=round(total.seconds, 3),
            records_per_s=round(total.read / total.seconds, 1) if total.seconds else 0.0,
            oldest_age_s=round(total.oldest_age_s, 1),
        )


class _Reading:
    """Reads all segments of the buffer, each in a thread of its own, as one iterator of pages.

    A reader stays at most one page ahead of what is taken. Leaving the context ends the readers.
    """

    def __init__(self, buffer: Buffer, segments: int, page: int) -> None:
        self._pages: queue.Queue[list[Item] | Exception | None] = queue.Queue(segments)
        self._ended = threading.Event()
        self._readers = [
            threading.Thread(
                target=self._read, args=(buffer.pages(segment, segments, page),), daemon=True
            )
            for segment in range(segments)
        ]

    def __enter__(self) -> Iterator[list[Item]]:
        for reader in self._readers:
            reader.start()
        return self._taken()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for reader in self._readers:
            reader.join()

    def _taken(self) -> Iterator[list[Item]]:
        reading = len(self._readers)
        while reading:
            try:
                page = self._pages.get(timeout=_LOOK_S)
            except queue.Empty:
                yield []  # a moment to look at the clock
                continue
            if page is None:
                reading -= 1
            elif isinstance(page, Exception):
                raise page
            else:
                yield page

    def _read(self, pages: Iterator[list[Item]]) -> None:
        try:
            for page in pages:
                if not self._put(page):
                    return
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must end with it
            self._put(error)
        self._put(None)

    def _put(self, page: list[Item] | Exception | None) -> bool:
        """Hand over a page, or say that nobody wants it any more."""
        while not self._ended.is_set():
            try:
                self._pages.put(page, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False


def _read(item: Item) -> tuple[Document, datetime]:
    """Check that an item is a record; return it with the instant at which it was accepted.

    Raises:
        ValueError: with the reason why it is not.
    """
    if item.keys() != {"id", "record"} or "S" not in item["record"]:
        raise ValueError("the attributes must be id and record, both text")
    text = item["record"]["S"]
    record = from_json(text)
    if str(record.id) != item["id"]["S"]:
        raise ValueError("the key is not the id of the record")
    return Document(item["id"]["S"], text), record.created_at


def _item_json(item: Item) -> str:
    """Write an item as JSON of nothing but ASCII, which any text column takes."""

    def encode(value: Any) -> str:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode("ascii")
        raise TypeError(f"DynamoDB has no value of type {type(value).__name__}")

    return json.dumps(item, default=encode)
