"""Parse tokens with odata-query's grammar; define the tokens and the errors that have a place.

The parser is odata-query's own, unmodified. The inner nodes of its AST are odata-query's; the
leaves are the classes here, which know their place in the text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from odata_query.exceptions import ODataException, ParsingException
from odata_query.grammar import ODataParser

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.ast import Literal, Place
from chalicelib.odata.edm import Edm

# The member of an empty list: the grammar has no rule for a list without members.
EMPTY_LIST = Literal(Edm.NULL, None)


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """A token in the form that the parser requires: its name in the grammar, and its value."""

    type: str
    value: Any
    at: Place


class Tokens(list[Token]):
    """The tokens of a text. ``size`` is their count; a long literal counts as several."""

    size = 0


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """``a/b/c``: a property that is reached through variables and navigation properties."""

    segments: tuple[str, ...]
    at: Place

    def __str__(self) -> str:
        return "/".join(self.segments)


class Word:
    """An operator (``eq``, ``any``, ``all``, ``count`` …) or the name of a function."""

    __slots__ = ("at", "name")
    # Any namespace will do: odata-query checks names without one against its own list of functions.
    namespace = ("",)

    def __init__(self, name: str, at: Place) -> None:
        self.name = name
        self.at = at

    def full_name(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Bounds:
    """The maximum size of an expression: total tokens, and depth of nesting."""

    max_tokens: int
    max_depth: int


def parse(tokens: Sequence[Token], source: str) -> Any:
    """Return the odata-query AST of one expression.

    Raises:
        InvalidError: the grammar does not accept the tokens.
    """
    # A parser holds its state in attributes, so threads must not share one.
    parser = ODataParser()
    stream: Iterator[Token] = iter(tokens)
    try:
        return parser.parse(stream)
    except ParsingException as error:
        at = error.token.at if error.token else Place(source, 0)
        raise syntax_error(
            "The expression is incomplete, or something is left over after it", at
        ) from error
    except ODataException as error:
        raise syntax_error("The expression is not valid OData", Place(source, 0)) from error


def syntax_error(message: str, at: Place) -> InvalidError:
    """Build the error for a mistake at a place in the request."""
    return InvalidError(f"{message} (character {at.offset + 1} of {at.source}).", target=at.source)


def unsupported(message: str, at: Place) -> NotImplementedByServiceError:
    """Build the error for a legal construct that the service does not support."""
    return NotImplementedByServiceError(
        f"{message} (character {at.offset + 1} of {at.source}).", target=at.source
    )
