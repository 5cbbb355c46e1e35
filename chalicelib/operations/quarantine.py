"""Release a quarantined item: add it as a point record, repaired or unchanged.

The table ``quarantine`` has each item in its raw form, with the reason for its quarantine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.errors import InvalidError
from chalicelib.point_record import MAX_INT64, PointRecord, from_json, parse, to_json
from chalicelib.postgres.documents import Document
from chalicelib.postgres.quarantined_items import QuarantinedItems


@dataclass(frozen=True, slots=True)
class Release:
    """The id of the record that an item became.

    ``written`` is 0 if the record existed already or its punch is erased.
    """

    id: str
    written: int


def release(
    quarantine_id: object,
    record: Mapping[str, Any] | None,
    items: QuarantinedItems,
    *,
    clock_skew_s: float,
) -> Release:
    """Add a quarantined item as a point record and delete it from quarantine.

    The record is added idempotently: a record that exists already stays as it is, and other
    evidence of the item goes to its log.

    Args:
        quarantine_id: the ``id`` of the item's row.
        record: the repaired punch, in the form in which a phone posts it; None to release the item
            unchanged.
        items: the quarantine.
        clock_skew_s: how far in the future the punch may be.

    Raises:
        NotFoundError: no quarantined item has this id.
        InvalidError: the id is not a positive integer, or the item is still not a valid point
            record. The item stays in quarantine.
        UnavailableError: Postgres cannot be reached; a second call is safe.
    """
    if type(quarantine_id) is not int or not 1 <= quarantine_id <= MAX_INT64:
        raise InvalidError(
            "quarantineId must be the id of a quarantined item: a positive integer.",
            target="quarantineId",
        )
    released: list[PointRecord] = []

    def repair(item: str) -> Document:
        if record is not None:
            repaired = parse(record, datetime.now(UTC), clock_skew_s)
        else:
            try:
                repaired = from_json(json.loads(item)["record"]["S"])
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidError(
                    f"The item is not a valid point record: {error}. Send the repaired punch as"
                    ' "record".'
                ) from error
        released.append(repaired)
        return Document(str(repaired.id), json.dumps(to_json(repaired)))

    added = items.release(quarantine_id, repair)
    if added.rejected:
        raise InvalidError(added.rejected[0].reason)
    return Release(str(released[0].id), added.written)
