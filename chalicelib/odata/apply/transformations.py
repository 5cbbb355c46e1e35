"""``$apply``: a chain of transformations, each of which reads the rows of the one before.

A new transformation is one line in ``_TRANSFORMATIONS``. OData Extension for Data Aggregation 4.0,
section 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from chalicelib.odata.apply import grouping, top_skip
from chalicelib.odata.apply.pipeline import ApplyBounds, Reader
from chalicelib.odata.apply.relation import Output, Rows, Select, rows_of
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType

_UNSUPPORTED = frozenset(
    {
        "addnested", "ancestors", "concat", "descendants", "join", "nest", "outerjoin", "traverse",
    }
)  # fmt: skip


def read_apply(
    text: str, entity: EntityType, aliases: Mapping[str, str], bounds: ApplyBounds
) -> Rows:
    """Read ``$apply`` on the entities of a set.

    Raises:
        InvalidError: the text is none, or names what there is not; the message says where and why.
        NotImplementedByServiceError: it is one that the service does not support.
    """
    spans = Span.of(text, "$apply").split("/")
    if len(spans) > bounds.transformations:
        raise syntax_error(
            f"$apply may have {bounds.transformations} transformations, not more",
            spans[bounds.transformations].at,
        )
    reader = Reader(rows_of(entity, root(entity)), aliases, bounds)
    for span in spans:
        reader.rows = _transformed(reader, span)
    return reader.rows


def _transformed(reader: Reader, span: Span) -> Rows:
    given, argument = span.call()
    name = given.lower()
    if name in _UNSUPPORTED or "." in name:
        raise unsupported(f"The transformation {given[:100]} is not supported", span.at)
    if name == "identity":
        if argument is not None:
            raise syntax_error("identity has no parameters", span.at)
        return reader.rows
    read = _TRANSFORMATIONS.get(name)
    if read is None:
        raise syntax_error(f"There is no transformation {given[:100]}", span.at)
    if argument is None:
        raise syntax_error(f"{name} has its parameters in parentheses", span.after)
    return read(reader, argument)


def _filter(reader: Reader, span: Span) -> Rows:
    rows = reader.rows
    select = Select(rows.it, rows.copied(), conditions=(reader.condition(span),))
    return replace(rows, select=select)


def _search(reader: Reader, span: Span) -> Rows:
    rows = reader.rows
    select = Select(rows.it, rows.copied(), conditions=(reader.search(span),))
    return replace(rows, select=select)


def _compute(reader: Reader, span: Span) -> Rows:
    outputs: dict[str, Output] = {}
    for item in span.split(","):
        expression, alias = reader.named(item)
        value = reader.value(expression)
        name = reader.alias(alias, outputs)
        outputs[name] = Output(reader.columns.property(name, value), value)
    return reader.compute(tuple(outputs.values()))


def _orderby(reader: Reader, span: Span) -> Rows:
    reader.order_by(reader.order(span))
    return reader.rows


_TRANSFORMATIONS: dict[str, Callable[[Reader, Span], Rows]] = {
    "filter": _filter,
    "search": _search,
    "compute": _compute,
    "groupby": grouping.groupby,
    "aggregate": grouping.aggregate,
    "orderby": _orderby,
    "top": top_skip.top,
    "skip": top_skip.skip,
    "topcount": top_skip.ranked("topcount", "count", descending=True),
    "topsum": top_skip.ranked("topsum", "sum", descending=True),
    "toppercent": top_skip.ranked("toppercent", "percent", descending=True),
    "bottomcount": top_skip.ranked("bottomcount", "count", descending=False),
    "bottomsum": top_skip.ranked("bottomsum", "sum", descending=False),
    "bottompercent": top_skip.ranked("bottompercent", "percent", descending=False),
}

# What is supported, by name.
TRANSFORMATIONS = ("identity", *_TRANSFORMATIONS)
