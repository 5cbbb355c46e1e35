"""Read a text without the escapes of JSON, URLs and HTML, and know where each character was.

Any server may escape any character: PHP writes ``\\/`` in JSON, .NET ``\\u002B``, others ``%2f`` or
``&#39;``. So the text is read without escapes, and no list of spellings has to be complete.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# A text in a URL within JSON within JSON is three levels deep.
_MAX_LEVELS = 4
_OCTET = r"(?:%|\\x)"
_NEXT = rf"{_OCTET}[89ab][0-9a-f]"
_ESCAPE = re.compile(
    # The octets of one character in UTF-8, or else one octet, which may be Latin-1.
    rf"(?P<octets>{_OCTET}(?:[cd][0-9a-f]{_NEXT}|e[0-9a-f](?:{_NEXT}){{2}}"
    rf"|f[0-7](?:{_NEXT}){{3}}|[0-9a-f]{{2}}))"
    r"|\\u(?P<high>d[89ab][0-9a-f]{2})\\u(?P<low>d[c-f][0-9a-f]{2})"
    r"|[\\%]u(?P<code>[0-9a-f]{4})"
    r"|(?P<html>&(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});)"
    # What is left of an escape that was cut off.
    r"|(?P<cut>(?:[\\%](?:u[0-9a-f]{0,3}|x?[0-9a-f]?)|&(?:\#x?)?[a-z0-9]{0,8})\Z)"
    r"|\\(?P<char>.)",
    re.IGNORECASE | re.DOTALL,
)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LINE_END = re.compile(r"[\r\n]+")
# What UTF-16 and UTF-32 have between characters if they are read as an encoding of single bytes.
_NULS = re.compile(r"[\0\ufffd]+")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True, slots=True)
class View:
    """A text as it reads after replacements.

    Attributes:
        text: the text.
        starts: where each of its characters starts in the original.
        ends: where each of them ends in the original.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def of(cls, text: str) -> "View":
        """Return the text as it is."""
        return cls(text, range(len(text)), range(1, len(text) + 1))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of this text, of at least one character, is in the original."""
        return self.starts[start], self.ends[end - 1]

    def replace(self, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> "View":
        """Return the view with each match of a pattern replaced; itself if there is none."""
        if not pattern.search(self.text):
            return self
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        position = 0
        for match in pattern.finditer(self.text):
            first, after = match.span()
            new = by(match)
            parts += [self.text[position:first], new]
            starts += self.starts[position:first]
            ends += self.ends[position:first]
            starts += [self.starts[first]] * len(new)
            ends += [self.ends[after - 1]] * len(new)
            position = after
        parts.append(self.text[position:])
        starts += self.starts[position:]
        ends += self.ends[position:]
        return View("".join(parts), starts, ends)


def levels(text: str) -> Iterator[View]:
    """Yield the text, and the text without its escapes, again and again while it has some.

    Then yield the same of the text without NULs and U+FFFD, which logs have in place of NULs, if it
    has some: it may be in UTF-16, read as another encoding.
    """
    view = View.of(text)
    yield from _levels(view)
    without_nuls = view.replace(_NULS, lambda _: "")
    if without_nuls is not view:
        yield from _levels(without_nuls)


def _levels(view: View) -> Iterator[View]:
    for _ in range(_MAX_LEVELS):
        yield view
        view, before = view.replace(_ESCAPE, _unescaped), view
        if view is before:
            return


def plain(view: View) -> View:
    """Return the view with spaces for ``+``, which is a space in a form."""
    return View(view.text.replace("+", " "), view.starts, view.ends)


def folded(view: View) -> View:
    """Return the view without line ends, which Base64 may have anywhere; itself if it has none."""
    lines = view.replace(_LINE_END, lambda _: "")
    return view if lines is view else plain(lines)


def blurred(view: View) -> View:
    """Return the view with one sign for other characters than ASCII; itself if it has none.

    A text in Latin-1 that was read as UTF-8, or the other way round, reads the same so.
    """
    signs = view.replace(_BEYOND_ASCII, lambda _: "\ufffd")
    return view if signs is view else plain(signs)


def _unescaped(match: re.Match[str]) -> str:
    if octets := match["octets"]:
        received = bytes.fromhex(re.sub(r"%|\\x", "", octets, flags=re.IGNORECASE))
        try:
            return received.decode()
        except UnicodeDecodeError:
            return received.decode("latin-1")
    if high := match["high"]:
        pair = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(match["low"], 16) - 0xDC00
        return chr(pair)
    if code := match["code"]:
        return chr(int(code, 16))
    if entity := match["html"]:
        return html.unescape(entity)
    if char := match["char"]:
        return _CONTROLS.get(char, char)
    return ""
