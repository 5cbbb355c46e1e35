"""Parts of the text of an option: where one begins and ends, before anybody reads what it says.

``$expand=logs($filter=…;$search=…)`` is cut here into names and texts, each with its place, at the
commas, semicolons and parentheses that are in no quotes and no parentheses of their own. OData ABNF
4.01, rules expandItem, selectItem and computeItem.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.odata.ast import Place
from chalicelib.odata.language.parser import fault, unsupported
from chalicelib.odata.language.tokens import QUOTED, SPACES

NESTED_OPTIONS = frozenset(
    {
        "$compute", "$count", "$expand", "$filter", "$levels", "$orderby", "$search", "$select",
        "$skip", "$top",
    }
)  # fmt: skip

_QUOTED = re.compile(QUOTED)
_PHRASE = re.compile(r'"[^"]*"')
_NAME = re.compile(r"[ \t\r\n]*(?P<name>[$@]?[^\W\d]\w{0,127})[ \t\r\n]*=")
_PATH = re.compile(r"[^(),;]*")
_OPENING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of an option's text, without the spaces around it."""

    whole: str
    source: str
    start: int
    end: int

    @classmethod
    def of(cls, text: str, source: str) -> "Excerpt":
        return cls(text, source, 0, len(text)).part(0, len(text))

    def part(self, start: int, end: int) -> "Excerpt":
        """Return a part, given by offsets in the whole text."""
        while start < end and self.whole[start] in SPACES:
            start += 1
        while end > start and self.whole[end - 1] in SPACES:
            end -= 1
        return Excerpt(self.whole, self.source, start, end)

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]

    @property
    def at(self) -> Place:
        return Place(self.source, self.start)

    def split(self, mark: str) -> list["Excerpt"]:
        """Split at each mark that is in no quotes and no parentheses."""
        parts, start = [], self.start
        while (end := _end_of_value(self.whole, start, self.end, mark, self.source)) < self.end:
            if self.whole[end] != mark:
                raise fault(f"{self.whole[end]!r} closes nothing", Place(self.source, end))
            parts.append(self.part(start, end))
            start = end + 1
        return [*parts, self.part(start, self.end)]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of ``$expand``: a path, and options in parentheses.

    ``items`` are those of the nested ``$expand``; ``aliases`` what is assigned in the parentheses.
    """

    path: Excerpt
    options: Mapping[str, Excerpt]
    aliases: Mapping[str, Excerpt]
    items: tuple["Item", ...]


def read_items(excerpt: Excerpt, max_depth: int) -> tuple[Item, ...]:
    """Cut ``$expand`` into its items, those that are nested in it included.

    Raises:
        InvalidError: it is none, or is nested deeper than ``max_depth``.
        NotImplementedByServiceError: it has an option that the service does not have there.
    """
    reader = _Reader(excerpt, max_depth, excerpt.start)
    items = reader.items(1)
    if reader.position < excerpt.end:
        raise fault(f"{reader.next!r} cannot stand here", reader.here)
    return items


def too_deep(max_depth: int, at: Place) -> Exception:
    """Build the error about an expansion that goes beyond the limit."""
    return fault(f"$expand may be nested {max_depth} deep (ODATA_EXPAND_DEPTH), not deeper", at)


@dataclass(slots=True)
class _Reader:
    excerpt: Excerpt
    max_depth: int
    position: int

    @property
    def here(self) -> Place:
        return Place(self.excerpt.source, self.position)

    @property
    def next(self) -> str:
        return self.excerpt.whole[self.position : min(self.position + 1, self.excerpt.end)]

    def items(self, depth: int) -> tuple[Item, ...]:
        if depth > self.max_depth:
            raise too_deep(self.max_depth, self.here)
        found = [self._item(depth)]
        while self.next == ",":
            self.position += 1
            found.append(self._item(depth))
        return tuple(found)

    def _item(self, depth: int) -> Item:
        match = _PATH.match(self.excerpt.whole, self.position, self.excerpt.end)
        end = match.end() if match else self.position
        path = self.excerpt.part(self.position, end)
        if not path.text:
            raise fault("The name of a navigation property is missing", self.here)
        self.position = end
        options: dict[str, Excerpt] = {}
        aliases: dict[str, Excerpt] = {}
        nested: tuple[Item, ...] = ()
        if self.next == "(":
            opened = self.here
            while self.next != ")":
                self.position += 1  # past the parenthesis, or a semicolon
                nested = self._option(options, aliases, depth) or nested
                if self.next not in (";", ")"):
                    raise fault("A parenthesis is never closed", opened)
            self.position += 1
            self._skip_space()
        return Item(path, options, aliases, nested)

    def _option(
        self, options: dict[str, Excerpt], aliases: dict[str, Excerpt], depth: int
    ) -> tuple[Item, ...]:
        """Read one option, and return the items that it has if it is ``$expand``."""
        at = self.here
        match = _NAME.match(self.excerpt.whole, self.position, self.excerpt.end)
        if match is None:
            raise fault("An option is expected, as in ($top=5;$orderby=id)", at)
        start = self.position = match.end()
        name = match["name"]
        items: tuple[Item, ...] = ()
        if name.startswith("@"):
            found, name = aliases, name[1:]
        else:
            found, name = options, _option_name(name, at)
        if name in found:
            raise fault(f"{name} is given twice", at)
        if name == "$expand":
            items = self.items(depth + 1)
        else:
            end_of = _end_of_search if name == "$search" else _end_of_value
            whole, end = self.excerpt.whole, self.excerpt.end
            self.position = end_of(whole, start, end, ";", self.excerpt.source)
        found[name] = self.excerpt.part(start, self.position)
        return items

    def _skip_space(self) -> None:
        while self.next and self.next in SPACES:
            self.position += 1


def _option_name(name: str, at: Place) -> str:
    full = name.lower() if name.startswith("$") else f"${name.lower()}"
    if full == "$apply":
        raise unsupported("$apply within $expand is not supported", at)
    if full not in NESTED_OPTIONS:
        raise fault(f"{name} is no option of $expand", at)
    return full


def _end_of_value(text: str, position: int, end: int, mark: str, source: str) -> int:
    """Return where a value ends: at a mark or at what closes more than was opened."""
    open_: list[tuple[str, int]] = []
    while position < end:
        each = text[position]
        if each in "'\"":
            quoted = _QUOTED.match(text, position, end)
            if quoted is None:
                raise fault(f"A text that begins with {each} never ends", Place(source, position))
            position = quoted.end()
            continue
        if each in _OPENING:
            open_.append((_OPENING[each], position))
        elif open_ and each == open_[-1][0]:
            open_.pop()
        elif not open_ and (each == mark or each in ")]}"):
            return position
        position += 1
    if open_:
        raise fault("A parenthesis is never closed", Place(source, open_[-1][1]))
    return end


def _end_of_search(text: str, position: int, end: int, mark: str, source: str) -> int:
    """Return where ``$search`` ends: a single quote is a letter in it, but at its beginning."""
    depth = 0
    while position < end and text[position] in SPACES:
        position += 1
    if text.startswith("'", position):
        return _end_of_value(text, position, end, mark, source)
    while position < end:
        each = text[position]
        if each == '"':
            phrase = _PHRASE.match(text, position, end)
            if phrase is None:
                raise fault("A phrase never ends", Place(source, position))
            position = phrase.end()
            continue
        if depth == 0 and each in (mark, ")"):
            return position
        depth += (each == "(") - (each == ")")
        position += 1
    return end
