"""Derive bounds of record ids from conditions on ``includedAt`` and ``localDate``.

The tables are partitioned by ranges of the record's id, which begins with the milliseconds of
``includedAt``. A condition on the instant therefore implies one on the id, and Postgres touches
only the months between its bounds: docs/decisions/0042-partitions-by-month.md.

The bounds are those of months. The planner multiplies the shares of rows that it expects of two
conditions, and all rows of a month are within such a bound.
"""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from chalicelib.instant import month_of
from chalicelib.odata.ast import Column, Comparison, Literal, OrderKey
from chalicelib.odata.model import ENTITY_TYPES
from chalicelib.odata.query.skip_token import Value
from chalicelib.record_id import end_id, first_id, milliseconds_of

_MIRRORED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "eq": "eq"}
_DAY = timedelta(days=1)
_Bounds = list[tuple[str, uuid.UUID]]


def implied_bounds(node: Comparison) -> tuple[Column, _Bounds] | None:
    """Return the instant that a comparison bounds, and the bounds of its entity's key.

    Each bound is an SQL operator and an id. Return None for any other comparison.
    """
    column, literal, operator = node.left, node.right, node.operator
    if isinstance(column, Literal):
        column, literal = literal, column
        operator = _MIRRORED.get(operator, "")
    if not isinstance(column, Column) or not isinstance(literal, Literal):
        return None
    entity, value = column.instance.entity, literal.value
    if column.member.name == entity.time_of_key and isinstance(value, datetime):
        least = most = value
    elif column.member.name == entity.day_of_key and isinstance(value, date):
        # No offset reaches 24 hours, so the day is within two days of its instants in UTC.
        start = datetime(value.year, value.month, value.day, tzinfo=UTC)
        least, most = start, start
        with suppress(OverflowError):  # at the ends of the calendar
            least = start - _DAY
            most = start + (_DAY if operator == "lt" else 2 * _DAY)
    else:
        return None
    bounds: _Bounds = []
    if operator in ("gt", "ge", "eq"):
        bounds.append(_lower(least))
    if operator in ("lt", "le", "eq"):
        bounds += _upper(most, inclusive=operator != "lt")
    return (column, bounds) if bounds else None


def _lower(instant: datetime) -> tuple[str, uuid.UUID]:
    return ">=", first_id(month_of(instant))


def _upper(instant: datetime, *, inclusive: bool) -> _Bounds:
    """Return the bound of all ids before the end of a month; the last month has none."""
    start = month_of(instant)
    if start == instant and not inclusive:
        return [("<", end_id(start))]
    try:
        return [("<", end_id(month_of(instant, plus=1)))]
    except ValueError:  # the month is the last one
        return []


def bound_of_place(
    keys: Sequence[OrderKey], after: Sequence[Value]
) -> tuple[Column, str, str] | None:
    """Return the bound of the key of all entities that follow a place in an order.

    It is a property, an SQL operator and an id. Return None if the order does not begin with the
    key, or with the instant that the key begins with, followed by the key.
    """
    first, last = keys[0].expression, keys[-1].expression
    if len(keys) == 1 or not isinstance(first, Column) or not isinstance(last, Column):
        return None
    entity = first.instance.entity
    if entity not in ENTITY_TYPES:
        return None
    key = Column(first.instance, entity.key[0])
    if first.member is key.member:
        text = after[0]
    elif (first.member.name, last.instance, last.member) == (
        entity.time_of_key,
        key.instance,
        key.member,
    ):
        text = after[-1]
    else:
        return None
    try:
        milliseconds = milliseconds_of(str(text))
        instant = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    except (ValueError, OverflowError):  # not from a nextLink: the comparison itself fails
        return None
    bounds = _upper(instant, inclusive=True) if keys[0].descending else [_lower(instant)]
    return (key, bounds[0][0], str(bounds[0][1])) if bounds else None
