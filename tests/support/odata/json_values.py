"""Convert JSON of a response to Python values of the types that a reference expects."""

import re
import uuid
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any


class Number(str):
    """A JSON number in its original spelling."""


def readable(value: Any, expected: Any) -> Any:
    """Convert a JSON value to the type of the expected value."""
    match value, expected:
        case dict(), dict():
            return {name: readable(each, expected.get(name)) for name, each in value.items()}
        case list(), list():
            missing = [None] * max(0, len(value) - len(expected))
            pairs = zip(value, [*expected, *missing], strict=False)
            return [readable(each, of) for each, of in pairs]
        case Number(), float():
            return float(value)
        case Number(), _:
            return Fraction(value)
        case str(), uuid.UUID():
            return uuid.UUID(_KEY.sub(r"\1", value))
        case str(), str() if value.startswith("http") and expected.startswith("pointId="):
            return _KEY.sub(r"\1", value)
        case str(), datetime():
            return datetime.fromisoformat(value)
        case str(), date():
            return date.fromisoformat(value)
        case str(), time():
            return time.fromisoformat(value)
        case str(), timedelta():
            return _duration(value)
        case str(), float():
            return float(value)
    return value


_KEY = re.compile(r"http.*\(([^()]+)\)")
_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?")


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    assert match, text
    sign, days, hours, minutes, seconds, micros = match.groups()
    span = timedelta(
        int(days or 0),
        int(seconds or 0),
        int((micros or "0").ljust(6, "0")),
        minutes=int(minutes or 0),
        hours=int(hours or 0),
    )
    return -span if sign else span
