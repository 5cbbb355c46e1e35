"""Give templates the values of a record, and make the sample records that they are tried with.

``NAMES`` has the properties of the JSON that the integrator sends, under the same names, and:

- ``local``: the instant of the punch, aware, in the offset of the device.
- ``utc``: the same instant, aware, in UTC.

A property that the record lacks is not among the values, so that a template which uses it fails.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from chalicelib.point_record import MAX_INT64

PROPERTIES = (
    "id",
    "employeeId",
    "employerId",
    "includedAt",
    "utcOffsetMinutes",
    "localDate",
    "localTime",
    "deviceId",
    "latitude",
    "longitude",
    "accuracyMeters",
)
NAMES = frozenset({*PROPERTIES, "local", "utc"})

# Records may lack these.
_OPTIONAL = frozenset({"deviceId", "latitude", "longitude", "accuracyMeters"})

_SAMPLE: dict[str, Any] = {
    "id": "00000000-0000-8000-8000-000000000000",
    "employeeId": MAX_INT64,
    "employerId": 121,
    "includedAt": "2026-11-22T01:30:00.123456Z",
    "utcOffsetMinutes": -180,
    "localDate": "2026-11-21",
    "localTime": "22:30:00.123456",
    # Every character that some syntax reserves, and letters beyond Latin-1.
    "deviceId": 'Zoë\'s "gate" <3> & 5% a/b?c#d+e=f;g\\h {i} 東京 🙂',
    "latitude": -23.55052,
    "longitude": -0.0000001,
    "accuracyMeters": 12.0,
}


class UnsendableError(Exception):
    """No request can be made from this record. The message names the setting and the reason."""


def sample_record(encoding: str = "utf-8") -> bytes:
    """Return a record with every property, as the integrator would send it.

    Args:
        encoding: the encoding of the request. Characters beyond it are left out.
    """
    device = _SAMPLE["deviceId"].encode(encoding, "ignore").decode(encoding)
    return to_json({**_SAMPLE, "deviceId": device})


def smallest_sample_record() -> bytes:
    """Return a record without the properties that records may lack."""
    return to_json({name: each for name, each in _SAMPLE.items() if name not in _OPTIONAL})


def values_of(record: bytes) -> dict[str, Any]:
    """Return what templates see of a record.

    Args:
        record: the JSON of the record, without null properties.
    """
    values: dict[str, Any] = json.loads(record)
    utc = datetime.fromisoformat(values["includedAt"])
    zone = timezone(timedelta(minutes=values["utcOffsetMinutes"]))
    return {**values, "utc": utc.astimezone(UTC), "local": utc.astimezone(zone)}


def texts_of(record: bytes) -> set[str]:
    """Return the values of a record's properties as texts, as a template writes them."""
    return {str(each) for each in json.loads(record).values()}


def to_json(record: Mapping[str, Any]) -> bytes:
    """Write a record as Postgres does when it is claimed, to the byte."""
    values = {name: _shortest(each) for name, each in record.items()}
    return json.dumps(values, ensure_ascii=False, separators=(", ", " : ")).encode()


def _shortest(value: Any) -> Any:
    """Return a whole number as an integer: Postgres writes 5, where Python writes 5.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
