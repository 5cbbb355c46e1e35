"""Keyset pagination in SQL: ORDER BY, and the condition that an entity comes after a place."""

from collections.abc import Sequence

from chalicelib.odata.ast import OrderKey
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.model import EntityType
from chalicelib.odata.query.skip_token import Value
from chalicelib.odata.sql.translator import Translator


def order_by(keys: Sequence[OrderKey]) -> str:
    """Return what follows ORDER BY, for the select list's columns ``k0``, ``k1`` …

    Null comes before all values ascending, after all descending.
    """
    parts = []
    for number, key in enumerate(keys):
        direction = "DESC" if key.descending else "ASC"
        # Written only where there can be a null: an index has it the other way round.
        nulls = ""
        if key.expression.nullable:
            nulls = " NULLS LAST" if key.descending else " NULLS FIRST"
        parts.append(f"k{number} {direction}{nulls}")
    return ", ".join(parts)


def after_place(
    entity: EntityType,
    keys: Sequence[OrderKey],
    expressions: Sequence[str],
    after: Sequence[Value],
    translator: Translator,
) -> str:
    """Return the condition that an entity comes after a place in the order."""
    values = [
        _value(entity, key, value, after[-1], translator)
        for key, value in zip(keys, after, strict=True)
    ]
    directions = {key.descending for key in keys}
    if len(directions) == 1 and not any(key.expression.nullable for key in keys):
        sign = "<" if directions.pop() else ">"
        return f"({', '.join(expressions)}) {sign} ({', '.join(map(str, values))})"
    alternatives: list[str] = []
    equal: list[str] = []
    for key, sql, value in zip(keys, expressions, values, strict=True):
        if further := _further(key, sql, value):
            alternatives.append(" AND ".join([*equal, further]))
        equal.append(f"{sql} IS NULL" if value is None else f"{sql} = {value}")
    return f"({' OR '.join(alternatives)})"


def _value(
    entity: EntityType, key: OrderKey, value: Value, entity_key: Value, translator: Translator
) -> str | None:
    """Return the SQL of the value of one key, or None for null."""
    if value is None or isinstance(value, str):
        return None if value is None else translator.bind_text(key.expression.type, value)
    inner = Translator(translator.parameters)
    expression = inner.by_order(key.expression)
    it = root(entity)
    column = inner.column(it, entity.key)
    bound = inner.bind_text(entity.key.type, str(entity_key))
    return f"(SELECT {expression} FROM {inner.from_clause(it)} WHERE {column} = {bound})"


def _further(key: OrderKey, sql: str, value: str | None) -> str | None:
    """Return the condition that one key comes after a value, or None where nothing does."""
    if not key.descending:
        return f"{sql} IS NOT NULL" if value is None else f"{sql} > {value}"
    if value is None:
        return None
    if key.expression.nullable:
        return f"({sql} < {value} OR {sql} IS NULL)"
    return f"{sql} < {value}"
