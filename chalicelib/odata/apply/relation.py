"""What a transformation makes: rows, which the next one reads as if they were entities of a table.

So names, types and conditions are checked, and put into SQL, as everywhere else: a property of
rows has a column, and ``point/employerId`` that was grouped by has one too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count

from chalicelib.odata.ast import Column, Instance, NavigationStep, Node, OrderKey, Variable
from chalicelib.odata.edm import Edm
from chalicelib.odata.model import EntityType, Navigation, Property
from chalicelib.odata.query.skip_token import Value


@dataclass(frozen=True, eq=False)
class Nested(Navigation):
    """What was grouped by along a navigation: its columns are the rows' own."""

    inner: EntityType = field(kw_only=True)

    @property
    def target(self) -> EntityType:
        return self.inner


@dataclass(frozen=True, slots=True)
class Member:
    """A property of rows, or of what is nested in them."""

    property: Property
    nested: Nested | None = None

    def column(self, variable: Variable) -> Column:
        """Return its value in each of the rows that a variable stands for."""
        instance: Instance = NavigationStep(variable, self.nested) if self.nested else variable
        return Column(instance, self.property)


@dataclass(frozen=True, slots=True)
class Output:
    """A column that a SELECT makes, and its value for each row or group of its input."""

    property: Property
    value: Node


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT of the rows, or entities, of ``input``.

    The first ``keys`` outputs are what it groups by; None groups nothing. ``fenced`` keeps the
    planner from writing the outputs wherever they are named. ``after`` is a place in the order,
    which then is one of what it groups by: it begins behind it.
    """

    input: Variable
    outputs: tuple[Output, ...]
    conditions: tuple[Node, ...] = ()
    keys: int | None = None
    order: tuple[OrderKey, ...] = ()
    skip: int = 0
    top: int | None = None
    fenced: bool = False
    after: Sequence[Value] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows(EntityType):
    """Rows, and what is known of them.

    Args:
        base: the type of the entities that ``$apply`` began with, the rows' type in OData.
        select: how they are made.
        members: what they have, in the order in which it is written.
        hidden: what they have besides, to be ordered by.
        order: the order that they are in; ``unique`` completes it.
        unique: what together names one row; nothing where there is only one.
        are_entities: whether they still are entities, with an identity.
        are_computed: whether a column may be an expression that is not yet calculated.
    """

    base: EntityType
    select: Select
    members: tuple[Member, ...]
    hidden: tuple[Property, ...] = ()
    order: tuple[tuple[Member, bool], ...] = ()
    unique: tuple[Member, ...] = ()
    are_entities: bool = False
    are_computed: bool = False

    @property
    def qualified_name(self) -> str:
        return self.base.qualified_name

    @cached_property
    def it(self) -> Variable:
        """The variable that stands for each of the rows."""
        return Variable(self)

    def columns(self) -> tuple[Property, ...]:
        """Return all columns, also the hidden ones."""
        return (*(each.property for each in self.members), *self.hidden)

    def copied(self) -> tuple[Output, ...]:
        """Return the outputs of a SELECT of these rows that has all that they have."""
        hidden = (Member(each) for each in self.hidden)
        members = (*self.members, *hidden)
        return tuple(Output(each.property, each.column(self.it)) for each in members)

    def page_of_groups(
        self, order: Sequence[OrderKey], after: Sequence[Value] | None, most: int
    ) -> Select | None:
        """Return the SELECT of so many groups after a place in an order of what is grouped by.

        Such groups can be made in the order of an index, and no more of them than are wanted. None
        where the order is another one, or these are no groups.
        """
        made = {each.property: each.value for each in self.select.outputs[: self.select.keys or 0]}
        keys = [
            OrderKey(made[each.expression.member], each.descending)
            for each in order
            if isinstance(each.expression, Column) and each.expression.member in made
        ]
        if not keys or len(keys) < len(order):
            return None
        return replace(self.select, order=tuple(keys), after=after, top=most)

    def total_order(self, first: tuple[tuple[Member, bool], ...] = ()) -> tuple[OrderKey, ...]:
        """Return the order, after another, with what makes it an order of all rows."""
        keys: dict[Member, bool] = {}
        for member, descending in (*first, *self.order, *((each, False) for each in self.unique)):
            keys.setdefault(member, descending)
        return tuple(OrderKey(each.column(self.it), down) for each, down in keys.items())


def rows_of(entity: EntityType, variable: Variable) -> Rows:
    """Return all entities of a type, as the rows that ``$apply`` begins with."""
    members = tuple(map(Member, entity.properties))
    outputs = tuple(Output(each.property, each.column(variable)) for each in members)
    return Rows(
        entity.name,
        entity.entity_set,
        entity.table,
        entity.properties,
        entity.navigations,
        search_path=entity.search_path,
        base=entity,
        select=Select(variable, outputs),
        members=members,
        unique=(Member(entity.key),),
        are_entities=True,
    )


class Columns:
    """Names columns, each with a name of its own in the whole statement."""

    def __init__(self) -> None:
        self._numbers = count()

    def property(self, name: str, value: Node, of: Edm | None = None) -> Property:
        """Return a property for a value."""
        return Property(
            name,
            of or value.type,
            stored_as=f"c{next(self._numbers)}",
            nullable=value.nullable,
            max_length=value.max_length,
            may_be_nan=value.may_be_nan,
        )
