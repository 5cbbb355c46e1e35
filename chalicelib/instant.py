"""Read and write instants as text: RFC 3339, in the forms of clients and of the service."""

import re
from datetime import UTC, datetime, timedelta, timezone

# RFC 3339, section 5.6. The offset is optional here, so that its absence gets a message of its own.
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
# A picosecond, as in the ABNF of OData (fractionalSeconds). No clock is more precise.
MAX_FRACTION_DIGITS = 12
# The form that ``to_text`` writes.
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class TooEarlyError(ValueError):
    """The instant is before the year 1 in UTC, the first that can be stored."""


class TooLateError(ValueError):
    """The instant is after the year 9999 in UTC, the last that can be stored."""


def to_text(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC with six fraction digits, so that text sorts as time."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def local_day(instant: datetime, offset_minutes: int) -> tuple[str, str]:
    """Return the day and the time of day of an instant at an offset from UTC, as Postgres does.

    The fraction of the second has no zeros at its end, and is absent if it is zero.
    """
    local = instant.astimezone(timezone(timedelta(minutes=offset_minutes)))
    clock, _, fraction = local.time().isoformat().partition(".")
    return local.date().isoformat(), f"{clock}.{fraction.rstrip('0')}" if fraction else clock


def read_instant(text: object) -> datetime:
    """Read an RFC 3339 date-time, which must have an offset; the result keeps the offset.

    Digits beyond the microsecond are truncated. A leap second is read by ``after_leap_second``.

    Raises:
        TooEarlyError: the instant is before the year 1 in UTC.
        TooLateError: the instant is after the year 9999 in UTC.
        ValueError: the text is invalid in another way.
            All messages are fit for clients.
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be an RFC 3339 date-time such as 2026-11-22T08:00:00-03:00")
    *calendar, fraction, offset = match.groups()
    require_short_fraction(fraction)
    if offset is None:
        raise ValueError("must end in an offset from UTC such as Z or -03:00")
    if offset in "Zz":
        zone = UTC
    else:
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 23 or minutes > 59:
            raise ValueError("has an offset out of range: hours go to 23, minutes to 59")
        away = timedelta(hours=hours, minutes=minutes)
        zone = timezone(-away if offset[0] == "-" else away)
    year, month, day, hour, minute, second = map(int, calendar)
    leap = second == 60
    try:
        microsecond = int((fraction or "")[:6].ljust(6, "0"))
        # The year 0 has the calendar of the year 400 and is not a year of ``datetime``.
        instant = datetime(year or 400, month, day, hour, minute, second - leap, microsecond, zone)
    except ValueError as error:
        raise ValueError("must be an existing date and time of the years 1 to 9999") from error
    if year == 0:
        raise TooEarlyError("must not be before the year 1")
    try:
        instant = after_leap_second(instant) if leap else instant
        instant.astimezone(UTC)
    except OverflowError as error:
        if year == 1:
            raise TooEarlyError("must not be before the year 1 in UTC") from error
        raise TooLateError("must not be after the year 9999 in UTC") from error
    return instant


def month_of(instant: datetime, plus: int = 0) -> datetime:
    """Return the start, in UTC, of the month of an instant, or of one ``plus`` months later.

    Raises:
        ValueError: the month is not in the years 1 to 9999.
    """
    utc = instant.astimezone(UTC)
    months = utc.year * 12 + utc.month - 1 + plus
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def require_short_fraction(digits: str | None) -> None:
    """Check the number of digits of a fraction of a second.

    Raises:
        ValueError: they are more than ``MAX_FRACTION_DIGITS``.
    """
    if digits is not None and len(digits) > MAX_FRACTION_DIGITS:
        raise ValueError(f"has more than {MAX_FRACTION_DIGITS} digits after the decimal point")


def after_leap_second(before: datetime) -> datetime:
    """Return the instant that a leap second is read as: the same second of the next day.

    No clock of a computer counts leap seconds, so 23:59:60 is what follows 23:59:59.999999. Which
    days have one is not checked: nobody knows it long before. RFC 3339, section 5.7.

    Args:
        before: the instant one second earlier, aware.

    Raises:
        ValueError: a leap second cannot be at this time of day.
        OverflowError: the instant is outside the years 1 to 9999.
    """
    utc = before.astimezone(UTC)
    if (utc.hour, utc.minute) != (23, 59):
        raise ValueError("has the second 60, which is a leap second and exists only at 23:59 UTC")
    return before + timedelta(seconds=1)


def read_canonical(text: object) -> datetime:
    """Read an instant in the form that ``to_text`` writes, ten times faster than ``read_instant``.

    Raises:
        ValueError: the text is not in exactly this form.
    """
    if not isinstance(text, str) or not _CANONICAL.fullmatch(text):
        raise ValueError("must be an RFC 3339 date-time in UTC with six fraction digits")
    return datetime.fromisoformat(text)
