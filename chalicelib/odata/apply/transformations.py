"""Read ``$apply``: a sequence of transformations, each of which reads the relation before it.

To add a transformation, add a line to ``_TRANSFORMATIONS``. OData Extension for Data Aggregation
4.0, section 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from chalicelib.odata.apply import grouping, top_skip
from chalicelib.odata.apply.concatenation import concatenated
from chalicelib.odata.apply.pipeline import ApplyBounds, Pipeline
from chalicelib.odata.apply.relation import OutputColumn, Relation, Subselect, relation_of
from chalicelib.odata.ast import Node
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType
from chalicelib.odata.query.compute import items_of

_UNSUPPORTED = frozenset(
    {
        "addnested", "ancestors", "descendants", "join", "nest", "outerjoin", "traverse",
    }
)  # fmt: skip


def read_apply(
    text: str,
    compute: str | None,
    entity: EntityType,
    aliases: Mapping[str, str],
    bounds: ApplyBounds,
) -> Relation:
    """Read ``$apply`` on the entities of a set, and the ``$compute`` that follows it.

    Raises:
        InvalidError: the text is not a valid ``$apply``; the message states the place and reason.
        NotImplementedByServiceError: the text is valid, but the service does not support it.
    """
    pipeline = Pipeline(relation_of(entity, root(entity)), aliases, bounds)
    _transform_all(pipeline, Span.of(text, "$apply"))
    if compute is not None:
        for item in items_of(Span.of(compute, "$compute")):  # an item may use earlier ones
            pipeline.relation = _compute(pipeline, item)
    return pipeline.relation


def _transform_all(pipeline: Pipeline, span: Span) -> None:
    """Read a sequence of transformations."""
    for each in span.split("/"):
        pipeline.count_transformation(each)
        pipeline.relation = _transform(pipeline, each)


def _transform(pipeline: Pipeline, span: Span) -> Relation:
    """Read one transformation and return its result."""
    name, parameters = span.call()
    key = name.lower()
    if key in _UNSUPPORTED or "." in key:
        raise unsupported(f"The transformation {name[:100]} is not supported", span.at)
    if key == "identity":
        if parameters is not None:
            raise syntax_error("identity takes no parameters", span.at)
        return pipeline.relation
    read = _TRANSFORMATIONS.get(key)
    if read is None:
        raise syntax_error(f"{name[:100]} is not a transformation", span.at)
    if parameters is None:
        raise syntax_error(f"{key} needs parameters in parentheses", span.after)
    return read(pipeline, parameters)


def _filter(pipeline: Pipeline, span: Span) -> Relation:
    return _where(pipeline.relation, pipeline.condition(span))


def _search(pipeline: Pipeline, span: Span) -> Relation:
    return _where(pipeline.relation, pipeline.search(span))


def _where(relation: Relation, condition: Node) -> Relation:
    select = Subselect(relation.it, relation.passed_through(), conditions=(condition,))
    return replace(relation, select=select)


def _compute(pipeline: Pipeline, span: Span) -> Relation:
    outputs: dict[str, OutputColumn] = {}
    for item in span.split(","):
        expression, alias = pipeline.split_alias(item)
        value = pipeline.value(expression)
        name = pipeline.alias(alias, outputs)
        outputs[name] = pipeline.columns.create(name, value)
    return pipeline.compute(tuple(outputs.values()))


def _orderby(pipeline: Pipeline, span: Span) -> Relation:
    pipeline.order_by(pipeline.order(span))
    return pipeline.relation


def _concat(pipeline: Pipeline, span: Span) -> Relation:
    """Read ``concat(a,b)``: the rows of each sequence, which all begin at the same rows."""
    parameters = span.split(",")
    if len(parameters) < 2:
        raise syntax_error("concat takes two or more sequences of transformations", span.after)
    source, results = pipeline.relation, []
    for each in parameters:
        pipeline.relation = source
        _transform_all(pipeline, each)
        results.append(pipeline.relation)
    return concatenated(results, pipeline.columns, span.at)


_TRANSFORMATIONS: dict[str, Callable[[Pipeline, Span], Relation]] = {
    "filter": _filter,
    "search": _search,
    "compute": _compute,
    "concat": _concat,
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

# The names of all supported transformations.
TRANSFORMATIONS = ("identity", *_TRANSFORMATIONS)
