"""The typed tree: what an expression means once names, types and literals have been checked.

Whatever is in such a tree can be put into SQL. Nodes know their type, whether they can be null and
whether they can be NaN, because the comparisons of OData and of Postgres differ in just these; and
how many characters their value may have as text, so that none outgrows the database's memory.
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from chalicelib.odata.edm import FRACTIONS, Edm
from chalicelib.odata.model import EntityType, Navigation, Property


class Node(Protocol):
    """A value: of one type, perhaps null, perhaps NaN, and ``longest`` characters at most."""

    @property
    def type(self) -> Edm: ...
    @property
    def nullable(self) -> bool: ...
    @property
    def may_be_nan(self) -> bool: ...
    @property
    def longest(self) -> int: ...


# The types whose values can be made longer than they were.
_GROWING = (Edm.STRING, Edm.DECIMAL)
# The longest text of a value of any other type, and what one operation adds to a Decimal.
_SHORT = 40
# A Double as a Decimal.
_DIGITS_OF_DOUBLE = 400


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A value that the client wrote. ``at`` is where, for errors."""

    type: Edm
    value: Any
    at: "Place | None" = None

    @property
    def nullable(self) -> bool:
        return self.value is None

    @property
    def may_be_nan(self) -> bool:
        return isinstance(self.value, float) and not math.isfinite(self.value)

    @property
    def longest(self) -> int:
        if isinstance(self.value, Decimal):
            return len(f"{self.value:f}")
        return len(self.value) if isinstance(self.value, str) else _SHORT


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: the option that has it, and the offset of its first character."""

    source: str
    offset: int


NULL = Literal(Edm.NULL, None)
TRUE = Literal(Edm.BOOLEAN, True)


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """One entity at a time: of the set that is asked for, or of a collection in it."""

    entity: EntityType
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True)
class Step:
    """The one entity that a navigation leads to."""

    origin: "Variable | Step"
    navigation: Navigation

    @property
    def entity(self) -> EntityType:
        return self.navigation.target

    @property
    def nullable(self) -> bool:
        return False  # every log has its point


Instance = Variable | Step


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A property of an entity."""

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
    def longest(self) -> int:
        return self.member.max_length or _SHORT


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A function or an arithmetic operator: an SQL ``template`` with a place for each argument.

    ``at_most`` is how many characters it is cut to, where the expression says so.
    """

    template: str
    arguments: tuple[Node, ...]
    type: Edm
    makes_nan: bool = False
    at_most: int | None = None

    @property
    def nullable(self) -> bool:
        return any(each.nullable for each in self.arguments)

    @property
    def may_be_nan(self) -> bool:
        return self.type in FRACTIONS and (
            self.makes_nan or any(each.may_be_nan for each in self.arguments)
        )

    @property
    def longest(self) -> int:
        """At most as long as all that it is made of: a function is no longer than concat is."""
        if self.type not in _GROWING:
            return _SHORT
        growing = sum(each.longest for each in self.arguments if each.type in _GROWING)
        if self.at_most is not None:
            return max(0, min(growing, self.at_most))
        return growing + (_SHORT if self.type is Edm.DECIMAL else 0)


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """A value as another type, null where it has no value of that type."""

    template: str
    operand: Node
    type: Edm
    nullable: bool

    @property
    def may_be_nan(self) -> bool:
        return self.type in FRACTIONS and (
            self.operand.type is Edm.STRING or self.operand.may_be_nan
        )

    @property
    def longest(self) -> int:
        if self.type not in _GROWING:
            return _SHORT
        of_double = self.operand.type is Edm.DOUBLE and self.type is Edm.DECIMAL
        return _DIGITS_OF_DOUBLE if of_double else self.operand.longest


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """The result that belongs to the first condition that is true, or null."""

    pairs: tuple[tuple[Node, Node], ...]
    type: Edm
    nullable: bool = field(default=True, init=False)

    @property
    def may_be_nan(self) -> bool:
        return any(result.may_be_nan for _, result in self.pairs)

    @property
    def longest(self) -> int:
        return max(result.longest for _, result in self.pairs)


class _Truth:
    """What the nodes of type Boolean have in common."""

    __slots__ = ()
    type = Edm.BOOLEAN
    may_be_nan = False
    longest = _SHORT


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(_Truth):
    """``eq ne gt ge lt le``; never null."""

    operator: str
    left: Node
    right: Node
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class Membership(_Truth):
    """``in``: whether the operand is among the values, of which one may be null; never null."""

    operand: Node
    type_of_values: Edm
    values: tuple[Any, ...]
    has_null: bool
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class Junction(_Truth):
    """``and`` or ``or`` of two or more."""

    operator: str
    operands: tuple[Node, ...]

    @property
    def nullable(self) -> bool:
        return any(each.nullable for each in self.operands)


@dataclass(frozen=True, slots=True, eq=False)
class Negation(_Truth):
    """``not``."""

    operand: Node

    @property
    def nullable(self) -> bool:
        return self.operand.nullable


@dataclass(frozen=True, slots=True, eq=False)
class Quantified(_Truth):
    """``any`` or ``all`` of the entities that a navigation leads to; never null."""

    quantifier: str
    origin: Instance
    navigation: Navigation
    variable: Variable
    predicate: Node
    nullable: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """How many entities a navigation leads to, or how many of them the predicate selects."""

    origin: Instance
    navigation: Navigation
    variable: Variable
    predicate: Node
    type: Edm = field(default=Edm.INT64, init=False)
    nullable: bool = field(default=False, init=False)
    may_be_nan: bool = field(default=False, init=False)
    longest: int = field(default=_SHORT, init=False)


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """A property that ``$compute`` adds. ``size`` is how many tokens it stands for."""

    name: str
    value: Node
    size: int


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One expression of an order."""

    expression: Node
    descending: bool
