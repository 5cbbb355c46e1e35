"""``concat``: the rows of several relations one after the other.

A row has only the properties that its own sequence of transformations gave it. In expressions the
others are null. OData Extension for Data Aggregation 4.0, section 3.2.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from chalicelib.odata.apply.relation import (
    RESULT,
    Attribute,
    ColumnFactory,
    OutputColumn,
    Relation,
    RowKind,
    Subselect,
    Union,
    grouped_navigations,
    window,
)
from chalicelib.odata.ast import NULL, Call, Literal, Node, Place
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions.coerce import are_comparable, common_type, convert
from chalicelib.odata.language.parser import unsupported
from chalicelib.odata.model import Property

# The name of the navigation, if any, and that of the property. Values of one path share a column.
_Path = tuple[str, str]


def concatenated(inputs: Sequence[Relation], columns: ColumnFactory, at: Place) -> Relation:
    """Return the relation of the rows of all inputs, which have the same base.

    Raises:
        NotImplementedByServiceError: the values of a property do not fit in one column.
    """
    _reject_navigations_of_entities(inputs, at)
    values = [{_path(each): each.column(one.it) for each in one.attributes} for one in inputs]
    paths = dict.fromkeys(path for each in values for path in each)
    shared = {
        path: _shared_column(path, [each.get(path, NULL) for each in values], inputs, columns, at)
        for path in paths
    }
    attributes = _attributes(shared)
    number, position, kind_number = (
        columns.property("", Literal(Edm.INT64, 0)) for _ in ("number", "position", "kind")
    )
    kinds: list[RowKind] = []
    selects: list[Subselect] = []
    for index, (input_, own_values) in enumerate(zip(inputs, values, strict=True)):
        outputs = [
            OutputColumn(column, _converted(own_values.get(path, NULL), column.type, at))
            for path, column in shared.items()
        ]
        outputs += [
            OutputColumn(number, Literal(Edm.INT64, index)),
            OutputColumn(
                position, window("row_number() OVER ({0})", input_.total_order(), Edm.INT64)
            ),
            OutputColumn(kind_number, _kind_number(input_, len(kinds))),
        ]
        selects.append(Subselect(input_.it, tuple(outputs)))
        kinds += _kinds(input_, own_values, attributes)
    order = (Attribute(number), Attribute(position))
    return Relation(
        RESULT,
        inputs[0].entity_set,
        "",
        tuple(each.property for each in attributes.values() if each.navigation is None),
        tuple(dict.fromkeys(each.navigation for each in attributes.values() if each.navigation)),
        base=inputs[0].base,
        select=Union(tuple(selects)),
        attributes=tuple(attributes.values()),
        hidden=(number, position, kind_number),
        order=tuple((each, False) for each in order),
        unique=order,
        has_expressions=True,
        kinds=tuple(kinds),
        kind_number=kind_number,
    )


def _path(attribute: Attribute) -> _Path:
    navigation = attribute.navigation
    return (navigation.name if navigation else "", attribute.property.name)


def _are_entities(relation: Relation) -> bool:
    """Return whether rows of a relation are entities."""
    return relation.has_entities or any(each.are_entities for each in relation.kinds)


def _reject_navigations_of_entities(inputs: Sequence[Relation], at: Place) -> None:
    """Reject groups by a navigation beside entities, whose own navigation is no column."""
    if any(each.navigation for one in inputs for each in one.attributes) and any(
        map(_are_entities, inputs)
    ):
        raise unsupported(
            "concat of entities and of groups by a navigation property is not supported", at
        )


def _shared_column(
    path: _Path,
    values: Sequence[Node],
    inputs: Sequence[Relation],
    columns: ColumnFactory,
    at: Place,
) -> Property:
    """Return the column of a property, for the values that the inputs have of it."""
    of = Edm.NULL
    for each in values:
        if not are_comparable(of, each.type):
            raise unsupported(
                f"concat with {path[1]} of both {of} and {each.type} is not supported", at
            )
        of = each.type if of is each.type else common_type(of, each.type)
    column = columns.common_property(path[1], of, values)
    stored = inputs[0].base.by_name.get(path[1])
    if isinstance(stored, Property) and not path[0]:  # as what makes the URL of an entity knows it
        return replace(stored, nullable=column.nullable)
    return column


def _converted(value: Node, of: Edm, at: Place) -> Node:
    """Return a value in the type of its column, and a string in the one collation of it."""
    converted = convert(value, of, at)
    if of is Edm.STRING and not isinstance(converted, Literal):
        return Call('({0} COLLATE "default")', (converted,), of)
    return converted


def _attributes(shared: Mapping[_Path, Property]) -> dict[_Path, Attribute]:
    """Return the attribute of each path."""
    behind: dict[str, list[Property]] = {}
    for (navigation, _), column in shared.items():
        if navigation:
            behind.setdefault(navigation, []).append(column)
    navigations = grouped_navigations(behind, RESULT)
    return {path: Attribute(column, navigations.get(path[0])) for path, column in shared.items()}


def _kind_number(input_: Relation, first: int) -> Node:
    """Return the kind of a row of an input, whose kinds are numbered from ``first``."""
    if input_.kind_number is None:
        return Literal(Edm.INT64, first)
    own = Attribute(input_.kind_number).column(input_.it)
    return Call("({0} + {1})", (own, Literal(Edm.INT64, first)), Edm.INT64)


def _kinds(
    input_: Relation, values: Mapping[_Path, Node], attributes: Mapping[_Path, Attribute]
) -> list[RowKind]:
    """Return the kinds of rows of an input, in the attributes of the result."""
    absent = frozenset(attribute for path, attribute in attributes.items() if path not in values)
    own_kinds = input_.kinds or (RowKind(frozenset(), input_.has_entities),)
    return [
        RowKind(absent | {attributes[_path(each)] for each in own.absent}, own.are_entities)
        for own in own_kinds
    ]
