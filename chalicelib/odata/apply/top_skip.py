"""The transformations that keep some of the rows: by their number, or by a sum.

The order of what they keep is that in which rows were considered, completed by what names a row.
OData Extension for Data Aggregation 4.0, sections 3.3.1, 3.3.5 and 3.3.6.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from chalicelib.odata.apply.pipeline import Reader, with_hidden
from chalicelib.odata.apply.relation import Member, Output, Rows, Select
from chalicelib.odata.ast import Call, Literal, Node, OrderKey
from chalicelib.odata.edm import NUMBERS, Edm
from chalicelib.odata.language.literals import read_number
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span

_NATURAL = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")
_SUM_BEFORE = (
    "COALESCE(sum({{0}}) OVER (ORDER BY {0} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)"
)
_SUM = "COALESCE(sum({0}) OVER (), 0)"
_MOST = "max({{0}}) OVER (ORDER BY {0} ROWS UNBOUNDED PRECEDING)"


def top(reader: Reader, span: Span) -> Rows:
    return _cut(reader.rows, top=_whole_number(span))


def skip(reader: Reader, span: Span) -> Rows:
    return _cut(reader.rows, skip=_whole_number(span))


def ranked(name: str, measure: str, *, descending: bool) -> Callable[[Reader, Span], Rows]:
    """Return how ``topcount`` and its like are read: their measure is count, sum or percent."""

    def read(reader: Reader, span: Span) -> Rows:
        parameters = span.split(",")
        if len(parameters) < 2:
            raise syntax_error(f"{name} takes a number and an expression", span.after)
        expression = span.part(parameters[1].start, span.end)
        # Rows that are equal in it are considered in an order of our choice.
        reader.rows = replace(reader.rows, order=())
        value = reader.value(expression)
        limit = _limit(measure, parameters[0], value)
        (member,) = reader.order_by((OrderKey(value, descending),))
        if measure == "count":
            return _cut(reader.rows, top=limit.value)
        return _up_to(reader, member, measure, limit)

    return read


def _whole_number(span: Span) -> int:
    if not _NATURAL.fullmatch(span.text):
        raise syntax_error("A whole number from 0 on is expected", span.at)
    return int(span.text)


def _limit(measure: str, span: Span, value: Node) -> Literal:
    if not _NUMBER.fullmatch(span.text):
        if span.text and span.text[0] not in "'\"":
            raise unsupported("A first parameter that is no number is not supported", span.at)
        raise syntax_error("A number is expected", span.at)
    try:
        of, number = read_number(span.text)
    except ValueError as error:
        raise syntax_error(f"{span.text[:100]} {error}", span.at) from error
    if measure == "count":
        if of is not Edm.INT64 or number < 1:
            raise syntax_error("A whole number from 1 on is expected", span.at)
        return Literal(of, number, span.at)
    if value.type not in NUMBERS:
        raise syntax_error(f"A sum is one of numbers, not of {value.type}", span.at)
    if measure == "percent" and not 0 < number <= 100:
        raise syntax_error("A number above 0 and up to 100 is expected", span.at)
    return Literal(Edm.DECIMAL, Decimal(span.text), span.at)


def _cut(rows: Rows, *, skip: int = 0, top: int | None = None) -> Rows:
    """Keep ``top`` rows after the first ``skip`` of their order."""
    return replace(
        rows,
        select=Select(rows.it, rows.copied(), order=rows.total_order(), skip=skip, top=top),
        are_computed=False,
    )


def _up_to(reader: Reader, member: Member, measure: str, limit: Literal) -> Rows:
    """Keep rows in their order until the sum of a member over them reaches the limit.

    Once it was reached no further row is kept, though negative numbers would lower it again.
    """
    rows = reader.rows
    value = member.column(rows.it)
    before = _over(reader, _SUM_BEFORE, value, rows.total_order())
    whole = _over(reader, _SUM, value, ())
    rows = with_hidden(rows, [before, whole])
    most = _over(reader, _MOST, Member(before.property).column(rows.it), rows.total_order())
    rows = with_hidden(rows, [most])
    reached, total = (Member(each.property).column(rows.it) for each in (most, whole))
    if measure == "sum":
        kept = Call("({0} < {1})", (reached, limit), Edm.BOOLEAN)
    else:
        kept = Call("({0} * 100 < {1} * {2})", (reached, total, limit), Edm.BOOLEAN)
    return replace(rows, select=Select(rows.it, rows.copied(), (kept,)), are_computed=False)


def _over(reader: Reader, template: str, value: Node, order: tuple[OrderKey, ...]) -> Output:
    """Return what is calculated of a value over rows in an order."""
    keys = []
    for number, key in enumerate(order, 1):
        collation = ' COLLATE "C"' if key.expression.type is Edm.STRING else ""
        direction = "DESC NULLS LAST" if key.descending else "ASC NULLS FIRST"
        keys.append(f"{{{number}}}{collation} {direction}")
    filled = template.format(", ".join(keys)) if order else template
    expressions = (each.expression for each in order)
    found = Call(filled, (value, *expressions), Edm.DECIMAL)
    return Output(reader.columns.property("", found), found)
