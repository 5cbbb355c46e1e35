"""Split ``$expand`` into its items: a path and nested options each, at any depth.

``logs($filter=…;$search=…)`` becomes names and spans; the options' values are parsed elsewhere.
OData ABNF 4.01, rules expandItem and expandOption.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.odata.ast import Place
from chalicelib.odata.language.option_names import NESTED, full_name
from chalicelib.odata.language.parser import syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.language.tokens import SPACES

_OPTION_NAME = re.compile(r"[ \t\r\n]*(?P<name>[$@]?[^\W\d]\w{0,127})[ \t\r\n]*=")
_PATH = re.compile(r"[^(),;]*")


@dataclass(frozen=True, slots=True)
class ExpandItem:
    """One item of ``$expand``: a path, and options in parentheses.

    ``items`` are those of the nested ``$expand``; ``aliases`` are assigned in the parentheses.
    """

    path: Span
    options: Mapping[str, Span]
    aliases: Mapping[str, Span]
    items: tuple["ExpandItem", ...]


def read_items(span: Span, max_depth: int) -> tuple[ExpandItem, ...]:
    """Split ``$expand`` into its items, including nested ones.

    Raises:
        InvalidError: the text is malformed or nested deeper than ``max_depth``.
        NotImplementedByServiceError: the service does not support a nested option.
    """
    reader = _ItemReader(span, max_depth, span.start)
    items = reader.items(1)
    if reader.position < span.end:
        raise syntax_error(f"{reader.next!r} is not allowed here", reader.here)
    return items


def too_deep(max_depth: int, at: Place) -> Exception:
    """Build the error for an expansion nested deeper than the limit."""
    return syntax_error(
        f"$expand exceeds the nesting limit of {max_depth} levels (ODATA_EXPAND_DEPTH)", at
    )


@dataclass(slots=True)
class _ItemReader:
    span: Span
    max_depth: int
    position: int

    @property
    def here(self) -> Place:
        return Place(self.span.source, self.position)

    @property
    def next(self) -> str:
        """The next character, empty at the end."""
        return self.span.whole[self.position : min(self.position + 1, self.span.end)]

    def items(self, depth: int) -> tuple[ExpandItem, ...]:
        if depth > self.max_depth:
            raise too_deep(self.max_depth, self.here)
        items = [self._item(depth)]
        while self.next == ",":
            self.position += 1
            items.append(self._item(depth))
        return tuple(items)

    def _item(self, depth: int) -> ExpandItem:
        match = _PATH.match(self.span.whole, self.position, self.span.end)
        end = match.end() if match else self.position
        path = self.span.part(self.position, end)
        if not path.text:
            raise syntax_error("The name of a navigation property is missing", self.here)
        self.position = end
        options: dict[str, Span] = {}
        aliases: dict[str, Span] = {}
        nested: tuple[ExpandItem, ...] = ()
        if self.next == "(":
            opened = self.here
            while self.next != ")":
                self.position += 1  # past the parenthesis or a semicolon
                nested = self._option(options, aliases, depth) or nested
                if self.next not in (";", ")"):
                    raise syntax_error("'(' has no matching ')'", opened)
            self.position += 1
            self._skip_space()
        return ExpandItem(path, options, aliases, nested)

    def _option(
        self, options: dict[str, Span], aliases: dict[str, Span], depth: int
    ) -> tuple[ExpandItem, ...]:
        """Read one option, and return its items if it is ``$expand``."""
        at = self.here
        match = _OPTION_NAME.match(self.span.whole, self.position, self.span.end)
        if match is None:
            raise syntax_error("An option is expected, as in ($top=5;$orderby=id)", at)
        start = self.position = match.end()
        name = match["name"]
        items: tuple[ExpandItem, ...] = ()
        if name.startswith("@"):
            values, name = aliases, name[1:]
        else:
            values, name = options, _option_name(name, at)
        if name in values:
            raise syntax_error(f"{name} is specified more than once", at)
        if name == "$expand":
            items = self.items(depth + 1)
        else:
            self.position = self._end_of_value(name)
        values[name] = self.span.part(start, self.position)
        return items

    def _end_of_value(self, option: str) -> int:
        if option != "$search":
            return self.span.end_of_value(self.position, ";")
        # In a search, a single quote is a letter, unless the search is one string as a whole.
        self._skip_space()
        return self.span.end_of_value(self.position, ";", phrases=self.next != "'")

    def _skip_space(self) -> None:
        while self.next and self.next in SPACES:
            self.position += 1


def _option_name(name: str, at: Place) -> str:
    full = full_name(name)
    if full == "$apply":
        raise unsupported("$apply within $expand is not supported", at)
    if full not in NESTED:
        raise syntax_error(f"{name} is not an option of $expand", at)
    return full
