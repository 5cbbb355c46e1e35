"""Make up records: distinct, valid punches, and ids for those that SQL makes."""

import itertools
from datetime import UTC, datetime, timedelta

from chalicelib.point_record import PointRecord, parse

_START = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def punch() -> PointRecord:
    """Return a new punch with device and position; no two of a process have the same identity."""
    number = next(_numbers)
    instant = _START + timedelta(seconds=number)
    body = {
        "employeeId": number % 100_000 + 1,
        "employerId": number % 50 + 1,
        "includedAt": instant.isoformat(),
        "deviceId": "a1b2c3d4-e5f6-7890",
        "latitude": -23.55052,
        "longitude": -46.633308,
        "accuracyMeters": 12.5,
    }
    return parse(body, instant, clock_skew_s=60)


def random_id(instant: str) -> str:
    """Return the SQL of a random id for a record whose ``included_at`` is this SQL, since 1970."""
    milliseconds = f"CAST(floor(extract(epoch FROM {instant}) * 1000) AS bigint)"
    rest = "right(replace(CAST(gen_random_uuid() AS text), '-', ''), 20)"
    return f"CAST(lpad(to_hex({milliseconds}), 12, '0') || {rest} AS uuid)"
