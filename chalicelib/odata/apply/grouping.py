"""``groupby`` and ``aggregate``: one row for each group, or one for all.

OData Extension for Data Aggregation 4.0, section 3.2.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from chalicelib.odata.apply.aggregates import (
    COUNT,
    METHODS,
    REPEATS_MATTER,
    aggregated,
    counted,
    distinct,
    of_first,
    place_among,
)
from chalicelib.odata.apply.pipeline import Reader, with_hidden
from chalicelib.odata.apply.relation import Member, Nested, Output, Rows, Select
from chalicelib.odata.ast import Column, Count, NavigationStep, Node, Variable
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType, Navigation, Property

_PATH = re.compile(r"[^\W\d]\w*(?:/[^\W\d]\w*)*")
_COUNT_OF = re.compile(r"(?:(?P<path>[^\W\d]\w*(?:/[^\W\d]\w*)*)/)?\$count")
_METHOD = re.compile(r"[^\W\d][\w.]*")
_ROLLUP = re.compile(r"(?:rollup|rolluprecursive)[ \t\r\n]*\(", re.IGNORECASE)
_RESULT = "The result of $apply so far"


def groupby(reader: Reader, span: Span) -> Rows:
    """Read ``groupby((a,b))`` or ``groupby((a,b),aggregate(…))``."""
    parameters = span.split(",")
    paths = parameters[0].parenthesized()
    if paths is None:
        raise syntax_error("groupby takes properties in parentheses, as in groupby((a,b))", span.at)
    if len(parameters) > 2:
        raise syntax_error("groupby takes one or two parameters", parameters[2].at)
    argument = None
    if len(parameters) > 1:
        then = parameters[1]
        first, *further = then.split("/")
        name, argument = first.call()
        if name.lower() != "aggregate" or further:
            raise unsupported("groupby with anything but one aggregate is not supported", then.at)
        if argument is None:
            raise syntax_error("aggregate has its parameters in parentheses", then.after)
    return _grouped(reader, paths.split(","), argument)


def aggregate(reader: Reader, span: Span) -> Rows:
    """Read ``aggregate(…)`` of all rows."""
    return _grouped(reader, [], span)


@dataclass(slots=True)
class _Repeats:
    """The entities that paths of aggregates lead to, and that repeat: each is to count once.

    ``met`` are their keys by the paths; ``places`` what numbers the rows that lead to the same.
    Section 3.2.1.1.
    """

    met: dict[str, Column] = field(default_factory=dict)
    places: Mapping[str, Column] = field(default_factory=dict)

    def once(self, path: Span, value: Node) -> Node:
        """Return the value so that an aggregate of it has each entity's once."""
        if not isinstance(value, Column) or not isinstance(value.instance, NavigationStep):
            return value
        way = path.text.rpartition("/")[0]
        self.met[way] = Column(value.instance, value.instance.entity.key)
        return of_first(self.places[way], value) if way in self.places else value


def _grouped(reader: Reader, paths: Sequence[Span], argument: Span | None) -> Rows:
    """Read what is grouped by, and what is aggregated of each group."""

    def read(by: Reader, repeats: _Repeats) -> tuple[_Groups, dict[str, Output]]:
        groups = _Groups(by)
        for path in paths:
            groups.key(path)
        if argument is None:
            return groups, {}
        return groups, _aggregates(by, argument, repeats, grouped=bool(paths))

    repeats, again = _Repeats(), reader.copy()
    groups, outputs = read(reader, repeats)
    if repeats.met:
        # Rows are numbered before they are grouped, and so read anew with their numbers.
        numbers = [place_among(groups.values, key) for key in repeats.met.values()]
        added = [Output(again.columns.property("", each), each) for each in numbers]
        again.rows = with_hidden(again.rows, added)
        columns = (Member(each.property).column(again.rows.it) for each in added)
        places = dict(zip(repeats.met, columns, strict=True))
        groups, outputs = read(again, _Repeats(places=places))
    return groups.rows(outputs)


class _Groups:
    """What is grouped by, and the rows of it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._keys: list[tuple[Navigation | None, Output]] = []

    @property
    def values(self) -> list[Node]:
        return [output.value for _, output in self._keys]

    def key(self, path: Span) -> None:
        """Read a property that is grouped by."""
        reader = self._reader
        if _ROLLUP.match(path.text):
            raise unsupported("rollup is not supported", path.at)
        if not _PATH.fullmatch(path.text):
            raise syntax_error("A property to group by is expected", path.at)
        _require_single(path, reader.rows, "Grouping by")
        column = reader.value(path)
        if not isinstance(column, Column):
            raise syntax_error("A property to group by is expected", path.at)
        step = column.instance if isinstance(column.instance, NavigationStep) else None
        if step and isinstance(step.origin, NavigationStep):
            raise unsupported("Grouping by a path of two navigations is not supported", path.at)
        made = reader.columns.property(column.member.name, column)
        self._keys.append((step.navigation if step else None, Output(made, column)))

    def rows(self, aggregates: dict[str, Output]) -> Rows:
        """Return the rows of the groups, each with its keys and aggregates."""
        before = self._reader.rows
        nested: dict[str, Nested] = {}
        for navigation, _ in self._keys:
            if navigation and navigation.name not in nested:
                inner = [each for nav, each in self._keys if nav and nav.name == navigation.name]
                nested[navigation.name] = _nested(navigation, inner)
        keys = {
            (navigation.name if navigation else "", output.property.name): (
                Member(output.property, nested[navigation.name] if navigation else None),
                output,
            )
            for navigation, output in self._keys
        }
        members = [member for member, _ in keys.values()]
        outputs = [output for _, output in keys.values()]
        added = [Member(each.property) for each in aggregates.values()]
        flat = (each.property for each in (*members, *added) if each.nested is None)
        return Rows(
            _RESULT,
            before.entity_set,
            "",
            tuple(flat),
            tuple(nested.values()),
            base=before.base,
            select=Select(
                before.it, (*outputs, *aggregates.values()), keys=len(outputs) if outputs else None
            ),
            members=(*members, *added),
            unique=tuple(members),
        )


def _nested(navigation: Navigation, outputs: list[Output]) -> Nested:
    properties = {each.property.name: each.property for each in outputs}
    inner = EntityType(f"{_RESULT}/{navigation.name}", "", "", tuple(properties.values()))
    return Nested(navigation.name, "", "", "", False, "", inner=inner)


def _require_single(path: Span, entity: EntityType, what: str) -> None:
    """Refuse what is legal and not supported: paths to entities, or through many of them."""
    found: Property | Navigation | None = None
    for segment in path.text.split("/"):
        found = entity.by_name.get(segment)
        if not isinstance(found, Navigation):
            return
        if found.collection:
            raise unsupported(
                f"{what} a path through {segment}, of which there are many, is not supported:"
                f" ask {found.target.entity_set}, whose {found.partner} can be named",
                path.at,
            )
        entity = found.target
    raise unsupported(f"{what} an entity is not supported: name a property of it", path.at)


def _aggregates(
    reader: Reader, span: Span, repeats: _Repeats, *, grouped: bool
) -> dict[str, Output]:
    outputs: dict[str, Output] = {}
    for item in span.split(","):
        if not item.text:
            raise syntax_error("An expression to aggregate is missing", item.at)
        _refuse_custom(reader, item)
        expression, alias = reader.named(item)
        value, may_be_null = _aggregate(reader, expression, repeats)
        name = reader.alias(alias, outputs)
        made = reader.columns.property(name, value)
        nullable = may_be_null and (value.nullable or not grouped)
        outputs[name] = Output(replace(made, nullable=nullable), value)
    return outputs


def _refuse_custom(reader: Reader, item: Span) -> None:
    """Refuse what is legal in other services: custom aggregates, and aggregates of aggregates."""
    keywords = item.keywords()
    for word, start, _ in keywords:
        if word == "from":
            raise unsupported("from in aggregate is not supported", item.part(start, item.end).at)
    name = item.part(item.start, keywords[0][1]) if keywords else item
    if [word for word, *_ in keywords] in ([], ["as"]) and _PATH.fullmatch(name.text):
        if name.text.split("/")[0] in reader.rows.by_name:
            raise syntax_error(
                "with and a method are missing, as in … with sum as total", name.after
            )
        raise unsupported(f"The custom aggregate {name.text[:100]} is not supported", item.at)


def _aggregate(reader: Reader, span: Span, repeats: _Repeats) -> tuple[Node, bool]:
    """Read what is calculated of the rows of a group, and say whether it can be null."""
    if match := _COUNT_OF.fullmatch(span.text):
        return (_count_of(reader, span, match["path"]) if match["path"] else COUNT), False
    keywords = [each for each in span.keywords() if each[0] == "with"]
    if not keywords:
        raise syntax_error("with and a method are missing, as in … with sum as total", span.after)
    _, start, end = keywords[-1]
    expression, method = span.part(span.start, start), span.part(end, span.end)
    name = method.text.lower()
    if "." in name and _METHOD.fullmatch(name):
        raise unsupported(f"The method {method.text[:100]} is not supported", method.at)
    if name not in METHODS:
        raise syntax_error(
            f"There is no aggregation method {method.text[:100]}: they are {', '.join(METHODS)}",
            method.at,
        )
    if expression.text == "$count":
        raise syntax_error("$count has no method: write $count as total", method.at)
    is_path = _PATH.fullmatch(expression.text) is not None
    if is_path:
        if name == "countdistinct" and (key := _key_of(reader, expression)):
            return distinct(key), False
        _require_single(expression, reader.rows, "Aggregating")
    value = reader.value(expression)
    found = METHODS[name].get(value.type)
    if found is None:
        raise syntax_error(f"{name} takes no {value.type}", expression.at)
    if is_path and name in REPEATS_MATTER:
        value = repeats.once(expression, value)
    return aggregated(found, value), name != "countdistinct"


def _count_of(reader: Reader, span: Span, path: str) -> Node:
    """Return how many entities the rows lead to, each counted once."""
    key = _key_of(reader, span.part(span.start, span.start + len(path)))
    if key is not None:
        return distinct(key)
    value = reader.value(span)
    if isinstance(value, Count) and isinstance(value.origin, Variable):
        return counted(value)
    raise unsupported(f"{span.text[:100]} in aggregate is not supported", span.at)


def _key_of(reader: Reader, path: Span) -> Column | None:
    """Return the key of the one entity that a path leads to, None where it leads elsewhere."""
    found: Variable | NavigationStep = reader.rows.it
    for segment in path.text.split("/"):
        member = found.entity.by_name.get(segment)
        if not isinstance(member, Navigation) or isinstance(member, Nested) or member.collection:
            return None
        found = NavigationStep(found, member)
    return Column(found, found.entity.key)
