"""Step 1, intake: check the body of a POST, and store its records in the buffer.

Invariants:

- A record that intake returns is stored.
- An invalid record of an array does not affect the other records.
- A principal can only post records that it owns, by any route.

Intake depends on no store but the buffer. ``app`` turns its results into HTTP responses.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from chalicelib.buffer import Buffer
from chalicelib.errors import (
    ForbiddenError,
    MalformedError,
    PunchClockError,
    TooLargeError,
    UnavailableError,
)
from chalicelib.instant import local_day
from chalicelib.point_record import PointRecord, Status, parse, properties
from chalicelib.principal import Principal
from chalicelib.strict_json import load_json
from chalicelib.telemetry import ACCEPTED, bind, bound, event

# The function has 25 s. Where a store hangs, a put has three attempts of 5 s, and an array needs
# several rounds of puts.
_ARRAY_TIMEOUT_S = 20.0


class Evidence(StrEnum):
    """What became of the evidence of a post, if the stored record has other evidence."""

    LOGGED = "logged"  # kept, in the log of the record
    DROPPED = "dropped"  # not kept: the punch was posted with too many different ones


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored record.

    Attributes:
        record: the record that is stored, with its evidence.
        created: whether this request stored it, and not an earlier one.
        evidence: what became of the evidence of this request; None if the record has it.
    """

    record: PointRecord
    created: bool
    evidence: Evidence | None = None


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
        array_timeout_s: after this time an array is answered with what is known of each item.
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
        array_timeout_s: float = _ARRAY_TIMEOUT_S,
    ) -> None:
        self._buffer = buffer
        self._clock = clock
        self._clock_skew_s = clock_skew_s
        self._retention_months = retention_months
        self._max_body_bytes = max_body_bytes
        self._max_batch = max_batch
        self._threads = threads
        self._array_timeout_s = array_timeout_s

    def accept(
        self, body: bytes, principal: Principal
    ) -> Accepted | list[Accepted | PunchClockError]:
        """Store the record of a JSON object, or each record of a JSON array.

        Returns:
            For an object: the stored record. For an array: one result for each item, in order. The
            result of an item that is invalid or could not be stored is its error, and so is that of
            an item of which nothing is known when the time of the array has passed.

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
        until = time.monotonic() + self._array_timeout_s
        pool = ThreadPoolExecutor(
            min(self._threads, len(document)), initializer=bind, initargs=(bound(),)
        )
        try:
            futures = [pool.submit(self._accept_item, each, principal) for each in document]
            return [_result(each, until) for each in futures]
        finally:
            # A put that hangs ends by its own timeout. Nobody waits for it.
            pool.shutdown(wait=False, cancel_futures=True)

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
        return record.posted(principal.subject, principal.role)

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
        accepted = [
            Accepted(stored, created, self._keep_evidence(posted, stored))
            for posted, (stored, created) in zip(records, results, strict=True)
        ]
        put_ms = round((time.perf_counter() - started) * 1000, 1)
        for each in accepted:
            other: dict[str, Any] = {"evidence": each.evidence} if each.evidence else {}
            event(
                ACCEPTED,
                id=str(each.record.id),
                created=each.created,
                accepted=1,
                put_ms=put_ms,
                **other,
            )
        return accepted

    def _keep_evidence(self, posted: PointRecord, stored: PointRecord) -> Evidence | None:
        """Keep the evidence of a post beside the record that an earlier post has stored.

        Otherwise the first poster of a punch would own its evidence, without a trace.
        """
        if posted.evidence == stored.evidence:
            return None
        return Evidence.LOGGED if self._buffer.put_other_evidence(posted) else Evidence.DROPPED

    def _accept_item(self, document: object, principal: Principal) -> Accepted | PunchClockError:
        try:
            return self.accept_document(document, principal)
        except PunchClockError as error:
            return error


def _result(item: "Future[Accepted | PunchClockError]", until: float) -> Accepted | PunchClockError:
    """Return the result of an item, or an error if it is not known by a time of the clock."""
    try:
        return item.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        if item.done():  # the call itself raised it, or has ended just now
            return item.result()
        return UnavailableError(
            "The record store did not answer in time. The punch may be stored or not: send it"
            " again."
        )


def as_awaiting(record: PointRecord) -> dict[str, Any]:
    """Return the JSON of a record that is not in Postgres yet, with every property of the API."""
    day, time_of_day = local_day(record.included_at, record.utc_offset_minutes)
    return {
        **properties(record),
        "localDate": day,
        "localTime": time_of_day,
        "status": Status.AWAITING,
        "attempts": 0,
        "nextAttemptAt": None,
        "integratedAt": None,
        "replicatedAt": None,
        "updatedAt": None,
    }
