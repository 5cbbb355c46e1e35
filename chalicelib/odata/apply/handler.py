"""Prepare the statements for a request with ``$apply``: a page of rows, or their count.

``$filter``, ``$orderby`` and the other options apply to the result of ``$apply`` and know only its
properties: OData Extension for Data Aggregation 4.0, section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.apply.page_statements import (
    RelationPage,
    relation_count_statement,
    relation_page_statement,
)
from chalicelib.odata.apply.pipeline import ApplyBounds
from chalicelib.odata.apply.relation import Attribute, Relation
from chalicelib.odata.apply.transformations import read_apply
from chalicelib.odata.ast import TRUE, Column, LogicalOperation, Node, OrderKey
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions.analyzer import parse_condition, parse_order
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.expressions.search import parse_search
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType
from chalicelib.odata.query.options import APPLY, SUPPORTED, Options
from chalicelib.odata.query.page_request import PageRequest, PageSizes
from chalicelib.odata.query.parse_query import is_cacheable
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql.json_functions import JsonStyle
from chalicelib.odata.sql.select_statements import Statement

_SUPPORTED = (SUPPORTED - {"$expand", "$skiptoken"}) | {APPLY}
# Characters. A longer order key could make a nextLink too long for clients.
_MAX_KEY_LENGTH = 200


@dataclass(frozen=True, slots=True)
class ApplyQuery:
    """The result of ``$apply``, and the condition and order that other options add."""

    relation: Relation
    condition: Node
    order: tuple[OrderKey, ...]


def prepare_page(
    resource: Resource,
    options: Options,
    headers: Mapping[str, str],
    style: JsonStyle,
    bounds: ApplyBounds,
    sizes: PageSizes,
) -> tuple[Statement, PageRequest, str]:
    """Return the statement of a page of rows, its page request and its context fragment.

    The skip token contains the order keys of the last row if they are short; otherwise it contains
    the number of rows before the next page.
    """
    _require_supported(options, "$skiptoken")
    query = _read(resource.entity, options, bounds)
    attributes, select_list = _select(query.relation, options.text("$select"))
    key_count = len(query.order) if all(map(_is_short, query.order)) else None
    request = PageRequest.of(resource, options, headers, sizes, key_count, of_entity=False)
    page = RelationPage(
        query.condition,
        query.order,
        after=request.after,
        skip=request.skip,
        size=request.max_entities,
        with_count=request.must_count,
    )
    statement = relation_page_statement(resource, query.relation, attributes, page, style)
    return statement, request, f"#{resource.entity.entity_set}{select_list}"


def count_statement(resource: Resource, options: Options, bounds: ApplyBounds) -> Statement:
    """Return the statement of the count. Its columns: the count, and whether the parent exists."""
    _require_supported(options)
    options.require_valid_page()
    query = _read(resource.entity, options, bounds)
    _select(query.relation, options.text("$select"))
    return relation_count_statement(resource, query.relation, query.condition)


def _require_supported(options: Options, *further: str) -> None:
    if options.text("$expand") is not None:
        raise NotImplementedByServiceError(
            "$expand with $apply is not supported. Group by the properties that you need, as in"
            " groupby((point/employerId)).",
            target="$expand",
        )
    options.allow(*_SUPPORTED, *further)


def _read(entity: EntityType, options: Options, bounds: ApplyBounds) -> ApplyQuery:
    texts = tuple(map(options.text, ("$compute", "$filter", "$search", "$orderby")))
    aliases = tuple(options.aliases.items())
    apply = options.text("$apply") or ""
    is_cached = is_cacheable(apply, *texts, *options.aliases.values())
    read = _read_cached if is_cached else _read_cached.__wrapped__
    return read(entity, apply, texts, aliases, bounds)


@lru_cache(maxsize=256)
def _read_cached(
    entity: EntityType,
    apply: str,
    texts: tuple[str | None, ...],
    alias_items: tuple[tuple[str, str], ...],
    bounds: ApplyBounds,
) -> ApplyQuery:
    compute, filter_, search, orderby = texts
    aliases = dict(alias_items)
    relation = read_apply(apply, compute, entity, aliases, bounds)
    scope, expressions = Scope.of(relation.it), bounds.expressions
    condition: Node = TRUE
    if filter_ is not None:
        tokens = tokenize(Span.of(filter_, "$filter"), aliases, expressions)
        condition = parse_condition(tokens, "$filter", scope, expressions)
    if search is not None:
        match = parse_search(Span.of(search, "$search"), relation.it, expressions)
        condition = match if condition is TRUE else LogicalOperation("and", (condition, match))
    order: tuple[OrderKey, ...] = ()
    if orderby is not None:
        tokens = tokenize(Span.of(orderby, "$orderby"), aliases, expressions)
        order = parse_order(tokens, "$orderby", scope, expressions)
    return ApplyQuery(relation, condition, _without_repeats((*order, *relation.total_order())))


def _without_repeats(order: tuple[OrderKey, ...]) -> tuple[OrderKey, ...]:
    """Remove the columns that occur earlier in the order."""
    keys: dict[object, OrderKey] = {}
    for key in order:
        node = key.expression
        keys.setdefault((node.instance, node.member) if isinstance(node, Column) else node, key)
    return tuple(keys.values())


def _select(relation: Relation, text: str | None) -> tuple[tuple[Attribute, ...], str]:
    """Read ``$select``; return the selected attributes, and the select list of the context URL."""
    attributes = relation.attributes
    if text is not None:
        names = [each.strip() for each in text.split(",")]
        for name in names:
            if name != "*" and not any(_matches(name, each) for each in attributes):
                raise InvalidError(
                    f"{relation.name} has no property {name[:100]}.", target="$select"
                )
        if "*" not in names:
            attributes = tuple(
                each for each in attributes if any(_matches(name, each) for name in names)
            )
    property_names = (each.property.name for each in attributes)
    dynamic = [name for name in property_names if name not in relation.base.by_name]
    if relation.has_entities and attributes == relation.attributes:
        return attributes, f"({','.join(['*', *dynamic])})" if dynamic else ""
    return attributes, f"({','.join(_select_list(attributes))})"


def _matches(name: str, attribute: Attribute) -> bool:
    """Return whether an item of ``$select`` includes an attribute."""
    navigation, own = attribute.navigation, attribute.property.name
    if navigation is None:
        return name == own
    return name in (navigation.name, f"{navigation.name}/{own}")


def _select_list(attributes: tuple[Attribute, ...]) -> list[str]:
    """Return the items of the select list of a context URL: Protocol 4.01, section 10.7."""
    items: dict[str, str] = {}
    for each in attributes:
        navigation = each.navigation
        if navigation is None:
            items[each.property.name] = each.property.name
        elif navigation.name not in items:
            inner = (one.property.name for one in attributes if one.navigation is navigation)
            items[navigation.name] = f"{navigation.name}({','.join(inner)})"
    return list(items.values())


def _is_short(key: OrderKey) -> bool:
    """Return whether the values of an order key fit in a skip token."""
    node = key.expression
    if node.type is Edm.DECIMAL:
        return node.max_length <= _MAX_KEY_LENGTH
    if node.type is not Edm.STRING:
        return True
    member = getattr(node, "member", None)
    return bool(member and member.max_length and member.max_length <= _MAX_KEY_LENGTH)
