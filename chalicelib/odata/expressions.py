"""From the text of an option to typed trees: lex, parse, check. What was read is kept for a while.

The trees do not change, so that the same text (the next page of the same query, a dashboard's query
every few seconds) is read once.
"""

from collections.abc import Mapping
from functools import lru_cache

from chalicelib.errors import InvalidError
from chalicelib.odata.check import Scope, check_condition, check_value
from chalicelib.odata.lexer import tokenize
from chalicelib.odata.model import ENTITY_SETS, EntityType
from chalicelib.odata.syntax import Bounds, Token, fault, parse
from chalicelib.odata.tree import Node, OrderKey, Variable

# Enough for every order that a person can follow; each more makes a page's condition longer.
MAX_ORDER_KEYS = 16

_ROOTS = {each: Variable(each) for each in ENTITY_SETS.values()}
_Aliases = tuple[tuple[str, str], ...]


def root(entity: EntityType) -> Variable:
    """Return the variable that stands for each entity that a request asks for."""
    return _ROOTS[entity]


def read_filter(text: str, entity: EntityType, aliases: Mapping[str, str], bounds: Bounds) -> Node:
    """Read ``$filter``: return the condition on ``root(entity)``.

    Raises:
        InvalidError: the text is no condition on such an entity; the message says where and why.
        NotImplementedByServiceError: it is one that the service does not support.
    """
    return _filter(text, entity, tuple(aliases.items()), bounds)


def read_order(
    text: str, entity: EntityType, aliases: Mapping[str, str], bounds: Bounds
) -> tuple[OrderKey, ...]:
    """Read ``$orderby``, as ``read_filter`` reads ``$filter``."""
    return _order(text, entity, tuple(aliases.items()), bounds)


@lru_cache(maxsize=256)
def _filter(text: str, entity: EntityType, aliases: _Aliases, bounds: Bounds) -> Node:
    tokens = tokenize(text, "$filter", dict(aliases), bounds)
    items = _items(tokens)
    if len(items) > 1 or tokens[-1].type == "DIRECTION":
        raise InvalidError("$filter is one condition, without commas or asc.", target="$filter")
    scope = Scope.of(root(entity))
    return check_condition(parse(tokens, "$filter"), scope, bounds.max_depth)


@lru_cache(maxsize=256)
def _order(
    text: str, entity: EntityType, aliases: _Aliases, bounds: Bounds
) -> tuple[OrderKey, ...]:
    scope = Scope.of(root(entity))
    keys = []
    items = _items(tokenize(text, "$orderby", dict(aliases), bounds))
    if len(items) > MAX_ORDER_KEYS:
        raise InvalidError(
            f"$orderby may have {MAX_ORDER_KEYS} expressions, not more.", target="$orderby"
        )
    for item in items:
        descending = False
        if item[-1].type == "DIRECTION":
            descending = item.pop().value.name == "desc"
        if any(each.type == "DIRECTION" for each in item):
            raise fault("A comma is missing after the direction", item[-1].at)
        value = check_value(parse(item, "$orderby"), scope, bounds.max_depth)
        keys.append(OrderKey(value, descending))
    return tuple(keys)


def _items(tokens: list[Token]) -> list[list[Token]]:
    """Split tokens at the commas that are in no parentheses."""
    items: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.type == "(") - (token.type == ")")
        if token.type == "," and depth == 0:
            items.append([])
        else:
            items[-1].append(token)
    return items
