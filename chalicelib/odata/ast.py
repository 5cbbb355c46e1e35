"""The typed AST: an expression after its names, types and literals have been checked.

The type checker builds it from odata-query's AST; the SQL translator accepts every tree. A node
knows its type and whether it can be null or NaN, because comparisons in OData and in Postgres
differ in exactly these cases. It also knows the maximum length of its value as text, so that no
value outgrows the database's memory.

Invariant: a node derives what it knows from its operands once, when it is made. If it asked them
each time, every level of nesting would ask all levels below it again.
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from chalicelib.odata.edm import FRACTIONS, Edm
from chalicelib.odata.model import EntityType, Navigation, Property


class Node(Protocol):
    """An expression with one value. ``max_length`` bounds its characters as text."""

    @property
    def type(self) -> Edm: ...
    @property
    def nullable(self) -> bool: ...
    @property
    def may_be_nan(self) -> bool: ...
    @property
    def max_length(self) -> int: ...


def _derive(node: Node, **attributes: bool | int) -> None:
    """Set the attributes that a new node derives from its operands."""
    for name, value in attributes.items():
        object.__setattr__(node, name, value)


# Operations can make values of these types longer than their operands.
_GROWING = (Edm.STRING, Edm.DECIMAL)
# Characters of the longest value of any other type; also what one operation adds to a Decimal.
_SHORT = 40
# Characters of the longest Double, written as a Decimal.
_DIGITS_OF_DOUBLE = 400
# Characters that an exponent adds to a text that is read as a Decimal.
_DIGITS_OF_EXPONENT = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A literal value. ``at`` is its place in the request, for error messages."""

    type: Edm
    value: Any
    at: "Place | None" = None
    nullable: bool = field(init=False)
    may_be_nan: bool = field(init=False)
    max_length: int = field(init=False)

    def __post_init__(self) -> None:
        value = self.value
        text = f"{value:f}" if isinstance(value, Decimal) else value
        _derive(
            self,
            nullable=value is None,
            may_be_nan=isinstance(value, float) and not math.isfinite(value),
            max_length=len(text) if isinstance(text, str) else _SHORT,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a token: the name of its option, and the offset of its first character."""

    source: str
    offset: int


NULL = Literal(Edm.NULL, None)
TRUE = Literal(Edm.BOOLEAN, True)


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A range variable over the entities of the requested set or of a collection.

    Identity is object identity: two variables over one entity type are different.
    """

    entity: EntityType
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True)
class NavigationStep:
    """The single entity that a navigation property leads to."""

    origin: "Variable | NavigationStep"
    navigation: Navigation

    @property
    def entity(self) -> EntityType:
        return self.navigation.target

    @property
    def nullable(self) -> bool:
        return False  # a foreign key guarantees that every log has its point record


Instance = Variable | NavigationStep


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A stored property of an entity."""

    instance: Instance
    member: Property

    @property
    def type(self) -> Edm:
        return self.member.type

    @property
    def may_be_nan(self) -> bool:
        return self.member.may_be_nan

    @property
    def nullable(self) -> bool:
        return self.member.nullable or self.instance.nullable

    @property
    def max_length(self) -> int:
        return self.member.max_length or _SHORT


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A function or arithmetic operator: an SQL ``template`` with a placeholder for each argument.

    ``truncated_to`` is the maximum number of characters of the result, if a literal limits it.
    ``may_fail`` says that Postgres raises an error for some arguments, such as a divisor of zero.
    """

    template: str
    arguments: tuple[Node, ...]
    type: Edm
    makes_nan: bool = False
    truncated_to: int | None = None
    may_fail: bool = False
    nullable: bool = field(init=False)
    may_be_nan: bool = field(init=False)
    max_length: int = field(init=False)

    def __post_init__(self) -> None:
        makes_nan = self.makes_nan or any(each.may_be_nan for each in self.arguments)
        _derive(
            self,
            nullable=any(each.nullable for each in self.arguments),
            may_be_nan=self.type in FRACTIONS and makes_nan,
            max_length=self._max_length(),
        )

    def _max_length(self) -> int:
        """Return the sum of the arguments' lengths: no function grows more than ``concat`` does."""
        if self.type not in _GROWING:
            return _SHORT
        growing = sum(each.max_length for each in self.arguments if each.type in _GROWING)
        if self.truncated_to is not None:
            return min(growing, self.truncated_to)
        return growing + (_SHORT if self.type is Edm.DECIMAL else 0)


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """A conversion to another type; null if the conversion fails."""

    template: str
    operand: Node
    type: Edm
    nullable: bool
    may_be_nan: bool = field(init=False)
    max_length: int = field(init=False)

    def __post_init__(self) -> None:
        operand = self.operand
        length = _SHORT
        if self.type in _GROWING:
            of_double = operand.type is Edm.DOUBLE and self.type is Edm.DECIMAL
            length = _DIGITS_OF_DOUBLE if of_double else operand.max_length
            if operand.type is Edm.STRING:
                length += _DIGITS_OF_EXPONENT
        makes_nan = operand.type is Edm.STRING or operand.may_be_nan
        _derive(self, may_be_nan=self.type in FRACTIONS and makes_nan, max_length=length)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """The result of the first condition that is true, or null."""

    pairs: tuple[tuple[Node, Node], ...]
    type: Edm
    nullable: bool = field(default=True, init=False)
    may_be_nan: bool = field(init=False)
    max_length: int = field(init=False)

    def __post_init__(self) -> None:
        _derive(
            self,
            may_be_nan=any(result.may_be_nan for _, result in self.pairs),
            max_length=max(result.max_length for _, result in self.pairs),
        )


class _BooleanNode:
    """The attributes that all nodes of type Edm.Boolean share."""

    __slots__ = ()
    type = Edm.BOOLEAN
    may_be_nan = False
    max_length = _SHORT


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(_BooleanNode):
    """``eq``, ``ne``, ``gt``, ``ge``, ``lt`` or ``le``; never null."""

    operator: str
    left: Node
    right: Node
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class Membership(_BooleanNode):
    """``in`` a list of literals; ``has_null`` if null is one of them. Never null.

    The list is not empty: SQL without the operand would leave its bound values unused, and
    Postgres rejects a statement with unused values.
    """

    operand: Node
    type_of_values: Edm
    values: tuple[Any, ...]
    has_null: bool
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class LogicalOperation(_BooleanNode):
    """``and`` or ``or`` of two or more operands."""

    operator: str
    operands: tuple[Node, ...]
    nullable: bool = field(init=False)

    def __post_init__(self) -> None:
        _derive(self, nullable=any(each.nullable for each in self.operands))


@dataclass(frozen=True, slots=True, eq=False)
class Negation(_BooleanNode):
    """``not``."""

    operand: Node
    nullable: bool = field(init=False)

    def __post_init__(self) -> None:
        _derive(self, nullable=self.operand.nullable)


@dataclass(frozen=True, slots=True, eq=False)
class Quantifier(_BooleanNode):
    """``any`` or ``all`` over the entities of a collection; never null."""

    operator: str
    origin: Instance
    navigation: Navigation
    variable: Variable
    predicate: Node
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """The number of entities in a collection for which the predicate is true."""

    origin: Instance
    navigation: Navigation
    variable: Variable
    predicate: Node
    type: Edm = field(default=Edm.INT64, init=False)
    nullable: bool = field(default=False, init=False)
    may_be_nan: bool = field(default=False, init=False)
    max_length: int = field(default=_SHORT, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class ComputedProperty:
    """A property that ``$compute`` adds. ``size`` is the number of tokens of its expression."""

    name: str
    value: Node
    size: int


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One expression of ``$orderby`` with its direction."""

    expression: Node
    descending: bool
