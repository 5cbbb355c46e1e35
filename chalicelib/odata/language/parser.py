"""What the lexer hands to odata-query's parser, the parser itself, and errors that say where.

The parser is odata-query's own, unmodified. Its inner nodes are odata-query's, its leaves are ours
and know their place in the text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from odata_query.exceptions import ODataException, ParsingException
from odata_query.grammar import ODataParser

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.ast import Literal, Place
from chalicelib.odata.edm import Edm

# Stands for what an empty list has in it: the grammar has no rule for one.
EMPTY_LIST = Literal(Edm.NULL, None)


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """What the parser asks of a token: the grammar's name for it, and its value."""

    type: str
    value: Any
    at: Place


class Tokens(list[Token]):
    """The tokens of a text. ``size`` is what they count for: a long literal is more than one."""

    size = 0


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """``a/b/c``: a property, reached through variables and navigations."""

    segments: tuple[str, ...]
    at: Place

    def __str__(self) -> str:
        return "/".join(self.segments)


class Word:
    """An operator, a quantifier (``any``, ``all``, ``count``) or the name of a function."""

    __slots__ = ("at", "name")
    # The parser checks names without a namespace against a table of its own.
    namespace = ("",)

    def __init__(self, name: str, at: Place) -> None:
        self.name = name
        self.at = at

    def full_name(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large an expression may be: tokens in all, and nesting."""

    max_tokens: int
    max_depth: int


def parse(tokens: Sequence[Token], source: str) -> Any:
    """Return the odata-query AST of one expression.

    Raises:
        InvalidError: the tokens are in no order that the grammar has.
    """
    # A parser keeps its state in itself: one that is shared by threads mixes their expressions up.
    parser = ODataParser()
    stream: Iterator[Token] = iter(tokens)
    try:
        return parser.parse(stream)
    except ParsingException as error:
        at = error.token.at if error.token else Place(source, 0)
        raise syntax_error("The expression ends too early or goes on too long", at) from error
    except ODataException as error:
        raise syntax_error("The expression is not one of OData", Place(source, 0)) from error


def syntax_error(message: str, at: Place) -> InvalidError:
    """Build the error about something at a place."""
    return InvalidError(f"{message} (character {at.offset + 1} of {at.source}).", target=at.source)


def unsupported(message: str, at: Place) -> NotImplementedByServiceError:
    """Build the error about something legal that the service does not have."""
    return NotImplementedByServiceError(
        f"{message} (character {at.offset + 1} of {at.source}).", target=at.source
    )
