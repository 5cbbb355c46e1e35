"""The relation that a transformation makes. The next transformation reads it like an entity type.

Therefore names, types and conditions on a relation are checked and translated by the same code as
those on entities: a property of a relation has a column. So has a path such as
``point/employerId``, once the relation is grouped by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count

from chalicelib.odata.ast import (
    Call,
    Column,
    Instance,
    NavigationStep,
    Node,
    OrderKey,
    Variable,
)
from chalicelib.odata.edm import Edm
from chalicelib.odata.model import EntityType, Navigation, Property
from chalicelib.odata.query.skip_token import Value


@dataclass(frozen=True, eq=False)
class GroupedNavigation(Navigation):
    """A navigation whose properties the relation is grouped by; they are columns of the relation.

    ``grouped`` has exactly these properties.
    """

    grouped: EntityType = field(kw_only=True)

    @property
    def target(self) -> EntityType:
        return self.grouped


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property of a relation, or of one of its grouped navigations."""

    property: Property
    navigation: GroupedNavigation | None = None

    def column(self, variable: Variable) -> Column:
        """Return the attribute as an expression on a variable over the relation."""
        instance: Instance = variable
        if self.navigation:
            instance = NavigationStep(variable, self.navigation)
        return Column(instance, self.property)


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column in the SELECT list, and its value for each row or group of the input."""

    property: Property
    value: Node


@dataclass(frozen=True, slots=True)
class Subselect:
    """The SELECT that makes a relation from the rows, or entities, of ``input``.

    Attributes:
        keys: the number of leading outputs that are the group keys; None does not group.
        after: keyset pagination: keep the rows behind these values of the order. The order must
            then consist of keys of the group.
        fenced: stops the planner from replacing each use of an output by its expression.
    """

    input: Variable
    outputs: tuple[OutputColumn, ...]
    conditions: tuple[Node, ...] = ()
    keys: int | None = None
    order: tuple[OrderKey, ...] = ()
    skip: int = 0
    top: int | None = None
    fenced: bool = False
    after: Sequence[Value] | None = None


@dataclass(frozen=True, slots=True)
class Union:
    """The SELECTs whose rows together are a relation; all have the same columns."""

    selects: tuple[Subselect, ...]


@dataclass(frozen=True, slots=True)
class RowKind:
    """What distinguishes the rows that one parameter of ``concat`` made.

    Attributes:
        absent: the attributes of the relation that these rows do not have.
        are_entities: whether the rows still are entities, with an identity.
    """

    absent: frozenset[Attribute]
    are_entities: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Relation(EntityType):
    """The rows that a transformation makes.

    Attributes:
        base: the entity type that ``$apply`` started with; in OData, the type of the rows.
        select: the SELECT that makes the rows.
        attributes: the visible attributes, in the order in which JSON has them.
        hidden: further columns, which only the order uses.
        order: the order of the rows; ``unique`` makes it total.
        unique: attributes that together identify a row; empty if there is only one row.
        has_entities: whether the rows still are entities, with an identity.
        has_expressions: whether a column may be an expression that the planner could repeat.
        kinds: the kinds of rows of ``concat``; empty if all rows have all attributes.
        kind_number: the hidden column that has the position of the row's kind in ``kinds``.
    """

    base: EntityType
    select: Subselect | Union
    attributes: tuple[Attribute, ...]
    hidden: tuple[Property, ...] = ()
    order: tuple[tuple[Attribute, bool], ...] = ()
    unique: tuple[Attribute, ...] = ()
    has_entities: bool = False
    has_expressions: bool = False
    kinds: tuple[RowKind, ...] = ()
    kind_number: Property | None = None

    @property
    def qualified_name(self) -> str:
        return self.base.qualified_name

    @cached_property
    def it(self) -> Variable:
        """The range variable over the rows, ``$it``."""
        return Variable(self)

    def all_columns(self) -> tuple[Property, ...]:
        """Return all columns, including the hidden ones."""
        return (*(each.property for each in self.attributes), *self.hidden)

    def passed_through(self) -> tuple[OutputColumn, ...]:
        """Return the outputs of a SELECT from this relation that keeps all its columns."""
        attributes = (*self.attributes, *map(Attribute, self.hidden))
        return tuple(OutputColumn(each.property, each.column(self.it)) for each in attributes)

    def select_page_of_groups(
        self, order: Sequence[OrderKey], after: Sequence[Value] | None, limit: int
    ) -> Subselect | None:
        """Return the SELECT of the next groups behind ``after``, if the order has only group keys.

        Postgres can make such groups in the order of an index, and stops at the limit. Return None
        for any other order, and for a relation that is not grouped.
        """
        if isinstance(self.select, Union):
            return None
        keys = self.select.outputs[: self.select.keys or 0]
        values = {each.property: each.value for each in keys}
        group_order = [
            OrderKey(values[each.expression.member], each.descending)
            for each in order
            if isinstance(each.expression, Column) and each.expression.member in values
        ]
        if not group_order or len(group_order) < len(order):
            return None
        return replace(self.select, order=tuple(group_order), after=after, top=limit)

    def total_order(self, first: tuple[tuple[Attribute, bool], ...] = ()) -> tuple[OrderKey, ...]:
        """Return the order, preceded by ``first`` and completed so that no two rows are equal."""
        keys: dict[Attribute, bool] = {}
        unique = ((each, False) for each in self.unique)
        for attribute, descending in (*first, *self.order, *unique):
            keys.setdefault(attribute, descending)
        return tuple(OrderKey(each.column(self.it), down) for each, down in keys.items())


def relation_of(entity: EntityType, variable: Variable) -> Relation:
    """Return the relation of all entities of a type, which ``$apply`` starts with."""
    attributes = tuple(map(Attribute, entity.properties))
    outputs = tuple(OutputColumn(each.property, each.column(variable)) for each in attributes)
    return Relation(
        entity.name,
        entity.entity_set,
        entity.table,
        entity.properties,
        entity.navigations,
        search_path=entity.search_path,
        key_size=entity.key_size,
        time_of_key=entity.time_of_key,
        day_of_key=entity.day_of_key,
        base=entity,
        select=Subselect(variable, outputs),
        attributes=attributes,
        unique=tuple(map(Attribute, entity.key)),
        has_entities=True,
    )


def grouped_navigations(
    properties: Mapping[str, Sequence[Property]], result: str
) -> dict[str, GroupedNavigation]:
    """Return navigations, by name, whose properties are columns of a relation.

    Args:
        properties: the columns behind each navigation.
        result: the name of the relation in error messages.
    """
    targets = {
        name: EntityType(f"{result}/{name}", "", "", tuple(columns))
        for name, columns in properties.items()
    }
    # Target type, columns and partner are empty: no SQL joins a grouped navigation.
    return {
        name: GroupedNavigation(name, "", "", "", False, "", grouped=target)
        for name, target in targets.items()
    }


def window(template: str, order: Sequence[OrderKey], of: Edm, *values: Node) -> Node:
    """Return a window function over the rows in an order.

    Args:
        template: ``{0}`` stands for the ORDER BY, ``{{0}}`` for the first value.
        of: the type of the result.
    """
    keys = []
    for number, key in enumerate(order, len(values)):
        collation = ' COLLATE "C"' if key.expression.type is Edm.STRING else ""
        direction = "DESC NULLS LAST" if key.descending else "ASC NULLS FIRST"
        keys.append(f"{{{number}}}{collation} {direction}")
    call = template.format(f"ORDER BY {', '.join(keys)}" if keys else "")
    return Call(call, (*values, *(each.expression for each in order)), of)


# The name in error messages of a relation whose rows are not entities.
RESULT = "The result of $apply so far"


class ColumnFactory:
    """Creates properties whose column names are unique within the statement."""

    def __init__(self) -> None:
        self._numbers = count()

    def create(self, name: str, value: Node) -> OutputColumn:
        """Return an output column that gives an expression a name; an empty name is hidden."""
        return OutputColumn(self.property(name, value), value)

    def property(self, name: str, value: Node) -> Property:
        """Return a property with the type and the bounds of an expression."""
        return self.common_property(name, value.type, [value])

    def common_property(self, name: str, of: Edm, values: Sequence[Node]) -> Property:
        """Return a property of a type whose value is any of several expressions."""
        return Property(
            name,
            of,
            stored_as=f"c{next(self._numbers)}",
            nullable=any(each.nullable for each in values),
            max_length=max(each.max_length for each in values),
            may_be_nan=any(each.may_be_nan for each in values),
        )
