"""Random expressions and the variables in them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OR, AND, EQUALITY, RELATION, SUM, PRODUCT, UNARY, PRIMARY = range(8)


# The entity of each variable during evaluation.
Names = dict[str, Any]


@dataclass(frozen=True)
class Term:
    """An expression: its text, the precedence of its outermost operator, and its evaluation.

    Attributes:
        operands: the expressions in it.
        is_null: whether it is null without a type, as ``null`` itself is.
        has_offset: whether it is an instant that may come from a literal with a UTC offset.
        requires_utc: whether its result depends on the UTC offset of its first operand.
    """

    text: str
    level: int
    value: Callable[[Names], Any] = field(repr=False)
    operands: "tuple[Term, ...]" = field(default=(), repr=False)
    is_null: bool = False
    has_offset: bool = False
    requires_utc: bool = False

    @property
    def loses_offset(self) -> bool:
        """Whether a result depends on a UTC offset that the service does not keep.

        It must reject the expression then, also if that part is never evaluated: URL Conventions
        4.01, section 5.1.1.8.
        """
        is_lost = self.requires_utc and self.operands[0].has_offset
        return is_lost or any(each.loses_offset for each in self.operands)

    def within(self, level: int) -> str:
        """Return the text as an operand, in parentheses if the precedence requires them."""
        return self.text if self.level >= level else f"({self.text})"


@dataclass(frozen=True)
class Scope:
    """A variable: its name, the prefix of its properties, and its entity type.

    ``computed`` are its computed properties: kind, name and expression.
    """

    name: str
    prefix: str
    entity: str
    computed: "tuple[tuple[str, str, Term], ...]" = ()


NUMBERS = ("int", "double", "decimal")
COMPARABLE = (*NUMBERS, "text", "instant", "date", "time", "duration", "guid", "bool")


def read(path: str, variable: str) -> Callable[[Names], Any]:
    """Return a function that reads a path from the entity of a variable."""

    def read(names: Names) -> Any:
        value = names[variable]
        for segment in path.split("/"):
            value = len(value) if segment == "$count" else getattr(value, segment)
        return value

    return read
