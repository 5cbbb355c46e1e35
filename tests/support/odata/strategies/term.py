"""Random expressions and the variables in them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OR, AND, EQUALITY, RELATION, SUM, PRODUCT, UNARY, PRIMARY = range(8)


# The entity of each variable during evaluation.
Names = dict[str, Any]


@dataclass(frozen=True)
class Term:
    """An expression: its text, the precedence of its outermost operator, and its evaluation."""

    text: str
    level: int
    value: Callable[[Names], Any] = field(repr=False)

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
