"""``$apply``: a chain of transformations, each of which reads the rows of the one before.

A new transformation is one line in ``_TRANSFORMATIONS``. OData Extension for Data Aggregation 4.0,
section 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from chalicelib.odata.apply import grouping, top_skip
from chalicelib.odata.apply.outline import Outline, Piece
from chalicelib.odata.apply.pipeline import ApplyBounds, Reader
from chalicelib.odata.apply.relation import Output, Rows, Select, rows_of
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.language.parser import fault, unsupported
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
    pieces = Outline(text, bounds.expressions.max_depth).whole().split("/")
    if len(pieces) > bounds.transformations:
        raise fault(
            f"$apply may have {bounds.transformations} transformations, not more",
            pieces[bounds.transformations].at,
        )
    reader = Reader(rows_of(entity, root(entity)), aliases, bounds)
    for piece in pieces:
        reader.rows = _transformed(reader, piece)
    return reader.rows


def _transformed(reader: Reader, piece: Piece) -> Rows:
    given, argument = piece.call()
    name = given.lower()
    if name in _UNSUPPORTED or "." in name:
        raise unsupported(f"The transformation {given[:100]} is not supported", piece.at)
    if name == "identity":
        if argument is not None:
            raise fault("identity has no parameters", piece.at)
        return reader.rows
    read = _TRANSFORMATIONS.get(name)
    if read is None:
        raise fault(f"There is no transformation {given[:100]}", piece.at)
    if argument is None:
        raise fault(f"{name} has its parameters in parentheses", piece.after)
    return read(reader, argument)


def _filter(reader: Reader, piece: Piece) -> Rows:
    rows = reader.rows
    select = Select(rows.it, rows.copied(), conditions=(reader.condition(piece),))
    return replace(rows, select=select)


def _search(reader: Reader, piece: Piece) -> Rows:
    rows = reader.rows
    select = Select(rows.it, rows.copied(), conditions=(reader.search(piece),))
    return replace(rows, select=select)


def _compute(reader: Reader, piece: Piece) -> Rows:
    outputs: dict[str, Output] = {}
    for item in piece.split(","):
        expression, alias = reader.named(item)
        value = reader.value(expression)
        name = reader.alias(alias, outputs)
        outputs[name] = Output(reader.columns.property(name, value), value)
    return reader.compute(tuple(outputs.values()))


def _orderby(reader: Reader, piece: Piece) -> Rows:
    reader.order_by(reader.order(piece))
    return reader.rows


_TRANSFORMATIONS: dict[str, Callable[[Reader, Piece], Rows]] = {
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
