"""``$compute``: properties that an expression gives to each entity, under a name.

They can be selected, filtered and ordered by like any other; what they stand for is put in their
place. One may be computed from those before it. URL Conventions 4.01, section 5.1.9.
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

# Enough for every column of a report; each is written once more for each time it is used.
MAX_COMPUTED = 32

_AS = re.compile(r"(?P<value>.*)[ \t\r\n](?i:as)[ \t\r\n]+(?P<name>[^\W\d]\w{0,127})", re.DOTALL)


def read_compute(span: Span, scope: Scope, aliases: Mapping[str, str], bounds: Bounds) -> Scope:
    """Read ``$compute`` on ``scope.this``: return the scope with what it computes.

    Raises:
        InvalidError: an item is no expression with a name, or its name is one already.
    """
    known: dict[str, ComputedProperty] = {}
    scope = replace(
        scope, computed={**scope.computed, scope.this: known}, max_computed=bounds.max_tokens
    )
    items = span.split(",")
    if len(items) > MAX_COMPUTED:
        raise syntax_error(
            f"$compute may have {MAX_COMPUTED} items, not more", items[MAX_COMPUTED].at
        )
    for item in items:
        computed = _read(item, scope, aliases, bounds)
        if computed.name in known or computed.name in scope.this.entity.by_name:
            raise syntax_error(f"There is a property {computed.name} already", item.at)
        known[computed.name] = computed
        require_bounded((each.value for each in known.values()), item.at)
    return scope


def _read(item: Span, scope: Scope, aliases: Mapping[str, str], bounds: Bounds) -> ComputedProperty:
    match = _AS.fullmatch(item.text)
    if match is None:
        raise syntax_error("A computed property is an expression, the word as, and a name", item.at)
    expression = item.part(item.start, item.start + match.end("value"))
    tokens = tokenize(expression, aliases, bounds)
    if not is_one_expression(tokens):
        raise syntax_error("A computed property has one expression", item.at)
    size = tokens.size + sum(_sizes(tokens, scope))
    if size > bounds.max_tokens:
        raise syntax_error(f"An expression may have {bounds.max_tokens} tokens, not more", item.at)
    value = check_value(parse(tokens, item.source), scope, bounds.max_depth)
    return ComputedProperty(match["name"], value, size)


def _sizes(tokens: list[Token], scope: Scope) -> Iterator[int]:
    """Yield how many tokens each name stands for that is a computed property's."""
    known = {name: each for names in scope.computed.values() for name, each in names.items()}
    for token in tokens:
        for segment in token.value.segments if isinstance(token.value, Path) else ():
            if segment in known:
                yield known[segment].size
