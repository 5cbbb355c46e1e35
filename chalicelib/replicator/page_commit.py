"""Validate the items of a page, and commit them to Postgres: as records, or to the quarantine.

An item whose key goes on after the id of its record is a further post of that record, with other
evidence. Its record is in the buffer too, or has left it for Postgres. A post whose record is not
in Postgres yet waits.

Invariant: of a page that is committed, every item but the waiting ones may leave the buffer.
"""

import base64
import json
import logging
import re
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from chalicelib.buffer import Item
from chalicelib.point_record import from_json
from chalicelib.postgres.documents import Document, Poison
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.telemetry import event

# The key of a further post of a record (``Buffer.put_other_evidence``).
_POST = re.compile(r"[0-9a-f-]{36}/[a-z]+/[0-9]")
# After this time, a further post waits only for a record that is still in the buffer.
_LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CommittedPage:
    """What Postgres has of a page.

    Attributes:
        read: the number of its items.
        written: how many records were written.
        other_evidence: how many further posts were logged.
        evidence_dropped: how many further posts were beyond the bound of their records.
        documents: the records and further posts that Postgres has, as they were added.
        quarantined: what is in quarantine.
        waiting: the keys of further posts whose records have not reached Postgres. They must stay
            in the buffer.
        oldest_age_s: the age of the oldest record.
    """

    read: int
    written: int
    other_evidence: int
    evidence_dropped: int
    documents: Sequence[Document]
    quarantined: Sequence[Poison]
    waiting: AbstractSet[str]
    oldest_age_s: float

    @property
    def already_there(self) -> int:
        """How many items changed nothing, since Postgres had them."""
        changed = self.written + self.other_evidence + self.evidence_dropped
        return self.read - changed - len(self.quarantined) - len(self.waiting)


class _Post(NamedTuple):
    """A further post of a record."""

    item: Item
    document: Document
    created_at: datetime


@dataclass(slots=True)
class _Page:
    """The items of a page, sorted. ``oldest_at`` is when the first of them was accepted."""

    oldest_at: datetime
    records: list[Document] = field(default_factory=list)
    posts: list[_Post] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)


def commit_page(
    items: Sequence[Item],
    store: PointRecordStore,
    buffered: Callable[[Collection[str]], AbstractSet[str]],
) -> CommittedPage:
    """Commit a page of the buffer, and log each item that goes to the quarantine.

    Args:
        items: the items of the page.
        store: the destination.
        buffered: returns which of some ids are in the buffer now.

    Raises:
        UnavailableError: a store is unavailable. To commit the page again is safe.
    """
    now = datetime.now(UTC)
    page = _sort(items, now)
    added = store.add(page.records, page.poison, [each.document for each in page.posts])
    without_record = added.evidence.without_record
    rejected = {each.item_id for each in added.rejected}
    without_row = [
        each
        for each in page.posts
        if each.document.id in without_record and each.document.key not in rejected
    ]
    orphans = _orphans(without_row, now, store, buffered)
    if orphans:
        store.add((), orphans)
    quarantined = [*page.poison, *added.rejected, *orphans]
    for each in quarantined:
        event("quarantined", level=logging.WARNING, item=each.item_id, reason=each.reason)
    logged = (each for each in added.posts if each.id not in without_record)
    return CommittedPage(
        read=len(items),
        written=added.written,
        other_evidence=added.evidence.logged,
        evidence_dropped=added.evidence.dropped,
        documents=[*added.documents, *logged],
        quarantined=quarantined,
        waiting={key_of(each.item) for each in without_row} - {each.item_id for each in orphans},
        oldest_age_s=(now - page.oldest_at).total_seconds(),
    )


def _sort(items: Sequence[Item], now: datetime) -> _Page:
    """Sort the items of a page into records, further posts and poison."""
    page = _Page(oldest_at=now)
    for item in items:
        try:
            document, created_at = _validate(item)
        except ValueError as error:
            page.poison.append(_poison(item, str(error)))
        else:
            page.oldest_at = min(page.oldest_at, created_at)
            if document.post_key:
                page.posts.append(_Post(item, document, created_at))
            else:
                page.records.append(document)
    return page


def _orphans(
    without_row: Sequence[_Post],
    now: datetime,
    store: PointRecordStore,
    buffered: Callable[[Collection[str]], AbstractSet[str]],
) -> list[Poison]:
    """Return, as poison, the posts that have waited for longer than their records may take."""
    overdue = [each for each in without_row if now - each.created_at > _LONGEST_WAIT]
    if not overdue:
        return []
    arriving = _arriving({each.document.id for each in overdue}, store, buffered)
    orphaned = (each for each in overdue if each.document.id not in arriving)
    return [_poison(each.item, "the record of this post has never arrived") for each in orphaned]


def _arriving(
    ids: AbstractSet[str],
    store: PointRecordStore,
    buffered: Callable[[Collection[str]], AbstractSet[str]],
) -> AbstractSet[str]:
    """Return which records are still to reach Postgres, or have just reached it.

    The buffer is asked first, since a record leaves it only when Postgres has it.
    """
    in_buffer = buffered(ids)
    return in_buffer | store.locate(ids - in_buffer).records


def key_of(item: Item) -> str:
    """Return the key of an item."""
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
    key = key_of(item)
    record_id, slash, _ = key.partition("/")
    if str(record.id) != record_id or (slash and not _POST.fullmatch(key)):
        raise ValueError("the key differs from the id of the record")
    return Document(record_id, text, key if slash else ""), record.created_at


def _poison(item: Item, reason: str) -> Poison:
    return Poison(key_of(item), _item_json(item), reason)


def _item_json(item: Item) -> str:
    """Return an item as JSON in ASCII, which every text column accepts."""

    def encode(value: Any) -> str:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode("ascii")
        raise TypeError(f"DynamoDB returns no values of type {type(value).__name__}")

    return json.dumps(item, default=encode)
