"""The state of the lexer: its position, the tokens so far, and the open brackets."""

from dataclasses import dataclass, field
from typing import Any

from chalicelib.odata.ast import Place
from chalicelib.odata.language.parser import Bounds, Token, Tokens, syntax_error, unsupported
from chalicelib.odata.language.tokens import SPACES

# A literal counts one more token for this many characters: an alias may repeat the literal, and
# each repetition is a separate parameter for Postgres.
CHARACTERS_PER_TOKEN = 100


@dataclass(slots=True)
class Frame:
    """An open bracket: what it belongs to, and the number of separators in it so far."""

    kind: str
    at: Place
    separators: int = 0


@dataclass(slots=True)
class LexerState:
    """One text being read. ``outer_depth`` is the nesting of the alias that it is the value of."""

    text: str
    source: str
    bounds: Bounds
    tokens: Tokens = field(default_factory=Tokens)
    outer_depth: int = 0
    position: int = 0
    frames: list[Frame] = field(default_factory=list)
    wants_value: bool = True

    def open(self, kind: str, at: Place) -> None:
        self.require_depth(at)
        self.frames.append(Frame(kind, at))
        self.emit("(", "(", at)
        self.wants_value = True

    def close(self, mark: str, at: Place) -> None:
        if not self.frames:
            raise syntax_error(f"{mark!r} has no matching {'[' if mark == ']' else '('!r}", at)
        frame = self.frames.pop()
        if (frame.kind == "array") != (mark == "]"):
            raise syntax_error(f"{mark!r} does not match the open bracket", at)
        if frame.kind == "case" and frame.separators % 2 == 0:
            raise syntax_error(
                "case requires pairs of a condition and a result, as in case(a:b,c:d)", at
            )
        if frame.kind in ("list", "array") and not frame.separators:
            self.emit(",", ",", at)  # as the grammar requires of a list with one member
        self.emit(")", ")", at)
        if frame.kind == "filtered":
            if not self.text.startswith("/$count", self.position):
                raise unsupported("$filter in a path is not supported, except before /$count", at)
            self.position += len("/$count")
        self.wants_value = False

    def require_depth(self, at: Place) -> None:
        if self.outer_depth + len(self.frames) >= self.bounds.max_depth:
            raise syntax_error(
                f"An expression may be nested at most {self.bounds.max_depth} levels deep", at
            )

    def emit(self, kind: str, value: Any, at: Place, characters: int = 0) -> None:
        """Append a token. ``characters`` is the length of a literal."""
        self.tokens.size += 1 + characters // CHARACTERS_PER_TOKEN
        if self.tokens.size > self.bounds.max_tokens:
            raise syntax_error(
                f"An expression may have at most {self.bounds.max_tokens} tokens"
                f" (a literal counts one more for each {CHARACTERS_PER_TOKEN} characters)",
                at,
            )
        self.tokens.append(Token(kind, value, at))

    def skip_space(self) -> None:
        while self.position < len(self.text) and self.text[self.position] in SPACES:
            self.position += 1

    def here(self) -> Place:
        return Place(self.source, self.position)
