"""Step 1, intake: the body of a POST becomes records in the buffer.

Promises that a record it returns is stored, that one bad record of an array harms no other, and
that a principal posts its own records alone, whichever way they come. Needs nothing but the buffer.
What HTTP makes of the result is for others.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.buffer import Buffer
from chalicelib.errors import ForbiddenError, InvalidError, PunchClockError, TooLargeError
from chalicelib.point_record import PointRecord, Status, parse, properties
from chalicelib.principal import Principal
from chalicelib.strict_json import load_json
from chalicelib.telemetry import ACCEPTED, bind, bound, event


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored record, and whether this request is the one that stored it."""

    record: PointRecord
    created: bool


class Intake:
    """Accepts point records into ``buffer``. ``clock`` gives the present instant, aware."""

    def __init__(
        self,
        buffer: Buffer,
        clock: Callable[[], datetime],
        *,
        clock_skew_s: float,
        max_body_bytes: int,
        max_batch: int,
        threads: int,
    ) -> None:
        self._buffer = buffer
        self._clock = clock
        self._clock_skew_s = clock_skew_s
        self._max_body_bytes = max_body_bytes
        self._max_batch = max_batch
        self._threads = threads

    def accept(
        self, body: bytes, principal: Principal
    ) -> Accepted | list[Accepted | PunchClockError]:
        """Store the record of a JSON object, or each record of a JSON array.

        Returns:
            For an object what was stored; for an array one result per item, in order, where the
            result of a bad or unstored item is the error that it met.

        Raises:
            InvalidError: the body, or the record of an object, is at fault.
            ForbiddenError: the record of an object is not the principal's to post.
            UnavailableError: the record of an object is not known to be stored.
        """
        if len(body) > self._max_body_bytes:
            raise TooLargeError(f"The body is over {self._max_body_bytes} bytes.")
        document = load_json(body)
        if not isinstance(document, list):
            return self.accept_document(document, principal)
        if not 1 <= len(document) <= self._max_batch:
            raise InvalidError(f"An array must have 1 to {self._max_batch} point records.")
        with ThreadPoolExecutor(
            min(self._threads, len(document)), initializer=bind, initargs=(bound(),)
        ) as pool:
            return list(pool.map(lambda each: self._accept_item(each, principal), document))

    def accept_document(self, document: object, principal: Principal) -> Accepted:
        """Store the record of one decoded JSON object.

        Raises:
            InvalidError: the record is at fault.
            ForbiddenError: it is not the principal's to post.
            UnavailableError: it is not known to be stored.
        """
        return self.accept_records([self.read(document, principal)])[0]

    def read(self, document: object, principal: Principal) -> PointRecord:
        """Return the record of one decoded JSON object, which is not stored yet.

        Raises:
            InvalidError: the record is at fault.
            ForbiddenError: it is not the principal's to post.
        """
        record = parse(document, self._clock(), self._clock_skew_s)
        if not principal.owns(record):
            raise ForbiddenError(f"This token posts no records but those of {principal}.")
        return record

    def accept_records(self, records: Sequence[PointRecord]) -> list[Accepted]:
        """Store all of the records, or none.

        Raises:
            UnavailableError: they are not known to be stored.
            NotImplementedByServiceError: they are more than can be stored together.
        """
        asked_at = time.perf_counter()
        if len(records) == 1:
            found = [self._buffer.put(records[0])]
        else:
            found = self._buffer.put_together(records)
        put_ms = round((time.perf_counter() - asked_at) * 1000, 1)
        for record, created in found:
            event(ACCEPTED, id=str(record.id), created=created, accepted=1, put_ms=put_ms)
        return [Accepted(*each) for each in found]

    def _accept_item(self, document: object, principal: Principal) -> Accepted | PunchClockError:
        try:
            return self.accept_document(document, principal)
        except PunchClockError as error:
            return error


def as_awaiting(record: PointRecord) -> dict[str, Any]:
    """Write a record that is not yet replicated as JSON, with every property of the contract."""
    return {
        **properties(record),
        "status": Status.AWAITING,
        "attempts": 0,
        "nextAttemptAt": None,
        "integratedAt": None,
        "replicatedAt": None,
        "updatedAt": None,
    }
