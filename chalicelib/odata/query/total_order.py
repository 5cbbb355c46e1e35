"""Complete the order of a query, so that no two entities are equal in it."""

from collections.abc import Sequence

from chalicelib.odata import ast
from chalicelib.odata.ast import Column, Comparison, Node, OrderKey, Variable


def total_order(
    it: Variable, keys: tuple[OrderKey, ...], conditions: Sequence[Node]
) -> tuple[OrderKey, ...]:
    """Append the entity's key to an order, unless the order already contains it.

    The key takes the direction of the last order key, so that one scan of an index can serve the
    order. Without ``$orderby``, the order is one that an index has for the conditions, or else by
    key.
    """
    entity = it.entity
    if not keys:
        keys = tuple(
            OrderKey(Column(it, entity.property_named(then)), descending=False)
            for fixed, then in entity.indexed_orders
            if any(_fixes(each, it, fixed) for each in conditions)
        )[:1]
    missing = [*entity.key]
    for position, key in enumerate(keys):
        missing = [each for each in missing if not _is_column(key.expression, it, each.name)]
        if not missing:
            return keys[: position + 1]
    descending = bool(keys) and keys[-1].descending
    return (*keys, *(OrderKey(Column(it, each), descending) for each in missing))


def _fixes(condition: Node, it: Variable, name: str) -> bool:
    """Return whether a condition restricts a property to one value."""
    return (
        isinstance(condition, Comparison)
        and condition.operator == "eq"
        and isinstance(condition.right, ast.Literal)
        and _is_column(condition.left, it, name)
    )


def _is_column(node: Node, it: Variable, name: str) -> bool:
    return isinstance(node, Column) and node.instance is it and node.member.name == name
