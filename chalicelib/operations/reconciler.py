"""Proof that nothing fell between the stores: every accepted record is somewhere on its way.

Each id that the ``witness`` names must be in the buffer, in the replica or in quarantine. Reads
only: whatever is missing is reported, and mended by people.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from chalicelib.buffer import Buffer
from chalicelib.errors import InvalidError
from chalicelib.instant import read_instant
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.telemetry import event

# Ids that are looked for together.
_BATCH = 5_000
_MOST_REPORTED = 100
_USUAL = timedelta(hours=2)
_OLDEST = datetime.fromtimestamp(0, UTC)  # CloudWatch knows no time before


@dataclass(slots=True)
class Reconciliation:
    """Where the accepted records are, each counted once: in the replica if it is there already.

    ``missing`` are the ids that are nowhere, ``unlogged`` those in the replica that have not
    exactly one AWAITING log row.
    """

    accepted: int = 0
    in_buffer: int = 0
    in_replica: int = 0
    in_quarantine: int = 0
    missing: list[str] = field(default_factory=list)
    unlogged: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many records were found where."""
        return {
            "accepted": self.accepted,
            "in_buffer": self.in_buffer,
            "in_replica": self.in_replica,
            "in_quarantine": self.in_quarantine,
            "missing": len(self.missing),
            "unlogged": len(self.unlogged),
        }


def period(since: object, until: object, now: datetime) -> tuple[datetime, datetime]:
    """Return the first instant of a period and the first one after it.

    Args:
        since: RFC 3339; two hours before its end, where it is None.
        until: RFC 3339; the present, where it is None.
        now: the present.

    Raises:
        InvalidError: one of them is no instant, or they do not follow each other.
    """
    end = now if until is None else _instant("until", until)
    first = max(end - _USUAL, _OLDEST) if since is None else _instant("since", since)
    if first >= end:
        raise InvalidError("A period ends after it has begun.", target="since")
    return first, end


def _instant(name: str, text: object) -> datetime:
    try:
        return max(read_instant(text), _OLDEST)
    except ValueError as error:
        raise InvalidError(f"{name} {error}.", target=name) from error


def reconcile(accepted: Iterable[str], buffer: Buffer, replica: PointRecordStore) -> Reconciliation:
    """Look for each accepted id and log one line of what was found.

    Raises:
        UnavailableError: a store does not answer.
    """
    done = Reconciliation()
    ids = iter(accepted)
    seen: set[str] = set()  # a punch that is sent again is accepted again
    while found := set(islice(ids, _BATCH)):
        batch = found - seen
        seen |= batch
        done.accepted += len(batch)
        _look_for(batch, buffer, replica, done)
    event(
        "reconciled",
        logging.ERROR if done.missing or done.unlogged else logging.INFO,
        **done.counts,
        missing_ids=done.missing[:_MOST_REPORTED],
        unlogged_ids=done.unlogged[:_MOST_REPORTED],
    )
    return done


def _look_for(ids: set[str], buffer: Buffer, replica: PointRecordStore, done: Reconciliation) -> None:
    # A record leaves the buffer only once it is in Postgres: asked in this order, one that moves
    # in between is found. The first question only spares the buffer most of the second.
    replicated = replica.locate(ids)
    buffered = buffer.existing_ids(ids - replicated.records - replicated.quarantined)
    moved = replica.locate(ids - replicated.records - replicated.quarantined - buffered)
    records = replicated.records | moved.records
    quarantined = (replicated.quarantined | moved.quarantined) - records
    done.in_replica += len(records)
    done.in_quarantine += len(quarantined)
    done.in_buffer += len(buffered)
    done.missing += sorted(ids - records - quarantined - buffered)
    done.unlogged += sorted(replicated.unlogged | moved.unlogged)
