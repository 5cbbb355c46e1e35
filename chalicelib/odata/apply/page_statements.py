"""Build the statements of a relation: a page of its rows as JSON, and the number of its rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from chalicelib.odata.apply.relation import Attribute, GroupedNavigation, Relation
from chalicelib.odata.apply.relation_sql import RelationTranslator, needs_fence
from chalicelib.odata.ast import TRUE, Node, OrderKey
from chalicelib.odata.edm import Edm
from chalicelib.odata.query.skip_token import Value
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql.json_functions import (
    TYPES_OF_JSON,
    JsonStyle,
    entity_url,
    link_fields,
    type_name,
    value_text,
)
from chalicelib.odata.sql.keyset import after_place, order_by, with_place
from chalicelib.odata.sql.select_statements import Statement, all_conditions, existence_of, page_sql
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters


@dataclass(frozen=True, slots=True)
class RelationPage:
    """A page of the rows that a condition holds for, in an order.

    ``after`` has the values of the order in the last row of the page before, None on the first.
    """

    condition: Node
    order: tuple[OrderKey, ...]
    after: Sequence[Value] | None
    skip: int
    size: int
    with_count: bool


def relation_page_statement(
    resource: Resource,
    relation: Relation,
    attributes: Sequence[Attribute],
    page: RelationPage,
    style: JsonStyle,
) -> Statement:
    """Build the statement of a page with these attributes; ``page_sql`` describes its columns."""
    parameters = QueryParameters(resource.principal)
    groups = None
    if page.condition is TRUE:
        limit = page.skip + page.size + 1
        groups = relation.select_page_of_groups(page.order, page.after, limit)
    evaluated = (page.condition, *(each.expression for each in page.order))
    fenced = needs_fence(relation, evaluated)
    translator = RelationTranslator(parameters, all_conditions(resource), fenced, groups)
    keys = [translator.by_order(each.expression) for each in page.order]
    where = translator.truth(page.condition)
    selected = [
        f"{translator.column(relation.it, each)} AS {each.column}"
        for each in relation.all_columns()
    ]
    source = translator.from_clause(relation.it)
    count = _count(resource, relation, page.condition, parameters) if page.with_count else "NULL"
    if page.after is not None and groups is None:
        follows = after_place(relation, page.order, keys, page.after, translator)
        where = with_place([where], page.order, follows)
    selected += [f"{sql} AS k{number}" for number, sql in enumerate(keys)]
    order = f" ORDER BY {order_by(page.order)}" if keys else ""
    offset = f" OFFSET {translator.bind(Edm.INT64, page.skip)}" if page.skip else ""
    size = translator.bind(Edm.INT64, page.size)
    text = _JsonWriter(relation, attributes, style, translator).row()
    rows = (
        f"(SELECT {', '.join(selected)} FROM {source} WHERE {where}{order}"
        f" LIMIT {size} + 1{offset}) AS e"
    )
    sql = page_sql(
        rows,
        "",
        text,
        len(keys),
        size,
        translator.bind(Edm.INT32, style.max_bytes),
        f"{count}, TRUE, {existence_of(resource.parent, parameters)}",
    )
    return Statement(sql, parameters)


def relation_count_statement(resource: Resource, relation: Relation, condition: Node) -> Statement:
    """Build the statement of the count. Its columns: the count, and whether the parent exists."""
    parameters = QueryParameters(resource.principal)
    count = _count(resource, relation, condition, parameters)
    return Statement(f"SELECT {count}, {existence_of(resource.parent, parameters)}", parameters)


def _count(
    resource: Resource, relation: Relation, condition: Node, parameters: QueryParameters
) -> str:
    fenced = needs_fence(relation, (condition,))
    translator = RelationTranslator(parameters, all_conditions(resource), fenced)
    where = translator.truth(condition)
    return f"(SELECT count(*) FROM {translator.from_clause(relation.it)} WHERE {where})"


# Text that is bound, and the SQL of the text that follows it. If nulls are omitted, the SQL may be
# null, and then the part is omitted.
_Part = tuple[str, str | None]


class _JsonWriter:
    """Writes the SQL that makes the JSON of a row.

    Property names come from the client, so they are bound like values.
    """

    def __init__(
        self,
        relation: Relation,
        attributes: Sequence[Attribute],
        style: JsonStyle,
        translator: Translator,
    ) -> None:
        self._relation = relation
        self._attributes = attributes
        self._style = style
        self._translator = translator

    def row(self) -> str:
        """Return the SQL of the row ``e`` as JSON text."""
        relation = self._relation
        if relation.kind_number is None:
            return self._row(self._attributes, relation.has_entities)
        cases = []
        for number, kind in enumerate(relation.kinds):
            attributes = [each for each in self._attributes if each not in kind.absent]
            cases.append(f"WHEN {number} THEN {self._row(attributes, kind.are_entities)}")
        return f"CASE e.{relation.kind_number.column} {' '.join(cases)} END"

    def _row(self, attributes: Sequence[Attribute], is_entity: bool) -> str:
        """Return the SQL of a row that has these attributes."""
        parts: list[_Part] = []
        if is_entity:
            parts += self._identity(attributes)
        elif self._style.metadata != "none":
            parts.append(('"@odata.id":null', None))
        written: set[GroupedNavigation] = set()
        for each in attributes:
            navigation = each.navigation
            if navigation is None:
                parts += self._property(each)
            elif navigation not in written:
                written.add(navigation)
                inner = [one for one in attributes if one.navigation is navigation]
                value = self._object([part for one in inner for part in self._property(one)])
                parts.append((f"{json.dumps(navigation.name)}:", value))
        return self._object(parts)

    def _property(self, attribute: Attribute) -> list[_Part]:
        prop = attribute.property
        annotation = ""
        is_dynamic = attribute.navigation is None and (prop.name not in self._relation.base.by_name)
        # JSON 4.01, section 4.6.3: clients infer these types from the value.
        is_inferred = prop.type in (*TYPES_OF_JSON, Edm.NULL) and not prop.may_be_nan
        metadata = self._style.metadata
        if not is_inferred and (metadata == "full" or (is_dynamic and metadata == "minimal")):
            name = json.dumps(f"{prop.name}@odata.type", ensure_ascii=False)
            annotation = f'{name}:"#{type_name(prop.type)}",'
        value = value_text(f"e.{prop.column}", prop.type, self._style)
        if not self._style.omit_nulls:
            value = f"COALESCE({value}, 'null')"
        return [(f"{annotation}{json.dumps(prop.name, ensure_ascii=False)}:", value)]

    def _identity(self, attributes: Sequence[Attribute]) -> list[_Part]:
        """Return the control information of an entity that the client cannot compute."""
        base, style = self._relation.base, self._style
        has_key = {each.name for each in base.key} <= {each.property.name for each in attributes}
        if not style.is_full and (has_key or style.metadata == "none"):
            return []
        bind = partial(self._translator.bind, Edm.STRING)
        url = entity_url(base, "e", style.service_root, bind)
        fields = [f'{url} AS "@odata.id"']
        if style.is_full:
            fields.insert(0, f"'#{base.qualified_name}' AS \"@odata.type\"")
            fields.append(f'{url} AS "@odata.editLink"')
            for each in base.navigations:
                fields += link_fields(each, url)
        links = f"(SELECT CAST(row_to_json(l) AS text) FROM (SELECT {', '.join(fields)}) AS l)"
        return [("", f"substr(left({links}, -1), 2)")]

    def _object(self, parts: list[_Part]) -> str:
        """Return the SQL of a JSON object."""
        if self._style.omit_nulls:
            members = " || ".join(map(self._optional, parts)) or "''"
            return f"'{{' || ltrim({members}, ',') || '}}'"
        joined: list[str] = []
        pending = "{"
        for number, (text, sql) in enumerate(parts):
            pending += text if number == 0 else f",{text}"
            if sql is not None:
                joined += [self._translator.bind(Edm.STRING, pending), f"({sql})"]
                pending = ""
        return " || ".join([*joined, self._translator.bind(Edm.STRING, pending + "}")])

    def _optional(self, part: _Part) -> str:
        """Return the SQL of a part with a comma before it; empty if the part is null."""
        text, sql = part
        bound = self._translator.bind(Edm.STRING, f",{text}")
        return bound if sql is None else f"COALESCE({bound} || ({sql}), '')"
