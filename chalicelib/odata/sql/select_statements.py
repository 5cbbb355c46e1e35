"""Build the complete SELECT statements: a page of entities, one entity, one value, a count.

Each statement returns one row with the response as JSON text. Postgres writes the JSON: fetching
rows and serializing them in Python takes four times as long. ``translator`` builds the conditions,
``entity_json`` the text of an entity, ``keyset`` the paging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib.odata.ast import Node, OrderKey
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.model import Property
from chalicelib.odata.query.projection import Projection
from chalicelib.odata.query.skip_token import Value
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql.entity_json import EntityJsonBuilder
from chalicelib.odata.sql.json_functions import JsonStyle, json_value
from chalicelib.odata.sql.keyset import after_place, has_long_values, order_by, with_place
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with the values of its parameters ``$1``, ``$2`` …"""

    sql: str
    parameters: QueryParameters


class RowReader(Protocol):
    """Runs one statement and returns its first row: see ``postgres.read_session``."""

    def row(
        self, sql: str, parameters: QueryParameters, until: float | None = None
    ) -> list[Any] | None: ...


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the entities that meet all conditions, sorted, after a place in the order."""

    conditions: tuple[Node, ...]
    order: tuple[OrderKey, ...]
    after: Sequence[Value] | None
    skip: int
    size: int
    with_count: bool


def all_conditions(resource: Resource, conditions: Sequence[Node] = ()) -> tuple[Node, ...]:
    """Return the conditions of the resource path, followed by further ones."""
    return (*resource.conditions(root(resource.entity)), *conditions)


def page_statement(
    resource: Resource, page: Page, projection: Projection, style: JsonStyle
) -> Statement:
    """Build the statement that returns a page of entities: see ``page_sql``."""
    parameters = QueryParameters(resource.principal)
    translator = Translator(parameters)
    builder = EntityJsonBuilder(style, parameters)
    it = projection.it
    keys = [translator.by_order(each.expression) for each in page.order]
    conditions = _where(page.conditions, translator)
    where = " AND ".join(conditions)
    if page.after is not None:
        follows = after_place(resource.entity, page.order, keys, page.after, translator)
        where = with_place(conditions, page.order, follows)
    columns = builder.columns(projection, translator)
    columns += [f"{sql} AS k{number}" for number, sql in enumerate(keys)]
    offset = f" OFFSET {translator.bind(Edm.INT64, page.skip)}" if page.skip else ""
    size = translator.bind(Edm.INT64, page.size)
    count = _count(resource, page.conditions, parameters) if page.with_count else "NULL"
    place = has_long_values(resource.entity, page.order, page.after, parameters)
    text, join = builder.text(projection, "e")
    rows = (
        f"(SELECT {', '.join(columns)} FROM {translator.from_clause(it)}"
        f" WHERE {where} ORDER BY {order_by(page.order)}"
        f" LIMIT {size} + 1{offset}) AS e"
    )
    sql = page_sql(
        rows,
        join,
        text,
        len(keys),
        size,
        translator.bind(Edm.INT32, style.max_bytes),
        f"{count}, {place}, {existence_of(resource.parent, parameters)}",
    )
    return Statement(sql, parameters)


def page_sql(rows: str, join: str, text: str, keys: int, size: str, most: str, further: str) -> str:
    """Return the SELECT of a page that is limited in rows and in bytes of JSON.

    Its columns: the rows as JSON, separated by commas; the order keys of the last row as a JSON
    array, if the byte limit ended the page; whether there are more rows; the number of rows on the
    page; and the ``further`` columns.

    Args:
        rows: what follows FROM: the sorted rows as ``e``, one more than the page may have.
        join: the join that ``text`` requires.
        text: the SQL of a row's JSON; null means longer than any page.
        keys: the number of columns ``k0``, ``k1`` … with order keys.
        size: the SQL of the maximum number of rows.
        most: the SQL of the maximum number of bytes.
        further: the SQL of additional columns.
    """
    names = [f"k{number}" for number in range(keys)]
    place = ", ".join(f"CAST({name} AS text)" for name in names)
    values = "".join(f", {name}" for name in names)
    fits = f"bytes <= {most}"
    # The subselects preserve the order of the rows, so no sum and no aggregate sorts again. Without
    # OFFSET 0 the planner would flatten the subselect and compute the text three times.
    return (
        f"SELECT string_agg(text, ',') FILTER (WHERE {fits}),"
        f" max(CAST(json_build_array({place}) AS text))"
        f" FILTER (WHERE {fits} AND bytes + next > {most}),"
        f" count(*) > count(*) FILTER (WHERE {fits}), count(*) FILTER (WHERE {fits}), {further}"
        f" FROM (SELECT text{values}, sum(length) OVER w AS bytes, lead(length) OVER w AS next"
        f" FROM (SELECT text{values}, COALESCE(octet_length(text), {most}) + 1 AS length"
        f" FROM (SELECT CASE WHEN n <= {size} THEN {text} END AS text{values}"
        f" FROM (SELECT e.*, row_number() OVER () AS n FROM {rows}) AS e{join} OFFSET 0)"
        " AS written) AS measured WINDOW w AS (ROWS UNBOUNDED PRECEDING)) AS page"
    )


def entity_statement(resource: Resource, projection: Projection, style: JsonStyle) -> Statement:
    """Build the statement that returns one entity as JSON, or no row if it does not exist.

    The text is null if it exceeds the maximum size of a response.
    """
    translator = Translator(QueryParameters(resource.principal))
    builder = EntityJsonBuilder(style, translator.parameters)
    columns = builder.columns(projection, translator)
    entity = _one(resource, columns, translator)
    text, join = builder.text(projection, "e")
    most = translator.bind(Edm.INT32, style.max_bytes)
    return Statement(
        f"SELECT CASE WHEN octet_length(text) <= {most} THEN text END"
        f" FROM (SELECT {text} AS text FROM ({entity}) AS e{join} OFFSET 0) AS written",
        translator.parameters,
    )


def value_statement(resource: Resource, member: Property) -> Statement:
    """Build the statement that returns the value of one entity's property as text."""
    translator = Translator(QueryParameters(resource.principal))
    columns = [translator.column(root(resource.entity), member)]
    value = json_value(f"e.{member.column}", member.type, JsonStyle("", "none", False, 0, 0))
    return Statement(
        f"SELECT CAST({value} AS text) FROM ({_one(resource, columns, translator)}) AS e",
        translator.parameters,
    )


def count_statement(resource: Resource, conditions: Sequence[Node]) -> Statement:
    """Build the statement that returns a count of entities, and whether the parent exists."""
    parameters = QueryParameters(resource.principal)
    count = _count(resource, all_conditions(resource, conditions), parameters)
    return Statement(f"SELECT {count}, {existence_of(resource.parent, parameters)}", parameters)


def _one(resource: Resource, columns: Sequence[str], translator: Translator) -> str:
    """Return the SELECT of the entity that a path leads to."""
    where = " AND ".join(_where(all_conditions(resource), translator))
    source = translator.from_clause(root(resource.entity))
    return f"SELECT {', '.join(columns)} FROM {source} WHERE {where}"


def _count(resource: Resource, conditions: Sequence[Node], parameters: QueryParameters) -> str:
    translator = Translator(parameters)
    where = " AND ".join(_where(conditions, translator))
    source = translator.from_clause(root(resource.entity))
    return f"(SELECT count(*) FROM {source} WHERE {where})"


def _where(conditions: Sequence[Node], translator: Translator) -> list[str]:
    return [translator.truth(each) for each in conditions] or ["TRUE"]


def existence_of(parent: Resource | None, parameters: QueryParameters) -> str:
    """Return the SQL condition that the parent of a navigation exists."""
    if parent is None:
        return "TRUE"
    translator = Translator(parameters)
    key = translator.column(root(parent.entity), parent.entity.key[0])
    return f"EXISTS ({_one(parent, [key], translator)})"
