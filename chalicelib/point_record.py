"""What a valid point record is: one punch of one employee of one employer at one instant.

Promises that whatever ``parse`` lets through is within the bounds of every store behind it, and
that the same punch has the same id wherever and whenever it is named.
"""

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from chalicelib.errors import Detail, InvalidError
from chalicelib.instant import read_instant, read_written, to_text

# Made once, at random; part of every id ever given out, so it never changes.
NAMESPACE = uuid.UUID("7c1d2f0e-52f8-4d0a-9a35-7be3c7f1a1d4")

MAX_INT64 = 2**63 - 1
MAX_DEVICE_ID = 100
_MOST_UNKNOWN = 100
# Once around the Earth: more says nothing, and overflows those who calculate with it.
MAX_ACCURACY_METERS = 40_075_017


class Status(StrEnum):
    """Where a record stands on its way to the legacy."""

    AWAITING = "AWAITING"
    INTEGRATING = "INTEGRATING"
    INTEGRATED = "INTEGRATED"
    ERROR = "ERROR"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class PointRecord:
    """One punch. Instants are aware UTC, cut to the microsecond."""

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


def punch_id(employer_id: int, employee_id: int, included_at: str) -> uuid.UUID:
    """Name the punch: a UUIDv5 (RFC 9562, section 5.5) of who and when, to the microsecond.

    A device that sends the punch again, however much later, thereby names the same record.

    Args:
        employer_id: of whom the punch is.
        employee_id: whose punch it is.
        included_at: the instant as ``to_text`` writes it.
    """
    return uuid.uuid5(NAMESPACE, f"{employer_id}/{employee_id}/{included_at}")


def parse(body: object, now: datetime, clock_skew_s: float) -> PointRecord:
    """Turn one decoded JSON object into the record of a punch accepted at ``now``.

    Raises:
        InvalidError: with one detail for every field at fault.
    """
    if not isinstance(body, dict):
        raise InvalidError("A point record must be a JSON object.")
    faults: list[Detail] = []

    def read(name: str, reader: Any) -> Any:
        if body.get(name) is None:
            if name not in _OPTIONAL:
                faults.append(Detail(name, f"{name} is missing.", "Missing"))
            return None
        try:
            return reader(body[name])
        except ValueError as error:
            faults.append(Detail(name, f"{name} {error}."))
            return None

    values = {name: read(name, reader) for name, reader in FIELDS.items()}
    included_at = values["includedAt"]
    if included_at and included_at > now + timedelta(seconds=clock_skew_s):
        faults.append(Detail("includedAt", "includedAt lies in the future."))
    faults += _unknown([name for name in body if name not in FIELDS])
    if faults:
        raise InvalidError(
            "The point record is not valid: " + " ".join(each.message for each in faults[:10]),
            target=faults[0].target,
            details=faults,
        )
    return PointRecord(
        id=punch_id(values["employerId"], values["employeeId"], to_text(included_at)),
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


def _unknown(names: list[str]) -> list[Detail]:
    """Say of each name that it is no field; of very many, how many more there are."""
    shown = [name[:100] for name in names[:_MOST_UNKNOWN]]
    faults = [
        Detail(each, f"{each} is not a field of a point record.", "Unknown") for each in shown
    ]
    if len(names) > _MOST_UNKNOWN:
        more = f"{len(names) - _MOST_UNKNOWN} more are not either."
        faults.append(Detail(names[_MOST_UNKNOWN][:100], more, "Unknown"))
    return faults


def to_json(record: PointRecord) -> dict[str, Any]:
    """Write what is known of the punch itself as JSON, null fields left out."""
    return {name: value for name, value in properties(record).items() if value is not None}


def properties(record: PointRecord) -> dict[str, Any]:
    """Write what is known of the punch itself as JSON, null fields and all."""
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
    }


def from_json(text: str) -> PointRecord:
    """Read what ``to_json`` wrote, trusting nothing.

    Raises:
        ValueError: with what is wrong, if it is not exactly such a record.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("record is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("record is not a JSON object")
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
        raise ValueError(f"has unknown fields {sorted(document.keys() - _STORED_FIELDS.keys())}")
    record = PointRecord(*values.values())
    if record.id != punch_id(record.employer_id, record.employee_id, document["includedAt"]):
        raise ValueError("id is not that of the punch")
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


def _read_device_id(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_DEVICE_ID:
        raise ValueError(f"must be a text of 1 to {MAX_DEVICE_ID} characters")
    if "\0" in value:
        raise ValueError("must not have a NUL character")  # Postgres has no such text
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("must not have half of a surrogate pair") from error
    return value


# What a client may send of a punch, and how each is read.
FIELDS: Mapping[str, Any] = {
    "employeeId": _read_id,
    "employerId": _read_id,
    "includedAt": read_instant,
    "deviceId": _read_device_id,
    "latitude": _read_number(-90, 90),
    "longitude": _read_number(-180, 180),
    "accuracyMeters": _read_number(0, MAX_ACCURACY_METERS),
}
# What a punch may lack.
_OPTIONAL = ("deviceId", "latitude", "longitude", "accuracyMeters")


def _read_uuid(value: object) -> uuid.UUID:
    if not isinstance(value, str):
        raise ValueError("must be a UUID")
    return uuid.UUID(value)


def _read_offset_minutes(value: object) -> int:
    if type(value) is not int or not -1439 <= value <= 1439:
        raise ValueError("must be an integer from -1439 to 1439")
    return value


# In the order of the fields of PointRecord.
_STORED_FIELDS: Mapping[str, Any] = {
    "id": _read_uuid,
    "employeeId": _read_id,
    "employerId": _read_id,
    "includedAt": read_written,
    "utcOffsetMinutes": _read_offset_minutes,
    "deviceId": _read_device_id,
    "latitude": FIELDS["latitude"],
    "longitude": FIELDS["longitude"],
    "accuracyMeters": FIELDS["accuracyMeters"],
    "createdAt": read_written,
}
