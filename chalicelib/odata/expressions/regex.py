"""Translate an ECMAScript regular expression to Postgres' syntax (``matchesPattern``).

The two languages differ silently in some constructs: ``.`` and line ends, ``\\b`` (a backspace in
Postgres), a backslash before a letter, the start of a pattern. So every construct is parsed and
written again; unknown ones are rejected.

ECMAScript 2024, section 22.2.1; PostgreSQL, section 9.7.3 (advanced regular expressions).
"""

import re

# Postgres' limit of a repetition, DUPMAX.
MAX_REPEAT = 255
# Postgres expands repetitions before it matches. Optional parts in them take memory that grows with
# the square of their number: 70 MB for (a?b?c?d?){1,250}.
MAX_SIZE = 1_000

_LINE_ENDS = r"\n\r\u2028\u2029"
_TERM = re.compile(
    r"""\\(?:u(?P<unit>[0-9A-Fa-f]{4})|x(?P<byte>[0-9A-Fa-f]{2})|c(?P<control>[A-Za-z])
            |(?P<group>[1-9][0-9]*)|(?P<escape>.))
    |   (?P<open>\((?:\?(?::|<?[=!]|<[A-Za-z_$][\w$]*>))?)
    |   (?P<close>\))
    |   (?P<range>\{(?P<least>[0-9]+)(?:,(?P<most>[0-9]*))?\}\??)
    |   (?P<repeat>[*+?]\??)
    |   (?P<class>\[\^?)
    |   (?P<other>[^\\])""",
    re.VERBOSE | re.DOTALL,
)
_IN_CLASS = re.compile(
    r"""\\(?:u(?P<unit>[0-9A-Fa-f]{4})|x(?P<byte>[0-9A-Fa-f]{2})|c(?P<control>[A-Za-z])
            |(?P<escape>.))
    |   (?P<other>[^\\])""",
    re.VERBOSE | re.DOTALL,
)
_CHARACTERS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
_CLASSES = "dDwW"
# ECMAScript's white space and line ends, as the members of a class, and all other characters. The
# classes of Postgres have ASCII only: ECMAScript 2024, sections 12.2 and 12.3.
_SPACES = {
    "s": r"\u0009-\u000d\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff",
    "S": r"\u0001-\u0008\u000e-\u001f\u0021-\u009f\u00a1-\u167f\u1681-\u1fff\u200b-\u2027"
    r"\u202a-\u202e\u2030-\u205e\u2060-\u2fff\u3001-\ufefe\uff00-\U0010ffff",
}
_BOUNDARIES = {"b": r"\y", "B": r"\Y"}
_LOOKAROUNDS = ("(?=", "(?!", "(?<=", "(?<!")


def translate(pattern: str) -> str:
    """Return the pattern for Postgres' ``~`` in the collation "C".

    Raises:
        ValueError: the pattern is malformed, or Postgres has no equivalent; the reason completes
            the sentence "The pattern …".
    """
    out: list[str] = []
    size = _Size()
    position = 0
    opened: list[str] = []
    is_repeatable = False
    while position < len(pattern):
        match = _TERM.match(pattern, position)
        if match is None:
            raise ValueError("ends in a backslash")
        position = match.end()
        if match["class"]:
            text, position = _class(pattern, position)
            out.append(match["class"] + text)
            size.add()
            is_repeatable = True
            continue
        # Postgres would take the question mark in (?i) for embedded options, and *** at the start
        # for a directive.
        if (match["range"] or match["repeat"]) and not is_repeatable:
            raise ValueError("has a quantifier without anything to repeat")
        is_repeatable = _is_repeatable(match, opened)
        out.append(_term(match))
        size.take(match)
    if opened:
        raise ValueError("has an unmatched opening parenthesis")
    if size.all > MAX_SIZE:
        raise ValueError(f"has more than {MAX_SIZE} characters after its repetitions are expanded")
    return "".join(out)


class _Size:
    """The number of single-character terms in a pattern after its repetitions are expanded."""

    def __init__(self) -> None:
        # For each open group: the size before its last term, and the size of that term.
        self._open = [(0, 0)]

    @property
    def all(self) -> int:
        return sum(map(sum, self._open))

    def add(self, size: int = 1) -> None:
        before, last = self._open.pop()
        self._open.append((before + last, size))

    def take(self, match: re.Match[str]) -> None:
        if match["open"]:
            self._open.append((0, 0))
        elif match["close"]:
            self.add(sum(self._open.pop()))
        elif match["range"]:
            before, last = self._open.pop()
            self._open.append((before, last * max(1, int(match["most"] or match["least"]))))
        elif not match["repeat"]:
            self.add()


def _is_repeatable(match: re.Match[str], opened: list[str]) -> bool:
    """Return whether a quantifier may follow a term; keep the list of open groups."""
    if match["open"]:
        opened.append(match["open"])
        return False
    if match["close"]:
        if not opened:
            raise ValueError("has an unmatched closing parenthesis")
        return opened.pop() not in _LOOKAROUNDS
    is_mark = match["range"] or match["repeat"] or (match["other"] or " ") in "^$|"
    return not is_mark and match["escape"] not in _BOUNDARIES


def _term(match: re.Match[str]) -> str:
    if match["open"]:
        return "(" if match["open"].startswith("(?<") and ">" in match["open"] else match["open"]
    if match["range"]:
        counts = [int(each) for each in (match["least"], match["most"]) if each]
        if max(counts) > MAX_REPEAT:
            raise ValueError(f"has a repetition of more than {MAX_REPEAT} times")
        if counts != sorted(counts):
            raise ValueError(f"has {match['range'][:20]}, where the least number is the larger one")
    if match["close"] or match["range"] or match["repeat"]:
        return match.group()
    if match["group"]:
        return f"\\{match['group']}"
    escape = match["escape"]
    if escape in _BOUNDARIES:
        return _BOUNDARIES[escape]
    if escape and escape in _CLASSES:
        return f"\\{escape}"
    if escape in _SPACES:
        return f"[{_SPACES[escape]}]"
    other = match["other"]
    if other == ".":
        return f"[^{_LINE_ENDS}]"
    if other and other in "^$|":
        return other
    return _literal(_character(match))


def _class(pattern: str, position: int) -> tuple[str, int]:
    """Translate a character class from after ``[`` or ``[^``; return it and its end."""
    out: list[str] = []
    while True:
        if pattern.startswith("]", position):
            if not out:
                raise ValueError("has an empty character class")
            return "".join(out) + "]", position + 1
        match = _IN_CLASS.match(pattern, position)
        if match is None:
            raise ValueError("has an unclosed character class")
        position = match.end()
        escape = match["escape"]
        if escape and escape in _CLASSES:
            out.append(f"\\{escape}")
        elif escape in _SPACES:
            out.append(_SPACES[escape])
        elif match["other"] == "-" and out and not pattern.startswith("]", position):
            out.append("-")
        else:
            out.append(_literal("\b" if escape == "b" else _character(match)))


def _character(match: re.Match[str]) -> str:
    """Return the character that a term stands for."""
    code = match["unit"] or match["byte"]
    if code:
        character = chr(int(code, 16))
    elif match["control"]:
        character = chr(ord(match["control"]) % 32)
    elif escape := match["escape"]:
        if escape.isalnum() and escape not in _CHARACTERS:
            raise ValueError(f"has \\{escape}, which is not supported")
        character = _CHARACTERS.get(escape, escape)
    else:
        character = match["other"]
    if character == "\0" or "\ud800" <= character <= "\udfff":
        raise ValueError("has a NUL character or a surrogate, which no string may have")
    return character


def _literal(character: str) -> str:
    """Escape a character unless it is literal everywhere in a pattern."""
    return (
        character
        if character.isalnum() or character in " _" or ord(character) > 127
        else (f"\\u{ord(character):04x}")
    )
