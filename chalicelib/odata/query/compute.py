"""``$compute``: named expressions that every entity gets as additional properties.

``$select``, ``$filter`` and ``$orderby`` use computed properties like stored ones. The checker
replaces a name by its expression. A computed property may use those before it. URL Conventions
4.01, section 5.1.9.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from chalicelib.odata.ast import ComputedProperty
from chalicelib.odata.expressions.analyzer import is_one_expression
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.expressions.size_limit import require_bounded
from chalicelib.odata.expressions.type_checker import check_value
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.parser import Bounds, Path, Token, parse, syntax_error
from chalicelib.odata.language.span import Span

# Enough for every column of a report. The SQL repeats an expression at every use.
MAX_COMPUTED = 32

_AS = re.compile(r"(?P<value>.*)[ \t\r\n](?i:as)[ \t\r\n]+(?P<name>[^\W\d]\w{0,127})", re.DOTALL)


def parse_compute(span: Span, scope: Scope, aliases: Mapping[str, str], bounds: Bounds) -> Scope:
    """Parse ``$compute`` for ``scope.this``; return the scope with the computed properties.

    Raises:
        InvalidError: an item is not an expression with an alias, or a property has that name.
    """
    known: dict[str, ComputedProperty] = {}
    scope = replace(
        scope, computed={**scope.computed, scope.this: known}, max_computed=bounds.max_tokens
    )
    for item in items_of(span):
        computed = _parse_item(item, scope, aliases, bounds)
        if computed.name in known or computed.name in scope.this.entity.by_name:
            raise syntax_error(
                f"A property {computed.name} already exists; choose another alias", item.at
            )
        known[computed.name] = computed
        require_bounded((each.value for each in known.values()), item.at)
    return scope


def items_of(span: Span) -> list[Span]:
    """Split ``$compute`` into its items.

    Raises:
        InvalidError: there are too many.
    """
    items = span.split(",")
    if len(items) > MAX_COMPUTED:
        raise syntax_error(
            f"$compute may have at most {MAX_COMPUTED} items", items[MAX_COMPUTED].at
        )
    return items


def _parse_item(
    item: Span, scope: Scope, aliases: Mapping[str, str], bounds: Bounds
) -> ComputedProperty:
    match = _AS.fullmatch(item.text)
    if match is None:
        raise syntax_error(
            "A computed property must be an expression, the word as, and an alias", item.at
        )
    expression = item.part(item.start, item.start + match.end("value"))
    tokens = tokenize(expression, aliases, bounds)
    scope.count(tokens.size, item.at)
    if not is_one_expression(tokens):
        raise syntax_error("A computed property must be a single expression", item.at)
    size = tokens.size + sum(_sizes(tokens, scope))
    if size > bounds.max_tokens:
        raise syntax_error(
            f"An expression may have at most {bounds.max_tokens} tokens, including those of the"
            " computed properties that it uses",
            item.at,
        )
    value = check_value(parse(tokens, item.source), scope, bounds.max_depth)
    return ComputedProperty(match["name"], value, size)


def _sizes(tokens: list[Token], scope: Scope) -> Iterator[int]:
    """Yield the number of tokens of each computed property that the tokens mention."""
    known = {name: each for names in scope.computed.values() for name, each in names.items()}
    for token in tokens:
        for segment in token.value.segments if isinstance(token.value, Path) else ():
            if segment in known:
                yield known[segment].size
