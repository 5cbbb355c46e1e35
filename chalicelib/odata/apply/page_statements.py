"""The statements of what ``$apply`` gives: a page of it as JSON, and how many rows it has."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from chalicelib.odata.apply.relation import Member, Nested, Rows
from chalicelib.odata.apply.sql import RowsTranslator
from chalicelib.odata.ast import TRUE, Node, OrderKey
from chalicelib.odata.edm import Edm
from chalicelib.odata.query.skip_token import Value
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql.json_functions import (
    TYPES_OF_JSON,
    JsonStyle,
    link_fields,
    type_name,
    value_text,
)
from chalicelib.odata.sql.keyset import after_place, order_by
from chalicelib.odata.sql.select_statements import Statement, all_conditions, existence_of, page_sql
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters

Members = tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class RowsPage:
    """Which rows: those that the condition holds for, in an order, after a place in it."""

    condition: Node
    order: tuple[OrderKey, ...]
    after: Sequence[Value] | None
    skip: int
    size: int
    with_count: bool


def rows_statement(
    resource: Resource, rows: Rows, members: Members, page: RowsPage, style: JsonStyle
) -> Statement:
    """Build the statement whose row is a page of rows, each with its members: see ``page_sql``."""
    parameters = QueryParameters(resource.principal)
    groups = None
    if page.condition is TRUE:
        groups = rows.page_of_groups(page.order, page.after, page.skip + page.size + 1)
    translator = RowsTranslator(parameters, all_conditions(resource), groups)
    keys = [translator.by_order(each.expression) for each in page.order]
    where = translator.truth(page.condition)
    names = [each.column for each in rows.columns()]
    columns = [translator.column(rows.it, each) for each in rows.columns()]
    source = translator.from_clause(rows.it)
    count = _count(resource, rows, page.condition, parameters) if page.with_count else "NULL"
    if page.after is not None and groups is None:
        where += f" AND {after_place(rows, page.order, keys, page.after, translator)}"
    listed = [f"{sql} AS {name}" for sql, name in zip(columns, names, strict=True)]
    listed += [f"{sql} AS k{number}" for number, sql in enumerate(keys)]
    order = f" ORDER BY {order_by(page.order)}" if keys else ""
    offset = f" OFFSET {translator.bind(Edm.INT64, page.skip)}" if page.skip else ""
    size = translator.bind(Edm.INT64, page.size)
    text = _Writer(rows, members, style, translator).row()
    selected = (
        f"(SELECT {', '.join(listed)} FROM {source} WHERE {where}{order}"
        f" LIMIT {size} + 1{offset}) AS e"
    )
    sql = page_sql(
        selected,
        "",
        text,
        len(keys),
        size,
        translator.bind(Edm.INT32, style.max_bytes),
        f"{count}, {existence_of(resource.parent, parameters)}",
    )
    return Statement(sql, parameters)


def rows_count_statement(resource: Resource, rows: Rows, condition: Node) -> Statement:
    """Build the statement whose row is: how many rows there are, whether the parent exists."""
    parameters = QueryParameters(resource.principal)
    count = _count(resource, rows, condition, parameters)
    return Statement(f"SELECT {count}, {existence_of(resource.parent, parameters)}", parameters)


def _count(resource: Resource, rows: Rows, condition: Node, parameters: QueryParameters) -> str:
    translator = RowsTranslator(parameters, all_conditions(resource))
    where = translator.truth(condition)
    return f"(SELECT count(*) FROM {translator.from_clause(rows.it)} WHERE {where})"


class _Writer:
    """Writes rows as JSON text.

    Names are the client's own words: they are bound, as values are.
    """

    def __init__(
        self, rows: Rows, members: Members, style: JsonStyle, translator: Translator
    ) -> None:
        self._rows = rows
        self._members = members
        self._style = style
        self._translator = translator

    def row(self) -> str:
        """Return SQL of the row ``e`` as text."""
        parts: list[_Part] = []
        if self._rows.are_entities:
            parts += self._identity()
        elif self._style.metadata != "none":
            parts.append(('"@odata.id":null', None))
        written: set[Nested] = set()
        for each in self._members:
            if each.nested is None:
                parts += self._property(each)
            elif each.nested not in written:
                written.add(each.nested)
                parts.append((f"{json.dumps(each.nested.name)}:", self._nested(each.nested)))
        return self._object(parts)

    def _nested(self, nested: Nested) -> str:
        members = (each for each in self._members if each.nested is nested)
        return self._object([part for each in members for part in self._property(each)])

    def _property(self, member: Member) -> "list[_Part]":
        prop = member.property
        parts: list[_Part] = []
        dynamic = member.nested is None and prop.name not in self._rows.base.by_name
        told = prop.type in (*TYPES_OF_JSON, Edm.NULL) and not prop.may_be_nan
        metadata = self._style.metadata
        if not told and (metadata == "full" or (dynamic and metadata == "minimal")):
            name = json.dumps(f"{prop.name}@odata.type", ensure_ascii=False)
            parts.append((f'{name}:"#{type_name(prop.type)}"', None))
        value = value_text(f"e.{prop.column}", prop.type, self._style)
        name = json.dumps(prop.name, ensure_ascii=False)
        return [*parts, (f"{name}:", f"COALESCE({value}, 'null')")]

    def _identity(self) -> "list[_Part]":
        """Return what names an entity, where the client cannot know it."""
        base, style = self._rows.base, self._style
        without_key = Member(base.key) not in self._members
        if not style.is_full and (not without_key or style.metadata == "none"):
            return []
        prefix = self._translator.bind(Edm.STRING, f"{style.service_root}/{base.entity_set}(")
        url = f"{prefix} || e.{base.key.column} || ')'"
        fields = [f'{url} AS "@odata.id"']
        if style.is_full:
            fields.insert(0, f"'#{base.qualified_name}' AS \"@odata.type\"")
            fields.append(f'{url} AS "@odata.editLink"')
            for each in base.navigations:
                fields += link_fields(each, url)
        links = f"(SELECT CAST(row_to_json(l) AS text) FROM (SELECT {', '.join(fields)}) AS l)"
        return [("", f"substr(left({links}, -1), 2)")]

    def _object(self, parts: "list[_Part]") -> str:
        """Return SQL of a JSON object."""
        joined: list[str] = []
        pending = "{"
        for number, (text, sql) in enumerate(parts):
            pending += text if number == 0 else f",{text}"
            if sql is not None:
                joined += [self._translator.bind(Edm.STRING, pending), f"({sql})"]
                pending = ""
        return " || ".join([*joined, self._translator.bind(Edm.STRING, pending + "}")])


# Text that is bound, and SQL of the text that follows it.
_Part = tuple[str, str | None]
