"""Define a valid point record: one punch of one employee of one employer at one instant.

Invariants:

- A record that ``parse`` returns is within the bounds of every store of the service.
- The same punch always has the same id.
"""

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from chalicelib.errors import (
    Detail,
    InTheFutureError,
    InvalidError,
    MalformedError,
    TooOldError,
)
from chalicelib.instant import (
    TooEarlyError,
    TooLateError,
    month_of,
    read_canonical,
    read_instant,
    to_text,
)
from chalicelib.record_id import punch_id

MAX_INT64 = 2**63 - 1
MAX_DEVICE_ID_LENGTH = 100
# https://openid.net/specs/openid-connect-core-1_0.html#IDToken
MAX_SUBJECT_LENGTH = 255
_MAX_ROLE_LENGTH = 11
_MAX_UNKNOWN_DETAILS = 100
# The circumference of the Earth. Larger values have no meaning and may overflow in calculations.
MAX_ACCURACY_METERS = 40_075_017


class Status(StrEnum):
    """Where a record is on its way to the legacy system."""

    AWAITING = "AWAITING"
    INTEGRATING = "INTEGRATING"
    INTEGRATED = "INTEGRATED"
    ERROR = "ERROR"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class PointRecord:
    """One punch. Instants are aware, in UTC, and truncated to the microsecond."""

    id: uuid.UUID
    employee_id: int
    employer_id: int
    included_at: datetime
    utc_offset_minutes: int
    device_id: str | None
    latitude: float | None
    longitude: float | None
    accuracy_meters: float | None
    created_at: datetime
    # The subject and the role of the token that posted it.
    posted_by: str | None = None
    posted_as: str | None = None

    @property
    def evidence(self) -> tuple[str | float | None, ...]:
        """What a post of the punch says beyond its key: offset, device and position."""
        return (
            self.utc_offset_minutes,
            self.device_id,
            self.latitude,
            self.longitude,
            self.accuracy_meters,
        )

    def posted(self, by: str, role: str) -> "PointRecord":
        """Return the record as posted with a token of this subject and role."""
        storable = by.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
        return replace(self, posted_by=storable[:MAX_SUBJECT_LENGTH] or None, posted_as=role)


def parse(
    body: object, now: datetime, clock_skew_s: float, retention_months: int | None = None
) -> PointRecord:
    """Check one decoded JSON object, and return its record.

    Args:
        body: the decoded JSON.
        now: the instant at which the service accepts the punch, aware.
        clock_skew_s: how far after ``now`` the instant of the punch may be.
        retention_months: how many months before that of ``now`` the punch may be; None for any.

    Raises:
        TooOldError: the only fault is an instant that is older than the retention.
        InTheFutureError: the only fault is an instant that lies in the future.
        MalformedError: the record is invalid in another way. Each of these errors has one detail
            for each fault.
    """
    if not isinstance(body, dict):
        raise MalformedError("A point record must be a JSON object.")
    faults: list[Detail] = []

    def read(name: str, reader: Any) -> Any:
        if body.get(name) is None:
            if name not in _OPTIONAL:
                faults.append(Detail(name, f"{name} is missing.", "Missing"))
            return None
        try:
            return reader(body[name])
        except ValueError as error:
            faults.append(Detail(name, f"{name} {error}.", _error_for(error).code))
            return None

    values = {name: read(name, reader) for name, reader in FIELDS.items()}
    included_at = values["includedAt"]
    if included_at and included_at > now + timedelta(seconds=clock_skew_s):
        message = f"includedAt is in the future. The time is {to_text(now)}."
        faults.append(Detail("includedAt", message, InTheFutureError.code))
    if included_at and retention_months is not None:
        oldest = month_of(now, plus=-retention_months)
        if included_at < oldest:
            message = f"includedAt is too old. Punches are accepted since {to_text(oldest)}."
            faults.append(Detail("includedAt", message, TooOldError.code))
    faults += _unknown_fields([name for name in body if name not in FIELDS])
    if faults:
        raise _error_of_all(faults)(
            "The point record is invalid: " + " ".join(each.message for each in faults[:10]),
            target=faults[0].target,
            details=faults,
        )
    return PointRecord(
        id=punch_id(values["employerId"], values["employeeId"], included_at),
        employee_id=values["employeeId"],
        employer_id=values["employerId"],
        included_at=included_at.astimezone(UTC),
        utc_offset_minutes=int(included_at.utcoffset().total_seconds() // 60),
        device_id=values["deviceId"],
        latitude=values["latitude"],
        longitude=values["longitude"],
        accuracy_meters=values["accuracyMeters"],
        created_at=now,
    )


def _error_for(fault: ValueError) -> type[InvalidError]:
    """Return the error for what a reader of a field found."""
    if isinstance(fault, TooEarlyError):
        return TooOldError
    return InTheFutureError if isinstance(fault, TooLateError) else MalformedError


def _error_of_all(faults: Sequence[Detail]) -> type[InvalidError]:
    """Return the error for a record: one of its instant only if nothing else is at fault."""
    codes = {each.code for each in faults}
    for error in (TooOldError, InTheFutureError):
        if codes == {error.code}:
            return error
    return MalformedError


def _unknown_fields(names: list[str]) -> list[Detail]:
    """Return one detail for each unknown field, and one for all beyond the first hundred."""
    shown = [name[:100] for name in names[:_MAX_UNKNOWN_DETAILS]]
    faults = [
        Detail(each, f"{each} is not a field of a point record.", "Unknown") for each in shown
    ]
    rest = names[_MAX_UNKNOWN_DETAILS:]
    if rest:
        more = f"{len(rest)} more names are not fields of a point record."
        faults.append(Detail(rest[0][:100], more, "Unknown"))
    return faults


def to_json(record: PointRecord) -> dict[str, Any]:
    """Return the record as the JSON object that the stores keep, without its null properties."""
    return {name: value for name, value in properties(record).items() if value is not None}


def properties(record: PointRecord) -> dict[str, Any]:
    """Return the properties of the punch as a JSON object, null properties included."""
    return {
        "id": str(record.id),
        "employeeId": record.employee_id,
        "employerId": record.employer_id,
        "includedAt": to_text(record.included_at),
        "utcOffsetMinutes": record.utc_offset_minutes,
        "deviceId": record.device_id,
        "latitude": record.latitude,
        "longitude": record.longitude,
        "accuracyMeters": record.accuracy_meters,
        "createdAt": to_text(record.created_at),
        "postedBy": record.posted_by,
        "postedAs": record.posted_as,
    }


def from_json(text: str) -> PointRecord:
    """Read a record that ``to_json`` wrote, and check it completely.

    Raises:
        ValueError: the text is not exactly such a record; the message has the reason.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("the record is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("the record is not a JSON object")
    values: dict[str, Any] = {}
    for name, reader in _STORED_FIELDS.items():
        value = document.get(name)
        if value is None:
            if name not in _OPTIONAL:
                raise ValueError(f"{name} is missing")
            values[name] = None
            continue
        try:
            values[name] = reader(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    if not document.keys() <= _STORED_FIELDS.keys():
        raise ValueError(f"unknown fields: {sorted(document.keys() - _STORED_FIELDS.keys())}")
    record = PointRecord(*values.values())
    if record.id != punch_id(record.employer_id, record.employee_id, record.included_at):
        raise ValueError("id does not belong to this punch")
    return record


def _read_id(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MAX_INT64:
        raise ValueError(f"must be a JSON integer from 1 to {MAX_INT64}")
    return value


def _read_number(low: float, high: float) -> Any:
    bounds = f"from {low} to {high}"

    def read(value: object) -> float:
        if type(value) not in (int, float):
            raise ValueError(f"must be a JSON number {bounds}")
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if not (math.isfinite(number) and low <= number <= high):
            raise ValueError(f"must be a JSON number {bounds}")
        return number

    return read


def _read_text(longest: int) -> Any:
    def read(value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise ValueError(f"must be a string of 1 to {longest} characters")
        if "\0" in value:
            raise ValueError("must not contain a NUL character")  # Postgres cannot store one
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("must not contain an unpaired surrogate") from error
        return value

    return read


# The fields that a client may send, each with the function that checks and converts its value.
FIELDS: Mapping[str, Any] = {
    "employeeId": _read_id,
    "employerId": _read_id,
    "includedAt": read_instant,
    "deviceId": _read_text(MAX_DEVICE_ID_LENGTH),
    "latitude": _read_number(-90, 90),
    "longitude": _read_number(-180, 180),
    "accuracyMeters": _read_number(0, MAX_ACCURACY_METERS),
}
# The fields that may be missing or null.
_OPTIONAL = ("deviceId", "latitude", "longitude", "accuracyMeters", "postedBy", "postedAs")


def _read_uuid(value: object) -> uuid.UUID:
    if not isinstance(value, str):
        raise ValueError("must be a UUID")
    return uuid.UUID(value)


def _read_offset_minutes(value: object) -> int:
    if type(value) is not int or not -1439 <= value <= 1439:
        raise ValueError("must be an integer from -1439 to 1439")
    return value


# The fields of a stored record, in the order of PointRecord.
_STORED_FIELDS: Mapping[str, Any] = {
    "id": _read_uuid,
    "employeeId": _read_id,
    "employerId": _read_id,
    "includedAt": read_canonical,
    "utcOffsetMinutes": _read_offset_minutes,
    "deviceId": FIELDS["deviceId"],
    "latitude": FIELDS["latitude"],
    "longitude": FIELDS["longitude"],
    "accuracyMeters": FIELDS["accuracyMeters"],
    "createdAt": read_canonical,
    "postedBy": _read_text(MAX_SUBJECT_LENGTH),
    "postedAs": _read_text(_MAX_ROLE_LENGTH),
}
