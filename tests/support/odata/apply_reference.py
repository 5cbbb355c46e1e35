"""A reference implementation of ``$apply`` in plain Python. It does not import the service.

Rows are namespaces: an entity with its computed properties, or group keys with their aggregates.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from math import isclose
from types import SimpleNamespace
from typing import Any

from tests.support.odata.reference import bounded

Row = SimpleNamespace


@dataclass(frozen=True)
class Approximate:
    """A Double whose value depends on the order of evaluation."""

    value: float
    error: float


def rows_of(entities: Iterable[Any]) -> list[Row]:
    return [Row(**vars(each)) for each in entities]


def read(row: Row, path: str) -> Any:
    value: Any = row
    for segment in path.split("/"):
        value = getattr(value, segment)
    return value


def write(row: Row, path: str, value: Any) -> None:
    *way, last = path.split("/")
    for segment in way:
        if not hasattr(row, segment):
            setattr(row, segment, Row())
        row = getattr(row, segment)
    setattr(row, last, value)


def total(values: Sequence[Any]) -> Any:
    """Return the sum: null for no values; integers must stay within Int64."""
    if not values:
        return None
    if isinstance(values[0], float):
        return Approximate(sum(values), sum(map(abs, values)) * 1e-12)
    if isinstance(values[0], timedelta):
        return sum(values, timedelta())
    return bounded(sum(values))


def average(values: Sequence[Any]) -> Any:
    if not values:
        return None
    if isinstance(values[0], float):
        number = len(values)
        return Approximate(sum(values) / number, sum(map(abs, values)) / number * 1e-12)
    if isinstance(values[0], timedelta):
        return Approximate(sum(values, timedelta()).total_seconds() / len(values), 1e-5)
    return Fraction(sum(map(Fraction, values)), len(values))


METHODS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "sum": total,
    "average": average,
    "min": lambda values: min(values, key=ordered, default=None),
    "max": lambda values: max(values, key=ordered, default=None),
    "countdistinct": lambda values: len(set(values)),
}


def aggregated(method: str, values: Iterable[Any]) -> Any:
    """Aggregate the values that are not null: 3.2.1.3."""
    return METHODS[method]([each for each in values if each is not None])


def ordered(value: Any) -> Any:
    """Return the sort key of a value: a GUID sorts by its digits."""
    return value.int if hasattr(value, "int") else value


def grouped(rows: list[Row], paths: Sequence[str]) -> list[tuple[Row, list[Row]]]:
    """Return each group as a row of its keys, and its member rows."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(read(row, path) for path in paths), []).append(row)
    groups_with_rows = []
    for values, members in groups.items():
        group = Row()
        for path, value in zip(paths, values, strict=True):
            write(group, path, value)
        groups_with_rows.append((group, members))
    return groups_with_rows


def sort(rows: list[Row], order: Sequence[tuple[str, bool]]) -> list[Row]:
    """Sort by paths with directions; null sorts as the lowest value."""
    rows = list(rows)
    for path, descending in reversed(order):

        def key(row: Row, path: str = path) -> tuple[bool, Any]:
            value = read(row, path)
            return (value is not None, 0 if value is None else ordered(value))

        rows.sort(key=key, reverse=descending)
    return rows


def up_to(rows: list[Row], path: str, limit: Fraction, percent: bool) -> list[Row]:
    """Return rows until their sum reaches the limit: 3.3.1."""
    values = [Fraction(read(row, path) or 0) for row in rows]
    whole = sum(values, Fraction(0))
    sign = -1 if percent and whole < 0 else 1
    reached = limit * abs(whole) / 100 if percent else limit
    kept: list[Row] = []
    so_far = Fraction(0)
    for row, value in zip(rows, values, strict=True):
        if sign * so_far >= reached:
            break
        kept.append(row)
        so_far += value
    return kept


def concatenated(
    rows: list[Row], parts: Sequence[tuple[list[Any], Sequence[tuple[str, bool]], set[str]]]
) -> list[Row]:
    """Return the rows of each part, which has its steps, its order and the paths that it lacks."""
    results = []
    for number, (steps, order, absent) in enumerate(parts):
        made = [Row(**vars(row)) for row in rows]
        for step in steps:
            made = step(made)
        for position, row in enumerate(sort(made, order)):
            result = _copy(row)
            result.absent = absent | getattr(row, "absent", set())
            for path in absent:
                write(result, path, None)
            write(result, "#branch", number)
            write(result, "#position", position)
            results.append(result)
    return results


def _copy(row: Row) -> Row:
    """Return a copy of a row, with copies of the rows in it."""
    return Row(**{k: _copy(v) if type(v) is Row else v for k, v in vars(row).items()})


def matches_json(expected: Any, actual: Any) -> bool:
    """Return whether a JSON value represents the expected value."""
    if expected is None or actual is None or isinstance(expected, bool | str):
        return actual is expected or actual == expected
    if isinstance(expected, Approximate):
        actual = _seconds(actual) if isinstance(actual, str) else actual
        return abs(expected.value - actual) <= expected.error + 1e-12 * abs(expected.value)
    if isinstance(expected, Fraction | float):
        return not isinstance(actual, str) and isclose(expected, actual, rel_tol=1e-12)
    if isinstance(expected, datetime):
        return actual.endswith("Z") and datetime.fromisoformat(actual) == expected
    if isinstance(expected, date):
        return actual == expected.isoformat()
    if isinstance(expected, time):
        return time.fromisoformat(actual) == expected
    if isinstance(expected, timedelta):
        return Fraction(_seconds(actual)) == Fraction(expected // timedelta(microseconds=1), 10**6)
    return actual == (expected if isinstance(expected, int) else str(expected))


def _seconds(text: str) -> Fraction:
    sign = -1 if text.startswith("-") else 1
    return sign * Fraction(text.lstrip("-").removeprefix("PT").removesuffix("S"))
