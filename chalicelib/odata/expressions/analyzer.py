"""Turn the tokens of an option into typed syntax trees: parse, then check types."""

from chalicelib.errors import InvalidError
from chalicelib.odata.ast import Node, OrderKey, Variable
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.expressions.size_limit import require_bounded
from chalicelib.odata.expressions.type_checker import check_condition, check_value
from chalicelib.odata.language.parser import Bounds, Token, parse, syntax_error
from chalicelib.odata.model import ENTITY_SETS, EntityType

# Enough for every order that a person can follow. Each key makes the keyset condition longer.
MAX_ORDER_KEYS = 16

_ROOTS = {each: Variable(each) for each in ENTITY_SETS.values()}


def root(entity: EntityType) -> Variable:
    """Return the variable that stands for the requested entities of a type."""
    return _ROOTS[entity]


def parse_condition(tokens: list[Token], source: str, scope: Scope, bounds: Bounds) -> Node:
    """Parse a Boolean expression, such as the value of ``$filter``.

    Raises:
        InvalidError: the tokens are not a condition; the message says where and why.
        NotImplementedByServiceError: the service does not support a part of the condition.
    """
    if not is_one_expression(tokens):
        raise InvalidError(f"{source} must be one condition, without commas or asc.", target=source)
    return check_condition(parse(tokens, source), scope, bounds.max_depth)


def parse_order(
    tokens: list[Token], source: str, scope: Scope, bounds: Bounds
) -> tuple[OrderKey, ...]:
    """Parse expressions with directions, such as the value of ``$orderby``.

    Raises:
        InvalidError: as ``parse_condition``; or there are too many expressions.
        NotImplementedByServiceError: as ``parse_condition``.
    """
    items = _split_at_commas(tokens)
    if len(items) > MAX_ORDER_KEYS:
        raise InvalidError(
            f"{source} may have at most {MAX_ORDER_KEYS} expressions.", target=source
        )
    keys = []
    for item in items:
        descending = False
        if item[-1].type == "DIRECTION":
            descending = item.pop().value.name == "desc"
        if any(each.type == "DIRECTION" for each in item):
            raise syntax_error("A comma is missing after the direction", item[-1].at)
        place = item[0].at
        value = check_value(parse(item, source), scope, bounds.max_depth)
        keys.append(OrderKey(value, descending))
        require_bounded((each.expression for each in keys), place)
    return tuple(keys)


def is_one_expression(tokens: list[Token]) -> bool:
    """Return whether tokens have no comma outside parentheses, and no direction at the end."""
    return len(_split_at_commas(tokens)) == 1 and tokens[-1].type != "DIRECTION"


def _split_at_commas(tokens: list[Token]) -> list[list[Token]]:
    """Split tokens at the commas outside parentheses."""
    items: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.type == "(") - (token.type == ")")
        if token.type == "," and depth == 0:
            items.append([])
        else:
            items[-1].append(token)
    return items
