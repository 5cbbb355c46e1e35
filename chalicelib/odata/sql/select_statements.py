"""The whole statements: a page of entities, one entity, a count. Postgres writes the JSON.

Each is one SELECT whose row has the answer as text: reading a page as rows and writing JSON from
them here takes four times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib.odata.ast import Node, OrderKey
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.model import Property
from chalicelib.odata.query.projection import View
from chalicelib.odata.query.skip_token import Value
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql.entity_json import EntityJsonBuilder
from chalicelib.odata.sql.json_functions import JsonStyle, json_value
from chalicelib.odata.sql.keyset import after_place, order_by
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import Parameters


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL, and the values of its ``$1``, ``$2`` …"""

    sql: str
    parameters: Parameters


class RowReader(Protocol):
    """Runs one statement and returns its first row: see ``postgres.reader.Reader.row``."""

    def row(
        self, sql: str, parameters: Parameters, until: float | None = None
    ) -> list[Any] | None: ...


@dataclass(frozen=True, slots=True)
class Page:
    """Which entities: those that all conditions hold for, in an order, after a place in it."""

    conditions: tuple[Node, ...]
    order: tuple[OrderKey, ...]
    after: Sequence[Value] | None
    skip: int
    size: int
    with_count: bool


def all_conditions(resource: Resource, conditions: Sequence[Node] = ()) -> tuple[Node, ...]:
    """Return what the path says of each entity, and further conditions."""
    return (*resource.conditions(root(resource.entity)), *conditions)


def page_statement(resource: Resource, page: Page, view: View, style: JsonStyle) -> Statement:
    """Build the statement whose row is a page: see ``page_sql``."""
    parameters = Parameters(resource.principal)
    translator = Translator(parameters)
    writer = EntityJsonBuilder(style, parameters)
    it = view.it
    keys = [translator.by_order(each.expression) for each in page.order]
    conditions = _true_of(page.conditions, translator)
    if page.after is not None:
        conditions.append(after_place(resource.entity, page.order, keys, page.after, translator))
    columns = writer.columns(view, translator)
    columns += [f"{sql} AS k{number}" for number, sql in enumerate(keys)]
    offset = f" OFFSET {translator.bind(Edm.INT64, page.skip)}" if page.skip else ""
    size = translator.bind(Edm.INT64, page.size)
    count = _count(resource, page.conditions, parameters) if page.with_count else "NULL"
    text, join = writer.text(view, "e")
    rows = (
        f"(SELECT {', '.join(columns)} FROM {translator.from_clause(it)}"
        f" WHERE {' AND '.join(conditions)} ORDER BY {order_by(page.order)}"
        f" LIMIT {size} + 1{offset}) AS e"
    )
    sql = page_sql(
        rows,
        join,
        text,
        len(keys),
        size,
        translator.bind(Edm.INT32, style.most_bytes),
        f"{count}, {existence_of(resource.parent, parameters)}",
    )
    return Statement(sql, parameters)


def page_sql(rows: str, join: str, text: str, keys: int, size: str, most: str, further: str) -> str:
    """Return the SELECT of a page: of its rows, as many as are within so many bytes as JSON.

    Its columns: the rows as JSON with commas between, the place of the last one in the order as a
    JSON array, whether there are more, how many there are on the page, and the ``further`` ones.

    Args:
        rows: what follows FROM: one row more than the page may have, as ``e``, in their order.
        join: what they are joined with for their text.
        text: the SQL of a row's text; null is longer than any page.
        keys: how many columns ``k0``, ``k1`` … are the values of the order.
        size: the SQL of how many rows a page may have.
        most: the SQL of how many bytes.
        further: the SQL of more columns.
    """
    names = [f"k{number}" for number in range(keys)]
    place = ", ".join(f"CAST({name} AS text)" for name in names)
    values = "".join(f", {name}" for name in names)
    fits = f"bytes <= {most}"
    # Rows keep their order from level to level: no sum and no text needs one of its own. Without
    # OFFSET 0 the planner would write the text three times.
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


def entity_statement(resource: Resource, view: View, style: JsonStyle) -> Statement:
    """Build the statement whose row is one entity as JSON; it has none where there is none.

    The text is null where it is longer than an answer may be.
    """
    translator = Translator(Parameters(resource.principal))
    writer = EntityJsonBuilder(style, translator.parameters)
    columns = writer.columns(view, translator)
    entity = _one(resource, columns, translator)
    text, join = writer.text(view, "e")
    most = translator.bind(Edm.INT32, style.most_bytes)
    return Statement(
        f"SELECT CASE WHEN octet_length(text) <= {most} THEN text END"
        f" FROM (SELECT {text} AS text FROM ({entity}) AS e{join} OFFSET 0) AS written",
        translator.parameters,
    )


def value_statement(resource: Resource, member: Property) -> Statement:
    """Build the statement whose row is the value of one entity's property as text."""
    translator = Translator(Parameters(resource.principal))
    columns = [translator.column(root(resource.entity), member)]
    value = json_value(f"e.{member.column}", member.type, JsonStyle("", "none", False, 0, 0))
    return Statement(
        f"SELECT CAST({value} AS text) FROM ({_one(resource, columns, translator)}) AS e",
        translator.parameters,
    )


def count_statement(resource: Resource, conditions: Sequence[Node]) -> Statement:
    """Build the statement whose row is: how many entities there are, whether the parent exists."""
    parameters = Parameters(resource.principal)
    count = _count(resource, all_conditions(resource, conditions), parameters)
    return Statement(f"SELECT {count}, {existence_of(resource.parent, parameters)}", parameters)


def _one(resource: Resource, columns: Sequence[str], translator: Translator) -> str:
    """Return the SELECT of what a path to one entity leads to."""
    where = " AND ".join(_true_of(all_conditions(resource), translator))
    source = translator.from_clause(root(resource.entity))
    return f"SELECT {', '.join(columns)} FROM {source} WHERE {where}"


def _count(resource: Resource, conditions: Sequence[Node], parameters: Parameters) -> str:
    translator = Translator(parameters)
    where = " AND ".join(_true_of(conditions, translator))
    source = translator.from_clause(root(resource.entity))
    return f"(SELECT count(*) FROM {source} WHERE {where})"


def _true_of(conditions: Sequence[Node], translator: Translator) -> list[str]:
    return [translator.truth(each) for each in conditions] or ["TRUE"]


def existence_of(parent: Resource | None, parameters: Parameters) -> str:
    """Return SQL that says whether what a navigation started from exists."""
    if parent is None:
        return "TRUE"
    translator = Translator(parameters)
    key = translator.column(root(parent.entity), parent.entity.key)
    return f"EXISTS ({_one(parent, [key], translator)})"
