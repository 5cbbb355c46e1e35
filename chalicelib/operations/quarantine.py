"""What an operator does with an item in quarantine: repair it and send it on its way.

The items are in the table ``quarantine``, each with its raw form and the reason why it is there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.errors import InvalidError
from chalicelib.point_record import MAX_INT64, PointRecord, from_json, parse, to_json
from chalicelib.postgres.point_records import Document, PointRecordStore


@dataclass(frozen=True, slots=True)
class Release:
    """The id of the record that an item became; ``written`` is 0 where it was there already."""

    id: str
    written: int


def release(
    quarantine_id: object,
    record: Mapping[str, Any] | None,
    replica: PointRecordStore,
    *,
    clock_skew_s: float,
) -> Release:
    """Release one item, as ``record`` says it should have been, or as it is if that is None.

    Releasing it is adding a record once, whatever was added before; then the item is gone.

    Args:
        quarantine_id: of the row.
        record: the punch as a phone would POST it, or None where the item was right after all.
        replica: where it is, and where it goes.
        clock_skew_s: how far in the future its instant may lie.

    Raises:
        NotFoundError: there is no such row.
        InvalidError: that is no id of a row, or it is still no point record and stays there.
        UnavailableError: releasing it again is safe.
    """
    if type(quarantine_id) is not int or not 1 <= quarantine_id <= MAX_INT64:
        raise InvalidError("The id of an item is a whole number from 1 on.", target="quarantineId")
    released: list[PointRecord] = []

    def repair(item: str) -> Document:
        if record is not None:
            mended = parse(record, datetime.now(UTC), clock_skew_s)
        else:
            try:
                mended = from_json(json.loads(item)["record"]["S"])
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidError(f"It is no point record as it is: {error}.") from error
        released.append(mended)
        return Document(str(mended.id), json.dumps(to_json(mended)))

    added = replica.release(quarantine_id, repair)
    if added.refused:
        raise InvalidError(added.refused[0].reason)
    return Release(str(released[0].id), added.written)
