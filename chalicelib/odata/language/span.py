"""Locate the parts of an option's text without parsing the expressions in them.

A ``Span`` is a part of a text that knows its place. It is split at the separators outside quotes
and brackets: ``$compute`` at commas, ``$apply`` at slashes, options in ``$expand`` at semicolons.
Brackets only hide separators here; the lexer decides whether an expression may have them.

Invariant: splitting a span takes time in proportion to its length, for any content.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from chalicelib.odata.ast import Place
from chalicelib.odata.language.literals import read_natural
from chalicelib.odata.language.parser import syntax_error
from chalicelib.odata.language.tokens import QUOTED, SPACES

_CALL = re.compile(r"(?P<name>[^\W\d][\w.]*)[ \t\r\n]*")
_NAME = re.compile(r"[^\W\d]\w{0,127}")
_KEYWORDS = r"(?<=[ \t\r\n)])(?i:as|with|from)(?=[ \t\r\n])"
_PHRASE = r'"[^"]*+"'
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text of an option, without the spaces around it.

    ``start`` and ``end`` are offsets in the ``whole`` text; ``source`` is the option's name.
    """

    whole: str
    source: str
    start: int
    end: int

    @classmethod
    def of(cls, text: str, source: str) -> "Span":
        return cls(text, source, 0, len(text)).part(0, len(text))

    def part(self, start: int, end: int) -> "Span":
        """Return the part between two offsets of the whole text."""
        while start < end and self.whole[start] in SPACES:
            start += 1
        while end > start and self.whole[end - 1] in SPACES:
            end -= 1
        return Span(self.whole, self.source, start, end)

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]

    @property
    def at(self) -> Place:
        return Place(self.source, self.start)

    @property
    def after(self) -> Place:
        """The place behind the last character."""
        return Place(self.source, self.end)

    def split(self, separator: str) -> list["Span"]:
        """Split at each separator that is outside quotes and brackets.

        Raises:
            InvalidError: quotes or parentheses are not balanced.
        """
        parts, start = [], self.start
        for match in self._outside(re.escape(separator)):
            if match.group() == ")":
                raise syntax_error("')' has no matching '('", Place(self.source, match.start()))
            parts.append(self.part(start, match.start()))
            start = match.end()
        return [*parts, self.part(start, self.end)]

    def end_of_value(self, position: int, separator: str, *, phrases: bool = False) -> int:
        """Return where the value that begins at an offset ends.

        It ends before a separator, before an unmatched ``)``, or with the span. With ``phrases``,
        only double quotes are quotes, as in ``$search``.
        """
        matches = self._outside(re.escape(separator), position, phrases=phrases)
        return next((each.start() for each in matches), self.end)

    def keywords(self) -> list[tuple[str, int, int]]:
        """Return each ``as``, ``with`` and ``from`` outside brackets: keyword, start and end."""
        return [
            (match.group().lower(), match.start(), match.end())
            for match in self._outside(_KEYWORDS)
            if match.group() != ")"
        ]

    def call(self) -> tuple[str, "Span | None"]:
        """Return the name of a transformation and its parameters, None without parentheses."""
        match = _CALL.match(self.whole, self.start, self.end)
        if match is None:
            raise syntax_error("A transformation such as filter(…) is expected", self.at)
        if match.end() == self.end:
            return match["name"], None
        parameters = self.part(match.end(), self.end).parenthesized()
        if parameters is None:
            raise syntax_error(f"A parenthesis is expected after {match['name'][:100]}", self.at)
        return match["name"], parameters

    def parenthesized(self) -> "Span | None":
        """Return what is in the parentheses that enclose the span, None if none enclose all."""
        if not self.whole.startswith("(", self.start, self.end):
            return None
        inside = self.start + 1
        # The first unmatched parenthesis inside is the one that closes the span's first character.
        closing = next((each.start() for each in self._outside("(?!)", inside)), self.end)
        return self.part(inside, closing) if closing == self.end - 1 else None

    def name(self, what: str) -> str:
        """Return the text, which must be a simple identifier. OData CSDL 4.01, section 15.2."""
        if not _NAME.fullmatch(self.text):
            raise syntax_error(f"{what} must consist of letters, digits and underscores", self.at)
        return self.text

    def natural(self) -> int:
        """Return the text as a number of rows: ``read_natural``.

        Raises:
            InvalidError: it is not a non-negative integer.
        """
        try:
            return read_natural(self.text)
        except ValueError as error:
            raise syntax_error("A non-negative integer is expected", self.at) from error

    def _outside(
        self, pattern: str, start: int | None = None, *, phrases: bool = False
    ) -> Iterator[re.Match[str]]:
        """Yield each match outside quotes and brackets, and each unmatched ``)``.

        An unmatched ``]`` or ``}`` is ignored: the lexer reports it.

        Raises:
            InvalidError: a quote or a bracket is not closed.
        """
        opened: list[tuple[str, int]] = []
        scanner = _scanner(pattern, phrases=phrases)
        for match in scanner.finditer(self.whole, self.start if start is None else start, self.end):
            mark = match.group()
            if match.lastgroup == "wanted":
                if not opened:
                    yield match
            elif mark in _CLOSING:
                opened.append((_CLOSING[mark], match.start()))
            elif mark == ")":
                while opened and opened[-1][0] != ")":
                    opened.pop()
                if opened:
                    opened.pop()
                else:
                    yield match
            elif mark in "]}":
                if opened and opened[-1][0] == mark:
                    opened.pop()
            elif len(mark) == 1:
                place = Place(self.source, match.start())
                raise syntax_error(f"The string that starts with {mark} is not closed", place)
        if opened:
            closing, position = opened[-1]
            opening = self.whole[position]
            message = f"{opening!r} has no matching {closing!r}"
            raise syntax_error(message, Place(self.source, position))


@cache
def _scanner(pattern: str, *, phrases: bool) -> re.Pattern[str]:
    """Compile a pattern together with quoted strings, brackets and unclosed quotes."""
    quoted, marks = (_PHRASE, r'"()') if phrases else (QUOTED, r"'\"()\[\]{}")
    return re.compile(rf"{quoted}|(?P<wanted>{pattern})|[{marks}]")
