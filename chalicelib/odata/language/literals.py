"""Parse the literals of primitive types in URLs. OData ABNF 4.01, section 7 (literal data values).

Each function returns a Python value with exactly the literal's meaning. It raises ``ValueError``
with a reason that completes the sentence "The literal …".
"""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import isinf
from typing import Any

from chalicelib.instant import after_leap_second, require_short_fraction
from chalicelib.odata.edm import INTEGER_RANGES, Edm

# Longer than any number in use, and short enough that parsing is fast.
MAX_DIGITS = 1_000
# Of a text that is read as a Decimal: its value has up to 1,000 digits more than the text.
MAX_EXPONENT_DIGITS = 3
# Digits of a numeric of Postgres: https://www.postgresql.org/docs/current/datatype-numeric.html.
_MAX_INTEGER_DIGITS = 131_072
_MAX_FRACTION_DIGITS = 16_383

DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
# A plus sign that the client did not encode arrives as a space.
OFFSET = r"(?:[Zz]|[-+ ][0-9]{2}:[0-9]{2}(?![0-9]|:[0-9]))"
NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?")
_INSTANT = re.compile(rf"({DATE})[Tt]({CLOCK})({OFFSET})?")
_NATURAL = re.compile(r"[0-9]+")
_MAX_NATURAL = 2**62
_NUMBER = re.compile(NUMBER)
_INTEGER = re.compile(r"([-+]?)([0-9]+)")
_DECIMAL = re.compile(rf"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{{1,{MAX_EXPONENT_DIGITS}}})?")
_NOT_ZERO = re.compile(r"[-+]?[0.]*[1-9]")
_GUID = re.compile(GUID)
_DURATION = re.compile(
    r"(-)?P(?:([0-9]+)D)?(?:T(?=[0-9])(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:\.([0-9]+))?S)?)?"
)


def read_number(text: str) -> tuple[Edm, Any]:
    """Parse a number: Double with an exponent, else Int64 if it is one, else Decimal."""
    if text in ("INF", "-INF", "NaN"):
        return Edm.DOUBLE, float(text)
    if len(text) > MAX_DIGITS:
        raise ValueError(f"has more than {MAX_DIGITS} characters")
    if "e" in text or "E" in text:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("is outside the range of Edm.Double")
        return Edm.DOUBLE, value
    if "." not in text:
        number = int(text)
        low, high = INTEGER_RANGES[Edm.INT64]
        if low <= number <= high:
            return Edm.INT64, number
    return Edm.DECIMAL, Decimal(text)


def read_guid(text: str) -> uuid.UUID:
    return uuid.UUID(_matched(_GUID, text, "is not a GUID").group())


def read_date(text: str) -> date:
    """Parse a date in the years 1 to 9999."""
    year, month, day = map(int, _matched(_DATE, text, "is not a date such as 2026-11-22").groups())
    try:
        return date(year, month, day)
    except ValueError as error:
        raise ValueError("is not a day of the calendar") from error


def read_time(text: str) -> time:
    """Parse a time of day; truncate it to the microsecond."""
    match = _matched(_CLOCK, text, "is not a time such as 07:59:59.999")
    hour, minute, second, fraction = match.groups()
    require_short_fraction(fraction)
    try:
        return time(int(hour), int(minute), int(second or 0), _microseconds(fraction))
    except ValueError as error:
        raise ValueError("is not a time of day") from error


def read_instant(text: str) -> datetime:
    """Parse an instant; keep its UTC offset, or use zero if it has none.

    Truncate it to the microsecond, and read a leap second, as intake does.
    """
    match = _matched(_INSTANT, text, "is not a date-time such as 2026-11-22T08:00:00Z")
    day, clock, offset = match.groups()
    leap = clock[6:8] == "60"
    moment = read_time(clock[:6] + "59" + clock[8:] if leap else clock)
    zone = UTC if offset is None or offset in "Zz" else _zone(offset)
    try:
        instant = datetime.combine(read_date(day), moment, zone)
        instant = after_leap_second(instant) if leap else instant
        instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside the years 1 to 9999 in UTC") from error
    return instant


def read_duration(text: str) -> timedelta:
    """Parse a dayTimeDuration (XML Schema 1.1 part 2, section 3.4.27) to the microsecond."""
    match = _matched(_DURATION, text, "is not a duration such as P1DT2H30M")
    sign, days, hours, minutes, seconds, fraction = match.groups()
    if match.group().endswith(("P", "T")):
        raise ValueError("is not a duration such as P1DT2H30M")
    try:
        duration = timedelta(
            _number_of(days),
            _number_of(seconds),
            _microseconds(fraction),
            minutes=_number_of(minutes),
            hours=_number_of(hours),
        )
        duration = -duration if sign else duration
    except OverflowError as error:
        raise ValueError("is too long for a duration") from error
    return duration


def read_boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text.lower() == "true"


def read_natural(text: str) -> int:
    """Parse a number of rows; read one that no table can have as one that fits in a bigint."""
    digits = _matched(_NATURAL, text, "is not a non-negative integer").group()
    return min(_number_of(digits), _MAX_NATURAL)


def read_as(target: Edm, text: str) -> Any:
    """Parse a text of any length as a literal of a type, as ``cast`` does."""
    if target in INTEGER_RANGES:
        return _read_integer(target, text)
    return _READERS[target](text)


def _read_integer(target: Edm, text: str) -> int:
    sign, digits = _matched(_INTEGER, text, "is not an integer").groups()
    number = _number_of(digits) * (-1 if sign == "-" else 1)
    low, high = INTEGER_RANGES[target]
    if not low <= number <= high:
        raise ValueError(f"is outside the range of {target}")
    return number


def _read_decimal(text: str) -> Decimal:
    """Parse a Decimal that Postgres can store."""
    number = Decimal(_matched(_DECIMAL, text, "is not a Decimal").group())
    exponent = number.as_tuple().exponent
    if number.adjusted() >= _MAX_INTEGER_DIGITS or int(exponent) < -_MAX_FRACTION_DIGITS:
        raise ValueError(f"is outside the range of {Edm.DECIMAL}")
    return number


def _read_double(text: str) -> float:
    if text in ("INF", "-INF", "NaN"):
        return float(text)
    number = float(_matched(_NUMBER, text, "is not a number").group())
    if isinf(number) or (number == 0 and _NOT_ZERO.match(text)):
        raise ValueError(f"is outside the range of {Edm.DOUBLE}")
    return number


_READERS: dict[Edm, Callable[[str], Any]] = {
    Edm.STRING: str,
    Edm.BOOLEAN: read_boolean,
    Edm.GUID: read_guid,
    Edm.DATE: read_date,
    Edm.TIME_OF_DAY: read_time,
    Edm.DATE_TIME_OFFSET: read_instant,
    Edm.DURATION: read_duration,
    Edm.DECIMAL: _read_decimal,
    Edm.DOUBLE: _read_double,
}


def _matched(pattern: re.Pattern[str], text: str, reason: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(reason)
    return match


def _number_of(digits: str | None) -> int:
    """Read digits, of which more than twenty stand for some number beyond every range in use."""
    return int((digits or "").lstrip("0")[:20] or 0)


def _microseconds(fraction: str | None) -> int:
    return int((fraction or "")[:6].ljust(6, "0"))


def _zone(offset: str) -> timezone:
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError("has an offset outside the range -23:59 to +23:59")
    distance = timedelta(hours=hours, minutes=minutes)
    return timezone(-distance if offset[0] == "-" else distance)
