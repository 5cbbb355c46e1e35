"""What an operator does with an item in quarantine: mend it and send it on its way.

The items are in the table ``quarantine``, each with its raw form and the reason why it is there.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chalicelib.errors import InvalidError
from chalicelib.point_record import PointRecord, from_json, parse, to_json
from chalicelib.postgres.replica import Document, Replica
from chalicelib.telemetry import event

_MOST_NAME = 100


def release(
    quarantine_id: int,
    record: Mapping[str, Any] | None,
    replica: Replica,
    *,
    by: str,
    clock_skew_s: float,
) -> str:
    """Release one item, as ``record`` says it should have been, or as it is if that is None.

    Releasing it is adding a record once, whatever was added before; then the item is gone.

    Args:
        quarantine_id: of the row.
        record: the punch as a phone would POST it, or None where the item was right after all.
        replica: where it is, and where it goes.
        by: who asks, for the log.
        clock_skew_s: how far in the future its instant may lie.

    Returns:
        The id of the record.

    Raises:
        NotFoundError: there is no such row.
        InvalidError: it is still no point record, and stays in quarantine.
        UnavailableError: releasing it again is safe.
    """
    released: list[PointRecord] = []

    def mend(item: str) -> Document:
        if record is not None:
            mended = parse(record, datetime.now(UTC), clock_skew_s)
        else:
            try:
                mended = from_json(json.loads(item)["record"]["S"])
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidError(f"It is no point record as it is: {error}.") from error
        released.append(mended)
        return Document(str(mended.id), json.dumps(to_json(mended)))

    added = replica.release(quarantine_id, mend)
    if added.refused:
        raise InvalidError(added.refused[0].reason)
    record_id = str(released[0].id)
    event(
        "released",
        by=by[:_MOST_NAME],
        quarantine_id=quarantine_id,
        id=record_id,
        written=added.written,
    )
    return record_id
