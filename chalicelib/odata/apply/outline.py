"""The outline of ``$apply``: transformations, their parameters, and words between expressions.

The expressions themselves are the lexer's. Here it is only known where they begin and end: at the
slashes, commas and words that are in no parentheses of their own and in no quotes.
"""

import re
from dataclasses import dataclass

from chalicelib.odata.ast import Place
from chalicelib.odata.language.parser import fault
from chalicelib.odata.language.tokens import JSON_TEXT

SOURCE = "$apply"
_SPACES = " \t\r\n"
_QUOTED = re.compile(rf"'[^']*'|{JSON_TEXT}|['\"]|[()]")
_CALL = re.compile(r"(?P<name>[^\W\d][\w.]*)[ \t\r\n]*")
_NAME = re.compile(r"[^\W\d]\w{0,127}")
_WORDS = re.compile(r"(?<=[ \t\r\n)])(as|with|from)(?=[ \t\r\n])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text, from ``start`` up to ``end``, without the spaces around it.

    ``level`` is how many parentheses it is in.
    """

    outline: "Outline"
    start: int
    end: int
    level: int

    @property
    def text(self) -> str:
        return self.outline.text[self.start : self.end]

    @property
    def at(self) -> Place:
        return Place(SOURCE, self.start)

    @property
    def after(self) -> Place:
        """The place behind its last character."""
        return Place(SOURCE, self.end)

    def split(self, separator: str) -> list["Piece"]:
        """Cut at a character wherever it is in no parentheses that this piece opens."""
        text, levels = self.outline.text, self.outline.levels
        found, start = [], self.start
        for position in range(self.start, self.end):
            if text[position] == separator and levels[position] == self.level:
                found.append(self.part(start, position))
                start = position + 1
        return [*found, self.part(start, self.end)]

    def words(self) -> list[tuple[str, int, int]]:
        """Return each ``as``, ``with`` and ``from`` between expressions: word, start and end."""
        levels = self.outline.levels
        return [
            (match[1].lower(), match.start(), match.end())
            for match in _WORDS.finditer(self.outline.text, self.start, self.end)
            if levels[match.start()] == self.level
        ]

    def part(self, start: int, end: int) -> "Piece":
        return self.outline.piece(start, end, self.level)

    def call(self) -> tuple[str, "Piece | None"]:
        """Return the name of a transformation and what is in its parentheses, None without any."""
        match = _CALL.match(self.outline.text, self.start, self.end)
        if match is None:
            raise fault("A transformation such as filter(…) is expected", self.at)
        if match.end() == self.end:
            return match["name"], None
        inner = self.part(match.end(), self.end).group()
        if inner is None:
            raise fault(f"A parenthesis is expected after {match['name'][:100]}", self.at)
        return match["name"], inner

    def group(self) -> "Piece | None":
        """Return what is in the parentheses that this piece consists of, None where it has not."""
        text, levels = self.outline.text, self.outline.levels
        if self.end - self.start < 2 or text[self.start] != "(" or text[self.end - 1] != ")":
            return None
        inside = range(self.start + 1, self.end - 1)
        if any(levels[each] == self.level and text[each] == ")" for each in inside):
            return None
        return self.outline.piece(self.start + 1, self.end - 1, self.level + 1)

    def name(self, what: str) -> str:
        """Return the text, which must be a simple identifier. OData CSDL 4.01, section 15.2."""
        if not _NAME.fullmatch(self.text):
            raise fault(f"{what} is a name of letters, digits and underscores", self.at)
        return self.text


class Outline:
    """The text, and of each character how many parentheses it is in; -1 within quotes.

    A parenthesis itself is outside of what it opens.

    Raises:
        InvalidError: parentheses or quotes do not match, or are nested deeper than ``max_depth``.
    """

    def __init__(self, text: str, max_depth: int) -> None:
        self.text = text
        self.levels = [0] * len(text)
        opened: list[int] = []
        last = 0
        for match in _QUOTED.finditer(text):
            start, end = match.span()
            self.levels[last:start] = [len(opened)] * (start - last)
            last = end
            if match.group() == "(":
                self.levels[start] = len(opened)
                opened.append(start)
                if len(opened) > max_depth:
                    place = Place(SOURCE, start)
                    raise fault(f"$apply may be nested {max_depth} deep, not deeper", place)
            elif match.group() == ")":
                if not opened:
                    raise fault("')' closes nothing", Place(SOURCE, start))
                opened.pop()
                self.levels[start] = len(opened)
            elif len(match.group()) == 1:
                raise fault("A quote is never closed", Place(SOURCE, start))
            else:
                self.levels[start:end] = [-1] * (end - start)
        self.levels[last:] = [len(opened)] * (len(text) - last)
        if opened:
            raise fault("A parenthesis is never closed", Place(SOURCE, opened[-1]))

    def piece(self, start: int, end: int, level: int) -> Piece:
        while start < end and self.text[start] in _SPACES:
            start += 1
        while end > start and self.text[end - 1] in _SPACES:
            end -= 1
        return Piece(self, start, end, level)

    def whole(self) -> Piece:
        return self.piece(0, len(self.text), 0)
