"""Reconcile: prove that every accepted record is in one of the stores.

Each id in intake's log must be in the buffer, in ``point_record`` or in quarantine. This module
only reads. It reports missing records; people repair the cause.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from chalicelib.buffered_items import BufferedItems
from chalicelib.errors import InvalidError
from chalicelib.instant import read_instant
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.telemetry import RECONCILED, event

# The line of an operator's command. It is no metric: an alarm must not take it for the schedule's.
PERIOD_RECONCILED = "period reconciled"

# Ids per round of look-ups.
_BATCH = 5_000
_MAX_REPORTED = 100
# Lambda answers with at most 6 MB; two lists of these have 0.8 MB.
_MAX_ANSWERED = 10_000
_DEFAULT_PERIOD = timedelta(hours=2)
_EARLIEST = datetime.fromtimestamp(0, UTC)  # CloudWatch counts time from here


@dataclass(slots=True)
class Reconciliation:
    """Where the accepted records are.

    Each record is counted once: as ``in_postgres`` if it is in Postgres, even if the buffer has it
    too. ``missing`` are the ids that no store has. ``unlogged`` are the records in Postgres without
    exactly one log row of their arrival.
    """

    accepted: int = 0
    in_buffer: int = 0
    in_postgres: int = 0
    in_quarantine: int = 0
    missing: list[str] = field(default_factory=list)
    unlogged: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of records in each place, by the names that the log uses."""
        return {
            "accepted": self.accepted,
            "in_buffer": self.in_buffer,
            "in_postgres": self.in_postgres,
            "in_quarantine": self.in_quarantine,
            "missing": len(self.missing),
            "unlogged": len(self.unlogged),
        }

    def answer(self) -> dict[str, object]:
        """Return the counts, and at most 10,000 ids of each kind, for an operator.

        ``more`` is true if ids were left out. Ask for shorter periods to get them.
        """
        return {
            **self.counts,
            "missing_ids": self.missing[:_MAX_ANSWERED],
            "unlogged_ids": self.unlogged[:_MAX_ANSWERED],
            "more": max(len(self.missing), len(self.unlogged)) > _MAX_ANSWERED,
        }


def period(since: object, until: object, now: datetime) -> tuple[datetime, datetime]:
    """Parse a period; return its first instant and the first instant after it.

    Args:
        since: RFC 3339; None for two hours before the end.
        until: RFC 3339; None for the present.
        now: the present.

    Raises:
        InvalidError: one of them is not an instant, or ``since`` is not before ``until``.
    """
    end = now if until is None else _parse_instant("until", until)
    first = (
        max(end - _DEFAULT_PERIOD, _EARLIEST) if since is None else _parse_instant("since", since)
    )
    if first >= end:
        raise InvalidError("since must be earlier than until.", target="since")
    return first, end


def _parse_instant(name: str, text: object) -> datetime:
    try:
        return max(read_instant(text), _EARLIEST)
    except ValueError as error:
        raise InvalidError(f"{name} {error}.", target=name) from error


def reconcile(
    accepted: Iterable[str],
    buffer: BufferedItems,
    store: PointRecordStore,
    message: str = RECONCILED,
) -> Reconciliation:
    """Locate each accepted record, and log one line with the result.

    Args:
        accepted: ids of accepted records. An id may repeat: a punch that a phone posts again is
            accepted again.
        buffer: the records that are not in Postgres yet.
        store: the records and the quarantine in Postgres.
        message: the message of the line. Only the lines ``reconciled`` are metrics.

    Raises:
        UnavailableError: a store cannot be reached.
    """
    result = Reconciliation()
    ids = iter(accepted)
    seen: set[str] = set()
    while chunk := set(islice(ids, _BATCH)):
        batch = chunk - seen
        seen |= batch
        result.accepted += len(batch)
        _locate(batch, buffer, store, result)
    event(
        message,
        logging.ERROR if result.missing or result.unlogged else logging.INFO,
        **result.counts,
        missing_ids=result.missing[:_MAX_REPORTED],
        unlogged_ids=result.unlogged[:_MAX_REPORTED],
    )
    return result


def _locate(
    ids: set[str], buffer: BufferedItems, store: PointRecordStore, result: Reconciliation
) -> None:
    """Locate one batch, and add what it finds to ``result``.

    A record leaves the buffer only after Postgres has it. Reading Postgres after the buffer
    therefore finds a record that moves meanwhile. Reading Postgres before the buffer too keeps the
    reads of the buffer few.
    """
    before = store.locate(ids)
    buffered = buffer.existing_ids(ids - before.records - before.quarantined)
    after = store.locate(ids - before.records - before.quarantined - buffered)
    records = before.records | after.records
    quarantined = (before.quarantined | after.quarantined) - records
    result.in_postgres += len(records)
    result.in_quarantine += len(quarantined)
    result.in_buffer += len(buffered)
    result.missing += sorted(ids - records - quarantined - buffered)
    result.unlogged += sorted(before.unlogged | after.unlogged)
