"""Where a page ends and the next one starts: the order of entities, and tokens of a place in it.

A page starts after the values that the last entity of the page before had in the order, not after a
number of entities: what is inserted or deleted meanwhile moves nothing, and the page 5,000 is found
in an index as fast as the first. JSON 4.01, section 4.5.5 (nextLink).
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from chalicelib.errors import InvalidError
from chalicelib.odata.expressions import tree
from chalicelib.odata.expressions.reader import root
from chalicelib.odata.expressions.tree import Column, Comparison, Node, OrderKey, Variable
from chalicelib.odata.model import EntityType
from chalicelib.odata.sql.translator import Translator

# The value of a key of an order, in Postgres' text. True stands for a text too long for a URL: it
# is read again from the entity, which the last key names.
Value = str | Literal[True] | None

# What no text of Postgres has.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_DIGEST_BYTES = 12
_MAX_LENGTH = 200


@dataclass(frozen=True, slots=True)
class SkipToken:
    """A place in the order of a query.

    ``after`` are the values of the order's keys there. ``remaining`` is what is left of ``$top``,
    ``count`` what ``$count`` found on the first page, ``size`` the size of the pages.
    """

    after: tuple[Value, ...]
    remaining: int | None
    count: int | None
    size: int

    @classmethod
    def after_last(
        cls, keys: str, remaining: int | None, count: int | None, size: int
    ) -> "SkipToken":
        """Make the token of the place after an entity whose ``keys`` are a JSON array of texts."""
        after: list[Value] = json.loads(keys)
        for position, value in enumerate(after):
            if isinstance(value, str) and len(value) > _MAX_LENGTH:
                after[position] = True
        return cls(tuple(after), remaining, count, size)

    def encode(self, query: Sequence[object]) -> str:
        """Write the token as text for the query that it belongs to."""
        body = json.dumps(
            [self.after, self.remaining, self.count, self.size], separators=(",", ":")
        )
        return base64.urlsafe_b64encode(_digest(body, query) + body.encode()).decode().rstrip("=")

    @classmethod
    def decode(
        cls, text: str, query: Sequence[object], keys: int, *, of_entity: bool = True
    ) -> "SkipToken":
        """Read a token back. The last key is an entity's own, unless ``of_entity`` is false.

        Raises:
            InvalidError: it is none that this service made for this query.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body = raw[_DIGEST_BYTES:].decode()
            if raw[:_DIGEST_BYTES] != _digest(body, query):
                raise ValueError("digest")
            after, remaining, count, size = json.loads(body)
            if not (
                _is_place(after, keys, of_entity)
                and all(n is None or _is_natural(n) for n in (remaining, count))
                and _is_natural(size)
                and size > 0
            ):
                raise ValueError("values")
            return cls(tuple(after), remaining, count, size)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidError(
                "$skiptoken is not from a nextLink of this query.", target="$skiptoken"
            ) from error


def _digest(body: str, query: Sequence[object]) -> bytes:
    """Tell a token from one that was changed, or belongs to another query.

    This guards against mistakes. It is no secret's work, and need not be: a token says nothing that
    a filter could not say, and whatever bounds a filter bounds the page after a token.
    """
    return blake2b(f"{body}{json.dumps(query)}".encode(), digest_size=_DIGEST_BYTES).digest()


def _is_place(after: object, keys: int, of_entity: bool) -> bool:
    """Say whether this can be the values of so many keys, of which the last is the entity's own."""
    return (
        isinstance(after, list)
        and len(after) == keys
        and all(each is None or (each is True and of_entity) or _is_text(each) for each in after)
        and (not of_entity or _is_text(after[-1]))
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _NO_TEXT.search(value)


def _is_natural(number: object) -> bool:
    return type(number) is int and 0 <= number < 2**62


def whole_order(
    it: Variable, keys: tuple[OrderKey, ...], conditions: Sequence[Node]
) -> tuple[OrderKey, ...]:
    """Complete an order so that no two entities are equal in it.

    The entity's key is added in the direction of the last key: then an index can be read in one
    direction. Who asks for no order gets one that an index has, by the conditions or else by key.
    """
    entity = it.entity
    if not keys:
        keys = tuple(
            OrderKey(Column(it, entity.structural(then)), descending=False)
            for fixed, then in entity.orders
            if any(_fixes(each, it, fixed) for each in conditions)
        )[:1]
    for position, each in enumerate(keys):
        if _is_column(each.expression, it, entity.key.name):
            return keys[: position + 1]
    descending = bool(keys) and keys[-1].descending
    return (*keys, OrderKey(Column(it, entity.key), descending))


def _fixes(condition: Node, it: Variable, name: str) -> bool:
    """Say whether the condition leaves a property one value."""
    return (
        isinstance(condition, Comparison)
        and condition.operator == "eq"
        and isinstance(condition.right, tree.Literal)
        and _is_column(condition.left, it, name)
    )


def _is_column(node: Node, it: Variable, name: str) -> bool:
    return isinstance(node, Column) and node.instance is it and node.member.name == name


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


def beyond(
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
