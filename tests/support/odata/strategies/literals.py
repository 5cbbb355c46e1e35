"""Draw random literals, as OData text and as Python values."""

from datetime import datetime, time, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.support.odata.dataset import DEVICES, INSTANTS, LOG_TEXTS, STATUSES


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _duration(value: timedelta) -> str:
    sign = "-" if value < timedelta() else ""
    whole, micro = divmod(abs(value) // timedelta(microseconds=1), 10**6)
    return f"{sign}P{whole // 86400}DT{whole % 86400}.{micro:06d}S"


def literals(kind: str) -> st.SearchStrategy[tuple[str, Any]]:
    """Draw literals of a kind: text and value."""
    if kind == "int":
        numbers = st.one_of(
            st.integers(-10, 10), st.sampled_from([200, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)])
        )
        return numbers.map(lambda each: (str(each), each))
    if kind == "double":
        doubles = st.sampled_from(["1e0", "2.5e0", "-2.5E0", "1e-1", "0e0", "3.325e+1", "1e20"])
        return doubles.map(lambda each: (each, float(each)))
    if kind == "decimal":
        decimals = st.sampled_from(["0.1", "2.5", "-2.50", "0.0", "33.25", "1.000001", "-0.5"])
        return decimals.map(lambda each: (each, Fraction(each)))
    if kind == "text":
        texts = [
            *filter(None, DEVICES),
            *filter(None, LOG_TEXTS),
            *STATUSES,
            "",
            "e",
            "'",
            "É",
            " ",
        ]
        return st.sampled_from(texts).map(lambda each: (_quoted(each), each))
    if kind == "instant":
        return st.sampled_from(INSTANTS).flatmap(_instants)
    if kind == "date":
        days = st.sampled_from([each.date() for each in INSTANTS])
        return days.map(lambda each: (each.isoformat(), each))
    if kind == "time":
        times = st.sampled_from([time(), time(12), time(4, 5, 6, 789012), time(23, 59, 59)])
        return times.map(lambda each: (each.isoformat(), each))
    if kind == "duration":
        spans = st.sampled_from(
            [
                timedelta(),
                timedelta(1),
                timedelta(0, 3600),
                timedelta(-1, 1, 1),
                timedelta(400, 0, 5),
            ]
        )
        prefixes = st.sampled_from(["duration", "DURATION"])
        return st.tuples(prefixes, spans).map(
            lambda each: (f"{each[0]}'{_duration(each[1])}'", each[1])
        )
    if kind == "guid":
        return st.uuids().map(lambda each: (str(each), each))
    return st.sampled_from([("true", True), ("False", False), ("TRUE", True)])


def _instants(instant: datetime) -> st.SearchStrategy[tuple[str, datetime]]:
    zulu = instant.isoformat().replace("+00:00", "Z")
    forms = [(zulu, instant)]
    if instant.year > 2:
        local = instant.replace(tzinfo=None) - timedelta(hours=3)
        forms.append((f"{local.isoformat()}-03:00", instant))
    return st.sampled_from(forms)
