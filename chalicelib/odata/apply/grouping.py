"""``groupby`` and ``aggregate``: one row for each group, or one row for all.

OData Extension for Data Aggregation 4.0, section 3.2.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from chalicelib.odata.apply.aggregates import (
    AGGREGATION_METHODS,
    COUNT,
    DUPLICATE_SENSITIVE,
    aggregate_call,
    distinct_count,
    first_occurrence,
    occurrence_number,
    total_count,
)
from chalicelib.odata.apply.concatenation import concatenated
from chalicelib.odata.apply.pipeline import Pipeline, with_hidden
from chalicelib.odata.apply.relation import (
    RESULT,
    Attribute,
    GroupedNavigation,
    OutputColumn,
    Relation,
    Subselect,
    grouped_navigations,
)
from chalicelib.odata.apply.rollup import read_groupings
from chalicelib.odata.ast import Column, Count, NavigationStep, Node, Variable
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType, Navigation, Property

# Names of properties, and casts to the declared type, which are no-ops.
_SEGMENTS = r"[^\W\d][\w.]*(?:/[^\W\d][\w.]*)*"
_PATH = re.compile(_SEGMENTS)
_COUNT_OF = re.compile(rf"(?:(?P<path>{_SEGMENTS})/)?\$count")
_METHOD = re.compile(r"[^\W\d][\w.]*")
_NO_METHOD = "An aggregation method is missing, as in … with sum as total"


def groupby(pipeline: Pipeline, span: Span) -> Relation:
    """Read ``groupby((a,b))`` or ``groupby((a,b),aggregate(…))``, and ``rollup(a,b)`` in it."""
    parameters = span.split(",")
    paths = parameters[0].parenthesized()
    if paths is None:
        raise syntax_error(
            "groupby needs its properties in parentheses, as in groupby((a,b))", span.at
        )
    if len(parameters) > 2:
        raise syntax_error("groupby takes one or two parameters", parameters[2].at)
    aggregates = None
    if len(parameters) > 1:
        second = parameters[1]
        first, *further = second.split("/")
        name, aggregates = first.call()
        if name.lower() != "aggregate" or further:
            raise unsupported("groupby is not supported with anything but aggregate(…)", second.at)
        if aggregates is None:
            raise syntax_error("aggregate needs parameters in parentheses", second.after)
    groupings = read_groupings(paths.split(","))
    if len(groupings) == 1:
        return _group(pipeline, groupings[0], aggregates)
    results = []
    for grouping in groupings:
        pipeline.count_transformation(span)
        results.append(_group(pipeline, grouping, aggregates))
    return concatenated(results, pipeline.columns, span.at)


def aggregate(pipeline: Pipeline, span: Span) -> Relation:
    """Read ``aggregate(…)`` over all rows."""
    return _group(pipeline, [], span)


@dataclass(slots=True)
class _Deduplication:
    """Lets an aggregate over a path count each entity once, even if several rows lead to it.

    Section 3.2.1.1 of the extension. ``keys`` collects the keys of these entities by their paths.
    ``numbers`` has the ``occurrence_number`` of each path, once the rows are numbered.
    """

    keys: dict[str, Column] = field(default_factory=dict)
    numbers: Mapping[str, Column] = field(default_factory=dict)

    def once(self, path: Span, value: Node) -> Node:
        """Replace a value of an entity by null in all but one of the rows that lead to it."""
        if not isinstance(value, Column) or not isinstance(value.instance, NavigationStep):
            return value
        navigation_path = path.text.rpartition("/")[0]
        self.keys[navigation_path] = _key_column(value.instance)
        if navigation_path not in self.numbers:
            return value
        return first_occurrence(self.numbers[navigation_path], value)


def _group(pipeline: Pipeline, paths: Sequence[Span], aggregates: Span | None) -> Relation:
    """Read the paths and the aggregates, and return the relation of the groups."""

    def read(
        pipeline: Pipeline, deduplication: _Deduplication
    ) -> tuple[_GroupKeys, dict[str, OutputColumn]]:
        keys = _GroupKeys(pipeline)
        for path in paths:
            keys.add(path)
        if aggregates is None:
            return keys, {}
        return keys, _read_aggregates(pipeline, aggregates, deduplication, grouped=bool(paths))

    deduplication, second_pass = _Deduplication(), pipeline.copy()
    keys, outputs = read(pipeline, deduplication)
    if deduplication.keys:
        # Rows must be numbered before they are grouped. Therefore a SELECT with the numbers is
        # inserted, and the parameters are read again as expressions on its result.
        added = [
            second_pass.columns.create("", occurrence_number(keys.values, entity))
            for entity in deduplication.keys.values()
        ]
        second_pass.relation = with_hidden(second_pass.relation, added)
        columns = (Attribute(each.property).column(second_pass.relation.it) for each in added)
        numbers = dict(zip(deduplication.keys, columns, strict=True))
        keys, outputs = read(second_pass, _Deduplication(numbers=numbers))
    return keys.relation(outputs)


class _GroupKeys:
    """The properties to group by, and the relation of the groups."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._keys: list[tuple[Navigation | None, OutputColumn]] = []

    @property
    def values(self) -> list[Node]:
        return [output.value for _, output in self._keys]

    def add(self, path: Span) -> None:
        """Read the path of a property to group by."""
        if not _PATH.fullmatch(path.text):
            raise syntax_error("A property to group by is expected", path.at)
        _require_single_valued(path, self._pipeline.relation, "Grouping by")
        column = self._pipeline.value(path)
        if not isinstance(column, Column):
            raise syntax_error("A property to group by is expected", path.at)
        step = column.instance if isinstance(column.instance, NavigationStep) else None
        if step and isinstance(step.origin, NavigationStep):
            raise unsupported("Grouping by a path of two navigations is not supported", path.at)
        output = self._pipeline.columns.create(column.member.name, column)
        self._keys.append((step.navigation if step else None, output))

    def relation(self, aggregates: dict[str, OutputColumn]) -> Relation:
        """Return the relation of the groups, with their keys and aggregates."""
        input_ = self._pipeline.relation
        navigations = self._grouped_navigations()
        keys = {
            (navigation.name if navigation else "", output.property.name): (
                Attribute(output.property, navigations[navigation.name] if navigation else None),
                output,
            )
            for navigation, output in self._keys
        }
        attributes = [attribute for attribute, _ in keys.values()]
        outputs = [output for _, output in keys.values()]
        added = [Attribute(each.property) for each in aggregates.values()]
        own = (each.property for each in (*attributes, *added) if each.navigation is None)
        return Relation(
            RESULT,
            input_.entity_set,
            "",
            tuple(own),
            tuple(navigations.values()),
            base=input_.base,
            select=Subselect(
                input_.it,
                (*outputs, *aggregates.values()),
                keys=len(outputs) if outputs else None,
            ),
            attributes=(*attributes, *added),
            unique=tuple(attributes),
        )

    def _grouped_navigations(self) -> dict[str, GroupedNavigation]:
        """Return each navigation in the paths, with its properties that are grouped by."""
        properties: dict[str, dict[str, Property]] = {}
        for navigation, output in self._keys:
            if navigation:
                of_navigation = properties.setdefault(navigation.name, {})
                of_navigation[output.property.name] = output.property
        return grouped_navigations(
            {name: tuple(grouped.values()) for name, grouped in properties.items()}, RESULT
        )


def _require_single_valued(path: Span, entity: EntityType, what: str) -> None:
    """Reject legal paths that are not supported: to an entity, or through a collection."""
    for segment in path.text.split("/"):
        if entity.is_named(segment):
            continue
        step = entity.by_name.get(segment)
        if not isinstance(step, Navigation):
            return
        if step.collection:
            raise unsupported(
                f"{what} a path through the collection {segment} is not supported;"
                f" request {step.target.entity_set} instead and use its {step.partner}",
                path.at,
            )
        entity = step.target
    raise unsupported(f"{what} an entity is not supported; name one of its properties", path.at)


def _read_aggregates(
    pipeline: Pipeline, span: Span, deduplication: _Deduplication, *, grouped: bool
) -> dict[str, OutputColumn]:
    outputs: dict[str, OutputColumn] = {}
    for item in span.split(","):
        if not item.text:
            raise syntax_error("An expression to aggregate is missing", item.at)
        _reject_custom(pipeline, item)
        expression, alias = pipeline.split_alias(item)
        value, may_be_null = _read_aggregate(pipeline, expression, deduplication)
        name = pipeline.alias(alias, outputs)
        prop = pipeline.columns.property(name, value)
        nullable = may_be_null and (value.nullable or not grouped)
        outputs[name] = OutputColumn(replace(prop, nullable=nullable), value)
    return outputs


def _reject_custom(pipeline: Pipeline, item: Span) -> None:
    """Reject legal aggregates that are not supported: custom ones, and those with ``from``."""
    keywords = item.keywords()
    for word, start, _ in keywords:
        if word == "from":
            raise unsupported(
                "The keyword from in aggregate is not supported", item.part(start, item.end).at
            )
    name = item.part(item.start, keywords[0][1]) if keywords else item
    if [word for word, *_ in keywords] in ([], ["as"]) and _PATH.fullmatch(name.text):
        if name.text.split("/")[0] in pipeline.relation.by_name:
            raise syntax_error(_NO_METHOD, name.after)
        raise unsupported(f"The custom aggregate {name.text[:100]} is not supported", item.at)


def _read_aggregate(
    pipeline: Pipeline, span: Span, deduplication: _Deduplication
) -> tuple[Node, bool]:
    """Read an aggregate without its alias; return it, and whether it can be null."""
    if match := _COUNT_OF.fullmatch(span.text):
        return (_count_of(pipeline, span, match["path"]) if match["path"] else COUNT), False
    keywords = [each for each in span.keywords() if each[0] == "with"]
    if not keywords:
        raise syntax_error(_NO_METHOD, span.after)
    _, start, end = keywords[-1]
    expression, method = span.part(span.start, start), span.part(end, span.end)
    name = method.text.lower()
    if "." in name and _METHOD.fullmatch(name):
        raise unsupported(
            f"The custom aggregation method {method.text[:100]} is not supported", method.at
        )
    if name not in AGGREGATION_METHODS:
        raise syntax_error(
            f"{method.text[:100]!r} is not an aggregation method;"
            f" use one of {', '.join(AGGREGATION_METHODS)}",
            method.at,
        )
    if expression.text == "$count":
        raise syntax_error("$count takes no aggregation method; write $count as total", method.at)
    is_path = _PATH.fullmatch(expression.text) is not None
    if is_path:
        if name == "countdistinct" and (key := _key_of(pipeline, expression)):
            return distinct_count(key), False
        _require_single_valued(expression, pipeline.relation, "Aggregating")
    value = pipeline.value(expression)
    signature = AGGREGATION_METHODS[name].get(value.type)
    if signature is None:
        raise syntax_error(f"{name} does not accept {value.type}", expression.at)
    if is_path and name in DUPLICATE_SENSITIVE:
        value = deduplication.once(expression, value)
    return aggregate_call(signature, value), name != "countdistinct"


def _count_of(pipeline: Pipeline, span: Span, path: str) -> Node:
    """Read ``path/$count``: the number of entities that the rows lead to, each counted once."""
    key = _key_of(pipeline, span.part(span.start, span.start + len(path)))
    if key is not None:
        return distinct_count(key)
    value = pipeline.value(span)
    if isinstance(value, Count) and isinstance(value.origin, Variable):
        return total_count(value)
    raise unsupported(f"{span.text[:100]} in aggregate is not supported", span.at)


def _key_of(pipeline: Pipeline, path: Span) -> Column | None:
    """Return the key of the entity at the end of a path, None if the path has another end."""
    instance: Variable | NavigationStep = pipeline.relation.it
    for segment in path.text.split("/"):
        if instance.entity.is_named(segment):
            continue
        step = instance.entity.by_name.get(segment)
        if not isinstance(step, Navigation) or isinstance(step, GroupedNavigation):
            return None
        if step.collection:
            return None
        instance = NavigationStep(instance, step)
    return _key_column(instance)


def _key_column(instance: Variable | NavigationStep) -> Column:
    """Return the key of an entity that a navigation to one leads to; it has one property."""
    (key,) = instance.entity.key
    return Column(instance, key)
