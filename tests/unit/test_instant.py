"""Leap seconds and long fractions are read alike in bodies, filters and casts."""

from collections.abc import Callable
from datetime import datetime

import pytest

from chalicelib.instant import TooLateError, local_day, read_instant, to_text
from chalicelib.odata.language import literals

READERS = [read_instant, literals.read_instant]
Reader = Callable[[str], datetime]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ("2016-12-31T23:59:60.999999Z", "2017-01-01T00:00:00.999999Z"),
        ("2016-12-31T20:59:60-03:00", "2017-01-01T00:00:00.000000Z"),
        ("2017-01-01T05:29:60.5+05:30", "2017-01-01T00:00:00.500000Z"),
        ("0001-01-01T23:59:60Z", "0001-01-02T00:00:00.000000Z"),
        ("2026-11-22T08:00:00.123456789012Z", "2026-11-22T08:00:00.123456Z"),
    ],
)
def test_leap_second_and_picoseconds_are_read(read: Reader, text: str, instant: str) -> None:
    assert to_text(read(text)) == instant


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2016-12-31T23:58:60Z", "leap second"),
        ("2016-12-31T12:34:60Z", "leap second"),
        ("2016-12-31T23:59:60-03:00", "leap second"),
        ("2016-12-31T00:00:60Z", "leap second"),
        ("2026-11-22T08:00:00.1234567890123Z", "more than 12 digits"),
        ("2026-11-22T23:59:60.1234567890123Z", "more than 12 digits"),
    ],
)
def test_other_seconds_and_fractions_are_named_in_the_error(
    read: Reader, text: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        read(text)


def test_leap_second_after_the_last_year_is_too_late() -> None:
    with pytest.raises(TooLateError):
        read_instant("9999-12-31T23:59:60Z")
    with pytest.raises(ValueError, match="9999"):
        literals.read_instant("9999-12-31T23:59:60Z")


def test_leap_second_keeps_the_offset_of_the_device() -> None:
    assert read_instant("2016-12-31T20:59:60-03:00").isoformat() == "2016-12-31T21:00:00-03:00"


def test_time_of_day_has_at_most_twelve_fraction_digits() -> None:
    assert literals.read_time("07:59:59.123456789012").microsecond == 123456
    with pytest.raises(ValueError, match="more than 12 digits"):
        literals.read_time("07:59:59.1234567890123")


@pytest.mark.parametrize(
    ("instant", "offset_minutes", "day"),
    [
        ("2026-11-22T01:30:00Z", -180, ("2026-11-21", "22:30:00")),
        ("2026-11-22T01:30:00.12Z", 0, ("2026-11-22", "01:30:00.12")),
        ("2026-11-22T23:59:59.999999Z", 330, ("2026-11-23", "05:29:59.999999")),
    ],
)
def test_local_day_is_that_of_the_offset(
    instant: str, offset_minutes: int, day: tuple[str, str]
) -> None:
    assert local_day(read_instant(instant), offset_minutes) == day
