"""Step 1, intake: check the body of a POST, and store its records in the buffer.

Invariants:

- A record that intake returns is stored.
- An invalid record of an array does not affect the other records.
- A principal can only post records that it owns, by any route.

Intake depends on no store but the buffer. ``app`` turns its results into HTTP responses.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.buffer import Buffer
from chalicelib.errors import ForbiddenError, MalformedError, PunchClockError, TooLargeError
from chalicelib.point_record import PointRecord, Status, parse, properties
from chalicelib.principal import Principal
from chalicelib.strict_json import load_json
from chalicelib.telemetry import ACCEPTED, bind, bound, event


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored record. ``created`` is false if an earlier request has stored it."""

    record: PointRecord
    created: bool


class Intake:
    """Accepts point records into the buffer.

    Args:
        buffer: the buffer.
        clock: returns the current instant, aware.
        clock_skew_s: how far in the future the instant of a punch may be.
        retention_months: how many months ago the punch may be.
        max_body_bytes: size limit of a body.
        max_batch: most records in one array.
        threads: concurrent puts for one array.
    """

    def __init__(
        self,
        buffer: Buffer,
        clock: Callable[[], datetime],
        *,
        clock_skew_s: float,
        retention_months: int,
        max_body_bytes: int,
        max_batch: int,
        threads: int,
    ) -> None:
        self._buffer = buffer
        self._clock = clock
        self._clock_skew_s = clock_skew_s
        self._retention_months = retention_months
        self._max_body_bytes = max_body_bytes
        self._max_batch = max_batch
        self._threads = threads

    def accept(
        self, body: bytes, principal: Principal
    ) -> Accepted | list[Accepted | PunchClockError]:
        """Store the record of a JSON object, or each record of a JSON array.

        Returns:
            For an object: the stored record. For an array: one result for each item, in order. The
            result of an item that is invalid or could not be stored is its error.

        Raises:
            MalformedError: the body, or the record of an object, is invalid.
            TooOldError, InTheFutureError: only the instant of an object is at fault.
            ForbiddenError: the principal may not post the record of an object.
            UnavailableError: it is unknown whether the record of an object is stored. A
                retry is safe.
        """
        if len(body) > self._max_body_bytes:
            raise TooLargeError(f"The body exceeds {self._max_body_bytes} bytes (MAX_BODY_BYTES).")
        document = load_json(body)
        if not isinstance(document, list):
            return self.accept_document(document, principal)
        if not 1 <= len(document) <= self._max_batch:
            raise MalformedError(
                f"An array must have 1 to {self._max_batch} point records (MAX_BATCH)."
            )
        with ThreadPoolExecutor(
            min(self._threads, len(document)), initializer=bind, initargs=(bound(),)
        ) as pool:
            return list(pool.map(lambda each: self._accept_item(each, principal), document))

    def accept_document(self, document: object, principal: Principal) -> Accepted:
        """Store the record of one decoded JSON object.

        Raises:
            MalformedError: the record is invalid.
            TooOldError, InTheFutureError: only its instant is at fault.
            ForbiddenError: the principal may not post the record.
            UnavailableError: it is unknown whether the record is stored. A retry is safe.
        """
        return self.accept_records([self.read(document, principal)])[0]

    def read(self, document: object, principal: Principal) -> PointRecord:
        """Return the record of one decoded JSON object without storing it.

        Raises:
            MalformedError: the record is invalid.
            TooOldError, InTheFutureError: only its instant is at fault.
            ForbiddenError: the principal may not post the record.
        """
        if principal.read_only:
            raise ForbiddenError("An access key only reads. Send a token to post.")
        record = parse(document, self._clock(), self._clock_skew_s, self._retention_months)
        if not principal.owns(record):
            raise ForbiddenError(f"This token may only post records for {principal}.")
        return record

    def accept_records(self, records: Sequence[PointRecord]) -> list[Accepted]:
        """Store all of the records, or none.

        Raises:
            UnavailableError: it is unknown whether the records are stored. A retry is safe.
            NotImplementedByServiceError: the records are too many for one transaction.
        """
        started = time.perf_counter()
        if len(records) == 1:
            results = [self._buffer.put(records[0])]
        else:
            results = self._buffer.put_atomically(records)
        put_ms = round((time.perf_counter() - started) * 1000, 1)
        for record, created in results:
            event(ACCEPTED, id=str(record.id), created=created, accepted=1, put_ms=put_ms)
        return [Accepted(*each) for each in results]

    def _accept_item(self, document: object, principal: Principal) -> Accepted | PunchClockError:
        try:
            return self.accept_document(document, principal)
        except PunchClockError as error:
            return error


def as_awaiting(record: PointRecord) -> dict[str, Any]:
    """Return the JSON of a record that is not in Postgres yet, with every property of the API."""
    return {
        **properties(record),
        "status": Status.AWAITING,
        "attempts": 0,
        "nextAttemptAt": None,
        "integratedAt": None,
        "replicatedAt": None,
        "updatedAt": None,
    }
