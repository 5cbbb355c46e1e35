"""Random expressions: what each is, and what its names stand for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OR, AND, EQUALITY, RELATION, SUM, PRODUCT, UNARY, PRIMARY = range(8)


# What names mean while an expression is evaluated: the entity of each variable.
Names = dict[str, Any]


@dataclass(frozen=True)
class Term:
    """An expression, how tightly its outermost operator binds, and its value."""

    text: str
    level: int
    value: Callable[[Names], Any] = field(repr=False)

    def within(self, level: int) -> str:
        """Return the text as the operand of an operator of a level."""
        return self.text if self.level >= level else f"({self.text})"


@dataclass(frozen=True)
class Scope:
    """A variable and what it stands for; ``prefix`` is how its properties are written.

    ``computed`` are properties that it has besides: their kinds, their names, what they are.
    """

    name: str
    prefix: str
    entity: str
    computed: "tuple[tuple[str, str, Term], ...]" = ()


NUMBERS = ("int", "double", "decimal")
COMPARABLE = (*NUMBERS, "text", "instant", "date", "time", "duration", "guid", "bool")


def read(path: str, variable: str) -> Callable[[Names], Any]:
    """Return what reads a path from the entity of a variable."""

    def read(names: Names) -> Any:
        found = names[variable]
        for segment in path.split("/"):
            found = len(found) if segment == "$count" else getattr(found, segment)
        return found

    return read
