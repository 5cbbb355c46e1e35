"""What has been read of a text: its tokens so far, and the parentheses that are still open."""

from dataclasses import dataclass, field
from typing import Any

from chalicelib.odata.ast import Place
from chalicelib.odata.language.parser import Bounds, Token, Tokens, syntax_error, unsupported
from chalicelib.odata.language.tokens import SPACES

# A literal counts once more for each so many characters: an alias may repeat it, and each time it
# is a value of its own to Postgres.
_CHARACTERS = 100


@dataclass(slots=True)
class Frame:
    """An open parenthesis. ``kind`` says of what, ``separators`` how many were read in it."""

    kind: str
    at: Place
    separators: int = 0


@dataclass(slots=True)
class LexerState:
    """Where one text is read, and what was made of it. ``outer_depth`` is the nesting around it."""

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
            raise syntax_error(f"{mark!r} does not close what was opened", at)
        if frame.kind == "case" and frame.separators % 2 == 0:
            raise syntax_error(
                "case needs pairs of a condition and a result, as in case(a:b,c:d)", at
            )
        if frame.kind in ("list", "array") and not frame.separators:
            self.emit(",", ",", at)  # the grammar's mark of a list of one
        self.emit(")", ")", at)
        if frame.kind == "filtered":
            if not self.text.startswith("/$count", self.position):
                raise unsupported("$filter in a path is supported only before /$count", at)
            self.position += len("/$count")
        self.wants_value = False

    def require_depth(self, at: Place) -> None:
        if self.outer_depth + len(self.frames) >= self.bounds.max_depth:
            raise syntax_error(
                f"An expression may be nested {self.bounds.max_depth} deep, not deeper", at
            )

    def emit(self, kind: str, value: Any, at: Place, characters: int = 0) -> None:
        """Add a token; of a literal, ``characters`` is its length."""
        self.tokens.size += 1 + characters // _CHARACTERS
        if self.tokens.size > self.bounds.max_tokens:
            raise syntax_error(
                f"An expression may have {self.bounds.max_tokens} tokens, not more"
                f" (a literal is one more for each {_CHARACTERS} characters)",
                at,
            )
        self.tokens.append(Token(kind, value, at))

    def skip_space(self) -> None:
        while self.position < len(self.text) and self.text[self.position] in SPACES:
            self.position += 1

    def here(self) -> Place:
        return Place(self.source, self.position)
