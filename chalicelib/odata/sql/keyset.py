"""Keyset pagination in SQL: ORDER BY, and the condition that a row follows the previous page."""

from collections.abc import Sequence

from chalicelib.odata.ast import Column, OrderKey
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.expressions.failure import may_fail
from chalicelib.odata.model import EntityType
from chalicelib.odata.query.skip_token import LONG_VALUE_DIGITS, LongValue, Value
from chalicelib.odata.sql.id_bounds import bound_of_place
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters

_DIGEST_OF_TEXT = (
    f"left(encode(sha256(convert_to(CAST({{}} AS text), 'UTF8')), 'hex'), {LONG_VALUE_DIGITS})"
)


def order_by(keys: Sequence[OrderKey]) -> str:
    """Return what follows ORDER BY, for the columns ``k0``, ``k1`` … of the select list.

    Null sorts as the lowest value: first ascending, last descending.
    """
    parts = []
    for number, key in enumerate(keys):
        direction = "DESC" if key.descending else "ASC"
        # Only for nullable keys: an index sorts nulls the other way round, and could not be used.
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
    """Return the condition that an entity follows a place in the order.

    ``after`` holds the key values of that place. With one direction and no nullable key, it is a
    row comparison, which an index serves.
    """
    values = [
        _value(entity, key, value, keys, after, translator)
        for key, value in zip(keys, after, strict=True)
    ]
    directions = {key.descending for key in keys}
    if len(directions) == 1 and not any(key.expression.nullable for key in keys):
        sign = "<" if directions.pop() else ">"
        follows = f"({', '.join(expressions)}) {sign} ({', '.join(map(str, values))})"
        bound = bound_of_place(keys, after)
        if bound is None:
            return follows
        column, operator, text = bound
        return f"{follows} AND {translator.value(column)} {operator} " + translator.bind_text(
            Edm.GUID, text
        )
    alternatives: list[str] = []
    equal: list[str] = []
    for key, sql, value in zip(keys, expressions, values, strict=True):
        if condition := _follows(key, sql, value):
            alternatives.append(" AND ".join([*equal, condition]))
        equal.append(f"{sql} IS NULL" if value is None else f"{sql} = {value}")
    return f"({' OR '.join(alternatives)})"


def with_place(conditions: Sequence[str], keys: Sequence[OrderKey], follows: str) -> str:
    """Return the conditions of a page whose entities follow a place, joined.

    Order keys that can fail are computed only where the other conditions hold. These stand outside
    as well, where an index can serve them.
    """
    others = " AND ".join(conditions)
    if may_fail(*(each.expression for each in keys)):
        follows = f"CASE WHEN {others} THEN {follows} END"
    return f"{others} AND {follows}"


def has_long_values(
    entity: EntityType,
    keys: Sequence[OrderKey],
    after: Sequence[Value] | None,
    parameters: QueryParameters,
) -> str:
    """Return the condition that the entity at a place still has the long values of the place.

    Without it, ``after_place`` would compare with another value, or with none.
    """
    inner = Translator(parameters)
    same = [
        f"{_DIGEST_OF_TEXT.format(inner.value(key.expression))} ="
        f" {inner.bind_text(Edm.STRING, value.digest)}"
        for key, value in zip(keys, after or (), strict=after is not None)
        if isinstance(value, LongValue)
    ]
    if after is None or not same:
        return "TRUE"
    return f"COALESCE({_read_at(entity, ' AND '.join(same), keys, after, inner)}, FALSE)"


def _value(
    entity: EntityType,
    key: OrderKey,
    value: Value,
    keys: Sequence[OrderKey],
    after: Sequence[Value],
    translator: Translator,
) -> str | None:
    """Return the SQL of one key value of the place, None for null."""
    if value is None or isinstance(value, str):
        return None if value is None else translator.bind_text(key.expression.type, value)
    inner = Translator(translator.parameters)
    return _read_at(entity, inner.by_order(key.expression), keys, after, inner)


def _read_at(
    entity: EntityType,
    sql: str,
    keys: Sequence[OrderKey],
    after: Sequence[Value],
    inner: Translator,
) -> str:
    """Return the SQL that reads an expression, translated by ``inner``, from the entity at a place.

    An order contains the key of the entity, so the place has its values.
    """
    it = root(entity)
    has_key = " AND ".join(
        f"{inner.value(each.expression)} = {inner.bind_text(each.expression.type, str(text))}"
        for each, text in zip(keys, after, strict=True)
        if isinstance(each.expression, Column)
        and each.expression.instance is it
        and each.expression.member in entity.key
    )
    return f"(SELECT {sql} FROM {inner.from_clause(it)} WHERE {has_key})"


def _follows(key: OrderKey, sql: str, value: str | None) -> str | None:
    """Return the condition that a key follows a value, None if no value can follow it."""
    if not key.descending:
        return f"{sql} IS NOT NULL" if value is None else f"{sql} > {value}"
    if value is None:
        return None
    if key.expression.nullable:
        return f"({sql} < {value} OR {sql} IS NULL)"
    return f"{sql} < {value}"
