"""Send a punch of a reserved employee the whole way, and measure how old it gets.

Every stage may look healthy while no record arrives: a stage's metrics count only what it has done.
The canary is an ordinary record: intake's own code reads it, and the steps move it like any other.
Only its employee is reserved (CANARY_EMPLOYER and CANARY_EMPLOYEE). It enters behind API Gateway,
and needs no token.

Invariants:

- At most one canary waits in Postgres, and one in 100 intervals in the buffer.
- None is deleted. One that the legacy refuses is parked like any record, and the alarm Parked
  rings.
- No ``accepted`` line has it: neither reconciliation nor the alarm NothingAccepted counts it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.buffer import Buffer
from chalicelib.buffered_items import BufferedItems
from chalicelib.instant import to_text
from chalicelib.point_record import PointRecord, Status
from chalicelib.postgres.canary_records import CanaryRecord
from chalicelib.record_id import punch_id
from chalicelib.telemetry import CANARY, event

# One request to DynamoDB looks up at most this many ids.
_LOOKED_BACK = 100


@dataclass(frozen=True, slots=True)
class Canary:
    """The reserved employee, and the time between two of its punches.

    Attributes:
        interval_s: the seconds between two punches, at least.
    """

    employer_id: int
    employee_id: int
    interval_s: float

    def included_at(self, now: datetime, back: int = 0) -> datetime:
        """Return the instant of the punch of this interval, or of one ``back`` intervals ago.

        Two runs in one interval make the same punch, so the same record.
        """
        interval = int(now.timestamp() // self.interval_s) - back
        return datetime.fromtimestamp(interval * self.interval_s, UTC)


def run(
    canary: Canary,
    now: datetime,
    buffer: Buffer,
    items: BufferedItems,
    recent: Callable[[int, int], list[CanaryRecord]],
    read: Callable[[object], PointRecord],
) -> None:
    """Log the age of the last canaries as metrics, and send the next one when it is due.

    Args:
        canary: the reserved employee.
        now: the present.
        buffer: where a new canary is put.
        items: the items of the buffer.
        recent: returns the latest records in Postgres of an employer and an employee, the latest
            first.
        read: intake's reader of a decoded JSON object.

    Raises:
        UnavailableError: a store is unavailable. Then it is not known whether a canary is on its
            way, so none is sent.
    """
    known = recent(canary.employer_id, canary.employee_id)
    is_due = (
        not (known and known[0].included_at >= canary.included_at(now))
        and not any(each.is_waiting for each in known)
        and not _is_buffered(canary, now, items)
    )
    if is_due:
        body = {
            "employerId": canary.employer_id,
            "employeeId": canary.employee_id,
            "includedAt": to_text(canary.included_at(now)),
        }
        buffer.put(read(body))
    fields: dict[str, Any] = {"sent": is_due, **_ages(known, now)}
    event(CANARY, **fields)


def _is_buffered(canary: Canary, now: datetime, items: BufferedItems) -> bool:
    """Return whether a canary of one of the last intervals, or of this one, is in the buffer."""
    punches = (canary.included_at(now, back) for back in range(_LOOKED_BACK))
    ids = [str(punch_id(canary.employer_id, canary.employee_id, punch)) for punch in punches]
    return bool(items.existing_ids(ids))


def _ages(known: list[CanaryRecord], now: datetime) -> dict[str, float]:
    """Return the metrics of the canaries, in seconds; those that are not known yet are missing.

    ``age_s`` is the age of the newest canary that arrived, or of the oldest one before the first
    arrival. It grows if any stage stands still.
    """
    arrived = [each for each in known if each.status == Status.INTEGRATED]
    ages = {}
    if known:
        newest = arrived[0] if arrived else known[-1]
        ages["age_s"] = (now - newest.created_at).total_seconds()
        ages["replication_s"] = (known[0].replicated_at - known[0].created_at).total_seconds()
    if arrived and (integrated_at := arrived[0].integrated_at):
        ages["integration_s"] = (integrated_at - arrived[0].replicated_at).total_seconds()
    return {name: round(max(0.0, age), 1) for name, age in ages.items()}
