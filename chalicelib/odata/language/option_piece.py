"""Scan one option of a query string that may be a piece of an option.

The scan finds the parentheses and semicolons outside strings, as ``expand_items`` does. Unlike it,
a piece may start or end anywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chalicelib.odata.language.option_names import NESTED, SYSTEM, full_name
from chalicelib.odata.language.tokens import QUOTED

Pair = tuple[str, str]

# @ stands for aliases. The service rejects a nested $apply, but the grammar does not.
IN_PARENTHESES = NESTED | {"$apply", "@"}
ALL_OPTIONS = SYSTEM | {"@"}
# A string, an unclosed quote, or what opens, separates and closes nested options.
_MARKS = re.compile(
    rf"{QUOTED}|['\"]|(?P<mark>[(;])(?:[ \t\r\n]*+(?P<name>[$@]?\w++)[ \t\r\n]*+=[ \t\r\n]*+)?|\)"
)
_MARKS_IN_SEARCH = re.compile(r'"[^"]*+"|["();]')


def option_name(name: str) -> str | None:
    """Return the full name of a system query option or alias; None for a custom option.

    The name of an alias may be invalid: who reads the options says so.
    """
    name = name.strip()
    return name if name.startswith("@") else full_name(name)


class Mark(NamedTuple):
    """A parenthesis or semicolon, the option that follows it, and its offset in the value."""

    kind: str
    option: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One option as it arrived.

    Attributes:
        index: its position.
        pair: its name and value.
        option: the full name; None for a custom option.
        marks: what opens, separates and closes nested options; None if a quote is not closed.
    """

    index: int
    pair: Pair
    option: str | None
    marks: tuple[Mark, ...] | None

    @classmethod
    def of(cls, index: int, name: str, value: str) -> "Piece":
        option = option_name(name)
        marks = _marks(value if option else f"{name}={value}", in_search=option == "$search")
        return cls(index, (name, value), option, marks)

    @property
    def is_whole(self) -> bool:
        """Whether all parentheses and quotes are closed."""
        return depth_after(self.marks) == 0

    @property
    def is_open(self) -> bool:
        """Whether its end is missing, and not only its start."""
        return self.marks is None or (depth_after(self.marks) or 0) > 0

    @property
    def text(self) -> str:
        return "=".join(self.pair)


def _marks(text: str, *, in_search: bool) -> tuple[Mark, ...] | None:
    """Return the marks of a value outside strings, or None if a quote is not closed.

    In a search, a single quote is a letter, unless the search is one string as a whole.
    """
    marks: list[Mark] = []
    position = depth = 0
    search_depth = 0 if in_search and not text.lstrip().startswith("'") else None
    pattern = _MARKS if search_depth is None else _MARKS_IN_SEARCH
    while match := pattern.search(text, position):
        position = match.end()
        kind = match.group()[0]
        if match.group() in ("'", '"'):
            return None
        if kind in "'\"" or (kind == ";" and search_depth is not None and depth > search_depth):
            continue
        if kind == ";" and search_depth is not None:
            search_depth, pattern, position = None, _MARKS, match.start()
            continue
        depth += {"(": 1, ")": -1}.get(kind, 0)
        option = None
        if search_depth is None:
            option = option_name(match["name"] or "") if kind != ")" else None
            if option == "$search" and not text.startswith("'", position):
                search_depth, pattern = depth, _MARKS_IN_SEARCH
        elif depth < search_depth:
            search_depth, pattern = None, _MARKS
        marks.append(Mark(kind, option, match.start()))
    return tuple(marks)


def depth_after(marks: Sequence[Mark] | None, depth: int = 0) -> int | None:
    """Return the depth after the marks; None if it is unknown or was negative."""
    for mark in marks or ():
        depth += {"(": 1, ")": -1}.get(mark.kind, 0)
        if depth < 0:
            return None
    return None if marks is None else depth
