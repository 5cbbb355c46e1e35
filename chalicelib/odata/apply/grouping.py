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
from chalicelib.odata.apply.outline import Piece
from chalicelib.odata.apply.pipeline import Reader, with_hidden
from chalicelib.odata.apply.relation import Member, Nested, Output, Rows, Select
from chalicelib.odata.ast import Column, Count, Node, Step, Variable
from chalicelib.odata.language.parser import fault, unsupported
from chalicelib.odata.model import EntityType, Navigation, Property

_PATH = re.compile(r"[^\W\d]\w*(?:/[^\W\d]\w*)*")
_COUNT_OF = re.compile(r"(?:(?P<path>[^\W\d]\w*(?:/[^\W\d]\w*)*)/)?\$count")
_METHOD = re.compile(r"[^\W\d][\w.]*")
_ROLLUP = re.compile(r"(?:rollup|rolluprecursive)[ \t\r\n]*\(", re.IGNORECASE)
_RESULT = "The result of $apply so far"


def groupby(reader: Reader, piece: Piece) -> Rows:
    """Read ``groupby((a,b))`` or ``groupby((a,b),aggregate(…))``."""
    parameters = piece.split(",")
    paths = parameters[0].group()
    if paths is None:
        raise fault("groupby takes properties in parentheses, as in groupby((a,b))", piece.at)
    if len(parameters) > 2:
        raise fault("groupby takes one or two parameters", parameters[2].at)
    argument = None
    if len(parameters) > 1:
        then = parameters[1]
        first, *further = then.split("/")
        name, argument = first.call()
        if name.lower() != "aggregate" or further:
            raise unsupported("groupby with anything but one aggregate is not supported", then.at)
        if argument is None:
            raise fault("aggregate has its parameters in parentheses", then.after)
    return _grouped(reader, paths.split(","), argument)


def aggregate(reader: Reader, piece: Piece) -> Rows:
    """Read ``aggregate(…)`` of all rows."""
    return _grouped(reader, [], piece)


@dataclass(slots=True)
class _Repeats:
    """The entities that paths of aggregates lead to, and that repeat: each is to count once.

    ``met`` are their keys by the paths; ``places`` what numbers the rows that lead to the same.
    Section 3.2.1.1.
    """

    met: dict[str, Column] = field(default_factory=dict)
    places: Mapping[str, Column] = field(default_factory=dict)

    def once(self, path: Piece, value: Node) -> Node:
        """Return the value so that an aggregate of it has each entity's once."""
        if not isinstance(value, Column) or not isinstance(value.instance, Step):
            return value
        way = path.text.rpartition("/")[0]
        self.met[way] = Column(value.instance, value.instance.entity.key)
        return of_first(self.places[way], value) if way in self.places else value


def _grouped(reader: Reader, paths: Sequence[Piece], argument: Piece | None) -> Rows:
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

    def key(self, path: Piece) -> None:
        """Read a property that is grouped by."""
        reader = self._reader
        if _ROLLUP.match(path.text):
            raise unsupported("rollup is not supported", path.at)
        if not _PATH.fullmatch(path.text):
            raise fault("A property to group by is expected", path.at)
        _require_single(path, reader.rows, "Grouping by")
        column = reader.value(path)
        if not isinstance(column, Column):
            raise fault("A property to group by is expected", path.at)
        step = column.instance if isinstance(column.instance, Step) else None
        if step and isinstance(step.origin, Step):
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


def _require_single(path: Piece, entity: EntityType, what: str) -> None:
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
    reader: Reader, piece: Piece, repeats: _Repeats, *, grouped: bool
) -> dict[str, Output]:
    outputs: dict[str, Output] = {}
    for item in piece.split(","):
        if not item.text:
            raise fault("An expression to aggregate is missing", item.at)
        _refuse_custom(reader, item)
        expression, alias = reader.named(item)
        value, may_be_null = _aggregate(reader, expression, repeats)
        name = reader.alias(alias, outputs)
        made = reader.columns.property(name, value)
        nullable = may_be_null and (value.nullable or not grouped)
        outputs[name] = Output(replace(made, nullable=nullable), value)
    return outputs


def _refuse_custom(reader: Reader, item: Piece) -> None:
    """Refuse what is legal in other services: custom aggregates, and aggregates of aggregates."""
    words = item.words()
    for word, start, _ in words:
        if word == "from":
            raise unsupported("from in aggregate is not supported", item.part(start, item.end).at)
    name = item.part(item.start, words[0][1]) if words else item
    if [word for word, *_ in words] in ([], ["as"]) and _PATH.fullmatch(name.text):
        if name.text.split("/")[0] in reader.rows.by_name:
            raise fault("with and a method are missing, as in … with sum as total", name.after)
        raise unsupported(f"The custom aggregate {name.text[:100]} is not supported", item.at)


def _aggregate(reader: Reader, piece: Piece, repeats: _Repeats) -> tuple[Node, bool]:
    """Read what is calculated of the rows of a group, and say whether it can be null."""
    if match := _COUNT_OF.fullmatch(piece.text):
        return (_count_of(reader, piece, match["path"]) if match["path"] else COUNT), False
    words = [each for each in piece.words() if each[0] == "with"]
    if not words:
        raise fault("with and a method are missing, as in … with sum as total", piece.after)
    _, start, end = words[-1]
    expression, method = piece.part(piece.start, start), piece.part(end, piece.end)
    name = method.text.lower()
    if "." in name and _METHOD.fullmatch(name):
        raise unsupported(f"The method {method.text[:100]} is not supported", method.at)
    if name not in METHODS:
        raise fault(
            f"There is no aggregation method {method.text[:100]}: they are {', '.join(METHODS)}",
            method.at,
        )
    if expression.text == "$count":
        raise fault("$count has no method: write $count as total", method.at)
    is_path = _PATH.fullmatch(expression.text) is not None
    if is_path:
        if name == "countdistinct" and (key := _key_of(reader, expression)):
            return distinct(key), False
        _require_single(expression, reader.rows, "Aggregating")
    value = reader.value(expression)
    found = METHODS[name].get(value.type)
    if found is None:
        raise fault(f"{name} takes no {value.type}", expression.at)
    if is_path and name in REPEATS_MATTER:
        value = repeats.once(expression, value)
    return aggregated(found, value), name != "countdistinct"


def _count_of(reader: Reader, piece: Piece, path: str) -> Node:
    """Return how many entities the rows lead to, each counted once."""
    key = _key_of(reader, piece.part(piece.start, piece.start + len(path)))
    if key is not None:
        return distinct(key)
    value = reader.value(piece)
    if isinstance(value, Count) and isinstance(value.origin, Variable):
        return counted(value)
    raise unsupported(f"{piece.text[:100]} in aggregate is not supported", piece.at)


def _key_of(reader: Reader, path: Piece) -> Column | None:
    """Return the key of the one entity that a path leads to, None where it leads elsewhere."""
    found: Variable | Step = reader.rows.it
    for segment in path.text.split("/"):
        member = found.entity.by_name.get(segment)
        if not isinstance(member, Navigation) or isinstance(member, Nested) or member.collection:
            return None
        found = Step(found, member)
    return Column(found, found.entity.key)
