"""The whole statements: a page of entities, one entity, a count. Postgres writes the JSON.

Each is one SELECT whose row has the answer as text: reading a page as rows and writing JSON from
them here takes four times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions import root
from chalicelib.odata.model import EntityType, Property
from chalicelib.odata.paging import Value, beyond, order_by
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql import Translator
from chalicelib.odata.tree import TRUE, Junction, Node, OrderKey

Parameters = list[str]


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL, and the values of its ``$1``, ``$2`` …"""

    sql: str
    parameters: Parameters


class Rows(Protocol):
    """Runs one statement and returns its first row: see ``postgres.reader.Reader.row``."""

    def row(self, sql: str, parameters: Sequence[str]) -> list[Any] | None: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """How an entity is written as JSON.

    ``numbers_as_text`` is for clients to whom every number is a double (IEEE754Compatible).
    ``prefix`` is the URL of an entity up to its key, where ``@odata.id`` is to be written; ``full``
    asks for whatever else ``odata.metadata=full`` writes.
    """

    properties: tuple[Property, ...]
    numbers_as_text: bool = False
    prefix: str | None = None
    full: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Which entities: those that all conditions hold for, in an order, after a place in it."""

    conditions: tuple[Node, ...]
    order: tuple[OrderKey, ...]
    after: Sequence[Value] | None
    skip: int
    size: int
    with_count: bool


def conditions_of(resource: Resource, condition: Node = TRUE) -> tuple[Node, ...]:
    """Return what the path says, and the conjuncts of a condition."""
    conjuncts: tuple[Node, ...] = (condition,)
    if isinstance(condition, Junction) and condition.operator == "and":
        conjuncts = condition.operands
    return (*resource.conditions(root(resource.entity)), *conjuncts)


def page_statement(resource: Resource, page: Page, shape: Shape) -> Statement:
    """Build the statement whose row is a page.

    Its columns: the entities as JSON with commas between, the place of the last one in the order as
    a JSON array, whether there are more, the count, whether the parent exists.
    """
    parameters: Parameters = []
    translator = Translator(parameters)
    it = root(resource.entity)
    keys = [translator.by_order(each.expression) for each in page.order]
    conditions = [translator.truth(each) for each in page.conditions]
    if page.after is not None:
        conditions.append(beyond(resource.entity, page.order, keys, page.after, translator))
    columns = [translator.column(it, each) for each in _stored(shape, resource.entity)]
    columns += [f"{sql} AS k{number}" for number, sql in enumerate(keys)]
    place = ", ".join(f"CAST(k{number} AS text)" for number in range(len(keys)))
    offset = f" OFFSET {translator.bind(Edm.INT64, page.skip)}" if page.skip else ""
    size = translator.bind(Edm.INT64, page.size)
    count = _count(resource, page.conditions, parameters) if page.with_count else "NULL"
    return Statement(
        f"SELECT string_agg(CAST(row_to_json(r) AS text), ',' ORDER BY n)"
        f" FILTER (WHERE n <= {size}),"
        f" max(CAST(json_build_array({place}) AS text)) FILTER (WHERE n = {size}),"
        f" count(*) > {size}, {count}, {_existence(resource.parent, parameters)}"
        " FROM (SELECT e.*, row_number() OVER () AS n"
        f" FROM (SELECT {', '.join(columns)} FROM {translator.from_clause(it)}"
        f" WHERE {' AND '.join(conditions)} ORDER BY {order_by(page.order)}"
        f" LIMIT {size} + 1{offset}) AS e) AS e"
        f" CROSS JOIN LATERAL (SELECT {_written(resource.entity, shape, translator)}) AS r",
        parameters,
    )


def entity_statement(resource: Resource, shape: Shape) -> Statement:
    """Build the statement whose row is one entity as JSON; it has none where there is none."""
    translator = Translator()
    entity = _one(resource, _stored(shape, resource.entity), translator)
    return Statement(
        f"SELECT CAST(row_to_json(r) AS text) FROM ({entity}) AS e"
        f" CROSS JOIN LATERAL (SELECT {_written(resource.entity, shape, translator)}) AS r",
        translator.parameters,
    )


def value_statement(resource: Resource, member: Property) -> Statement:
    """Build the statement whose row is the value of one entity's property as text."""
    translator = Translator()
    entity = _one(resource, (member,), translator)
    return Statement(
        f"SELECT CAST({_json_value(member, numbers_as_text=False)} AS text) FROM ({entity}) AS e",
        translator.parameters,
    )


def count_statement(resource: Resource, condition: Node) -> Statement:
    """Build the statement whose row is: how many entities there are, whether the parent exists."""
    parameters: Parameters = []
    count = _count(resource, conditions_of(resource, condition), parameters)
    return Statement(f"SELECT {count}, {_existence(resource.parent, parameters)}", parameters)


def _one(resource: Resource, properties: Sequence[Property], translator: Translator) -> str:
    """Return the SELECT of what a path to one entity leads to."""
    it = root(resource.entity)
    where = " AND ".join(translator.truth(each) for each in conditions_of(resource))
    columns = ", ".join(translator.column(it, each) for each in properties)
    return f"SELECT {columns} FROM {translator.from_clause(it)} WHERE {where}"


def _count(resource: Resource, conditions: Sequence[Node], parameters: Parameters) -> str:
    translator = Translator(parameters)
    where = " AND ".join(translator.truth(each) for each in conditions)
    source = translator.from_clause(root(resource.entity))
    return f"(SELECT count(*) FROM {source} WHERE {where})"


def _existence(parent: Resource | None, parameters: Parameters) -> str:
    if parent is None:
        return "TRUE"
    return f"EXISTS ({_one(parent, (parent.entity.key,), Translator(parameters))})"


def _stored(shape: Shape, entity: EntityType) -> tuple[Property, ...]:
    """Return the properties to read: those to write, and the key where a URL is made of it."""
    if shape.prefix is None or entity.key in shape.properties:
        return shape.properties
    return (*shape.properties, entity.key)


def _written(entity: EntityType, shape: Shape, translator: Translator) -> str:
    """Return the select list that row_to_json makes an entity of."""
    fields: list[str] = []
    if shape.prefix is not None:
        prefix = translator.bind(Edm.STRING, shape.prefix)
        url = f"{prefix} || e.{entity.key.column} || ')'"
        if shape.full:
            fields.append(f"'#{entity.qualified_name}' AS \"@odata.type\"")
        fields.append(f'{url} AS "@odata.id"')
        if shape.full:
            fields.append(f'{url} AS "@odata.editLink"')
            fields += [
                f"{url} || '/{each.name}' AS \"{each.name}@odata.navigationLink\""
                for each in entity.navigations
            ]
    for each in shape.properties:
        if shape.full and each.type not in TYPES_OF_JSON:
            name = each.type.value.removeprefix("Edm.")
            fields.append(f"'#{name}' AS \"{each.name}@odata.type\"")
        fields.append(
            f'{_json_value(each, numbers_as_text=shape.numbers_as_text)} AS "{each.name}"'
        )
    return ", ".join(fields)


# What a client knows from JSON alone. JSON 4.01, section 4.5.3.
TYPES_OF_JSON = (Edm.STRING, Edm.BOOLEAN, Edm.DOUBLE)


def _json_value(prop: Property, *, numbers_as_text: bool) -> str:
    """Return the value of a property as row_to_json is to write it."""
    column = f"e.{prop.column}"
    if prop.type is Edm.DATE_TIME_OFFSET:
        return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    if numbers_as_text and prop.type in (Edm.INT64, Edm.DECIMAL):
        return f"CAST({column} AS text)"
    return column
