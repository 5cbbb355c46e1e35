"""Answer a request that has ``$apply``: its rows, or their number.

The other options read what ``$apply`` gives, and its properties: OData Extension for Data
Aggregation 4.0, section 3.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.apply.page_statements import RowsPage, rows_count_statement, rows_statement
from chalicelib.odata.apply.pipeline import ApplyBounds
from chalicelib.odata.apply.relation import Member, Rows
from chalicelib.odata.apply.transformations import read_apply
from chalicelib.odata.ast import TRUE, Column, LogicalOperation, Node, OrderKey
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions.analyzer import parse_condition, parse_order
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType
from chalicelib.odata.query.options import Options
from chalicelib.odata.query.page_request import PageRequest, PageSizes
from chalicelib.odata.query.parse_query import are_kept
from chalicelib.odata.query.search import read_search
from chalicelib.odata.resource import Resource
from chalicelib.odata.response import Answer, ODataResponse
from chalicelib.odata.sql.select_statements import Statement

_OF_ROWS = (
    "$apply",
    "$filter",
    "$search",
    "$orderby",
    "$select",
    "$top",
    "$skip",
    "$count",
    "$format",
)
_UNSUPPORTED = ("$expand", "$compute")

# A text that may be longer would make a link too long; such an order is paged by numbers of rows.
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Applied:
    """What the options of a request say: rows, which of them, and their order."""

    rows: Rows
    condition: Node
    order: tuple[OrderKey, ...]


def collection(
    resource: Resource,
    options: Options,
    headers: Mapping[str, str],
    answer: Answer,
    bounds: ApplyBounds,
    sizes: PageSizes,
    max_bytes: int,
) -> tuple[Statement, "Rest"]:
    """Return the statement whose row is a page of rows, and how to answer with that row."""
    _require_supported(options, "$skiptoken")
    applied = _read(resource.entity, options, bounds)
    members, context = _selected(applied.rows, options.text("$select"))
    # The place of a row is the values of its order, where they are short.
    by_place = all(map(_is_short, applied.order))
    asked = PageRequest.of(
        resource,
        options,
        headers,
        sizes,
        len(applied.order) if by_place else 1,
        of_entity=False,
    )
    token = asked.token
    page = RowsPage(
        applied.condition,
        applied.order,
        after=token.after if token and by_place else None,
        skip=_rows_before(token.after[0]) if token and not by_place else asked.skip,
        size=asked.entities,
        with_count=asked.must_count,
    )
    statement = rows_statement(resource, applied.rows, members, page, answer.style(0, max_bytes))
    return statement, Rest(resource, asked, page, answer, context, by_place)


@dataclass(frozen=True, slots=True)
class Rest:
    """How to answer with the row of a page."""

    resource: Resource
    asked: PageRequest
    page: RowsPage
    answer: Answer
    context: str
    by_place: bool

    def of(self, row: Sequence[Any]) -> ODataResponse:
        if not self.by_place:
            row = [row[0], json.dumps([str(self.page.skip + row[3])]), *row[2:]]
        fragment = f"#{self.resource.entity.entity_set}{self.context}"
        return self.answer.page(self.resource, self.asked, row, fragment)


def count(resource: Resource, options: Options, bounds: ApplyBounds) -> Statement:
    """Return the statement whose row is: how many rows there are, whether the parent exists."""
    _require_supported(options)
    options.natural("$top"), options.natural("$skip"), options.boolean("$count")
    applied = _read(resource.entity, options, bounds)
    _selected(applied.rows, options.text("$select"))
    return rows_count_statement(resource, applied.rows, applied.condition)


def _require_supported(options: Options, *further: str) -> None:
    for name in _UNSUPPORTED:
        if options.text(name) is not None:
            raise NotImplementedByServiceError(
                f"{name} with $apply is not supported, but compute(…) is as a part of it.",
                target=name,
            )
    options.allow(*_OF_ROWS, *further)


def _read(entity: EntityType, options: Options, bounds: ApplyBounds) -> Applied:
    texts = tuple(map(options.text, ("$filter", "$search", "$orderby")))
    aliases = tuple(options.aliases.items())
    apply = options.text("$apply") or ""
    kept = are_kept(apply, *texts, *options.aliases.values())
    read = _read_once if kept else _read_once.__wrapped__
    return read(entity, apply, texts, aliases, bounds)


@lru_cache(maxsize=256)
def _read_once(
    entity: EntityType,
    apply: str,
    texts: tuple[str | None, ...],
    alias_items: tuple[tuple[str, str], ...],
    bounds: ApplyBounds,
) -> Applied:
    filter_, search, orderby = texts
    aliases = dict(alias_items)
    rows = read_apply(apply, entity, aliases, bounds)
    scope, expressions = Scope.of(rows.it), bounds.expressions
    condition: Node = TRUE
    if filter_ is not None:
        tokens = tokenize(Span.of(filter_, "$filter"), aliases, expressions)
        condition = parse_condition(tokens, "$filter", scope, expressions)
    if search is not None:
        found = read_search(Span.of(search, "$search"), rows.it, expressions)
        condition = found if condition is TRUE else LogicalOperation("and", (condition, found))
    order: tuple[OrderKey, ...] = ()
    if orderby is not None:
        tokens = tokenize(Span.of(orderby, "$orderby"), aliases, expressions)
        order = parse_order(tokens, "$orderby", scope, expressions)
    return Applied(rows, condition, _without_repeats((*order, *rows.total_order())))


def _without_repeats(order: tuple[OrderKey, ...]) -> tuple[OrderKey, ...]:
    """Leave out the columns that are in the order already."""
    keys: dict[object, OrderKey] = {}
    for key in order:
        node = key.expression
        keys.setdefault((node.instance, node.member) if isinstance(node, Column) else node, key)
    return tuple(keys.values())


def _selected(rows: Rows, text: str | None) -> tuple[tuple[Member, ...], str]:
    """Return what is to be written, and what the context URL says of it."""
    members = rows.members
    if text is not None:
        names = [each.strip() for each in text.split(",")]
        for name in names:
            if name != "*" and not any(_names(name, each) for each in members):
                raise InvalidError(f"{rows.name} has no property {name[:100]}.", target="$select")
        if "*" not in names:
            members = tuple(each for each in members if any(_names(name, each) for name in names))
    names_of = (each.property.name for each in members)
    dynamic = [name for name in names_of if name not in rows.base.by_name]
    if rows.are_entities and members == rows.members:
        return members, f"({','.join(['*', *dynamic])})" if dynamic else ""
    return members, f"({','.join(_listed(members))})"


def _names(name: str, member: Member) -> bool:
    if member.nested is None:
        return name == member.property.name
    return name in (member.nested.name, f"{member.nested.name}/{member.property.name}")


def _listed(members: tuple[Member, ...]) -> list[str]:
    """List members as context URLs do: Protocol 4.01, section 10.7."""
    found: dict[str, str] = {}
    for each in members:
        if each.nested is None:
            found[each.property.name] = each.property.name
        elif each.nested.name not in found:
            inner = (one.property.name for one in members if one.nested is each.nested)
            found[each.nested.name] = f"{each.nested.name}({','.join(inner)})"
    return list(found.values())


def _is_short(key: OrderKey) -> bool:
    node = key.expression
    if node.type is not Edm.STRING:
        return True
    member = getattr(node, "member", None)
    return bool(member and member.max_length and member.max_length <= _LONGEST_KEY)


def _rows_before(text: object) -> int:
    """Read how many rows are before the page of a token."""
    if not isinstance(text, str) or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidError("$skiptoken is not from a nextLink of this query.", target="$skiptoken")
    return int(text)
