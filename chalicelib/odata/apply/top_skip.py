"""The transformations that keep some of the rows, by their number or by a sum.

They keep the rows in the order in which they are considered, made total by the unique attributes.
OData Extension for Data Aggregation 4.0, sections 3.3.1, 3.3.5 and 3.3.6.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from chalicelib.odata.apply.pipeline import Pipeline, with_hidden
from chalicelib.odata.apply.relation import Attribute, OutputColumn, Relation, Subselect, window
from chalicelib.odata.ast import Call, Literal, Node, OrderKey
from chalicelib.odata.edm import NUMBERS, Edm
from chalicelib.odata.language.literals import read_number
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span

_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")
_SUM_OF_PRECEDING = (
    "COALESCE(sum({{0}}) OVER ({0} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)"
)
_SUM_OF_ALL = "COALESCE(sum({{0}}) OVER ({0}), 0)"
_SIGNED_AS = "({0} * CASE WHEN {1} < 0 THEN -1 ELSE 1 END)"
_RUNNING_MAX = "max({{0}}) OVER ({0} ROWS UNBOUNDED PRECEDING)"


def top(pipeline: Pipeline, span: Span) -> Relation:
    return _slice(pipeline.relation, top=span.natural())


def skip(pipeline: Pipeline, span: Span) -> Relation:
    return _slice(pipeline.relation, skip=span.natural())


def ranked(name: str, measure: str, *, descending: bool) -> Callable[[Pipeline, Span], Relation]:
    """Return the reader of ``topcount``, ``bottomsum`` and the like.

    Args:
        measure: what the first parameter limits: the "count" of rows, the "sum" of the expression,
            or the "percent" of its total.
        descending: whether the largest values come first, as in top….
    """

    def read(pipeline: Pipeline, span: Span) -> Relation:
        parameters = span.split(",")
        if len(parameters) < 2:
            raise syntax_error(f"{name} takes a number and an expression", span.after)
        expression = span.part(parameters[1].start, span.end)
        # The extension lets the service choose the order of equal rows.
        pipeline.relation = replace(pipeline.relation, order=())
        value = pipeline.value(expression)
        limit = _limit(measure, parameters[0], value)
        (attribute,) = pipeline.order_by((OrderKey(value, descending),))
        if measure == "count":
            return _slice(pipeline.relation, top=limit.value)
        return _until_sum(pipeline, attribute, measure, limit)

    return read


def _limit(measure: str, span: Span, value: Node) -> Literal:
    """Read the first parameter of ``topcount`` and the like."""
    if not _NUMBER.fullmatch(span.text):
        if span.text and span.text[0] not in "'\"":
            raise unsupported("A first parameter other than a number is not supported", span.at)
        raise syntax_error("A number is expected", span.at)
    try:
        type_, number = read_number(span.text)
    except ValueError as error:
        raise syntax_error(f"{span.text[:100]} {error}", span.at) from error
    if measure == "count":
        if type_ is not Edm.INT64 or number < 1:
            raise syntax_error("A positive integer is expected", span.at)
        return Literal(type_, number, span.at)
    if value.type not in NUMBERS:
        raise syntax_error(f"The expression must be a number, not {value.type}", span.at)
    if measure == "percent" and not 0 < number <= 100:
        raise syntax_error("A number greater than 0 and up to 100 is expected", span.at)
    return Literal(Edm.DECIMAL, Decimal(span.text), span.at)


def _slice(relation: Relation, *, skip: int = 0, top: int | None = None) -> Relation:
    """Keep ``top`` rows behind the first ``skip`` in the order of the relation."""
    select = Subselect(
        relation.it, relation.passed_through(), order=relation.total_order(), skip=skip, top=top
    )
    return replace(relation, select=select, has_expressions=False)


def _until_sum(pipeline: Pipeline, attribute: Attribute, measure: str, limit: Literal) -> Relation:
    """Keep rows, in order, until the sum of an attribute over them reaches the limit.

    No row is kept after that, even if negative values reduce the sum below the limit again. Hence
    the running maximum of the sum of the preceding rows is compared, not that sum.

    ``toppercent`` and ``bottompercent`` compare that sum with a share of the total. If the total is
    negative, both change sign, so that the comparison keeps its direction.
    """
    relation = pipeline.relation
    value = attribute.column(relation.it)
    sum_before = _hidden(pipeline, _SUM_OF_PRECEDING, value, relation.total_order())
    sum_of_all = _hidden(pipeline, _SUM_OF_ALL, value, ())
    relation = with_hidden(relation, [sum_before, sum_of_all])
    before, total = (
        Attribute(each.property).column(relation.it) for each in (sum_before, sum_of_all)
    )
    progress: Node = before
    if measure == "percent":
        progress = Call(_SIGNED_AS, (before, total), Edm.DECIMAL)
    largest_before = _hidden(pipeline, _RUNNING_MAX, progress, relation.total_order())
    relation = with_hidden(relation, [largest_before])
    reached, total = (
        Attribute(each.property).column(relation.it) for each in (largest_before, sum_of_all)
    )
    if measure == "sum":
        is_kept = Call("({0} < {1})", (reached, limit), Edm.BOOLEAN)
    else:
        is_kept = Call("({0} * 100 < abs({1}) * {2})", (reached, total, limit), Edm.BOOLEAN)
    select = Subselect(relation.it, relation.passed_through(), (is_kept,))
    return replace(relation, select=select, has_expressions=False)


def _hidden(
    pipeline: Pipeline, template: str, value: Node, order: tuple[OrderKey, ...]
) -> OutputColumn:
    """Return a hidden column with a window function of a value over the rows in an order."""
    return pipeline.columns.create("", window(template, order, Edm.DECIMAL, value))
