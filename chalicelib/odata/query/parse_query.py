"""Parse the options that determine the entities of a response: which, in which order, and how.

Options depend on those before them, so the order is ``$compute``, ``$filter``, ``$search``,
``$orderby``, ``$select``, ``$expand``. In ``$expand``, the same repeats for the related entities.
Queries are immutable and cached: the next page of a query, or the query that a dashboard sends
every few seconds, is not parsed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from chalicelib.odata.ast import LogicalOperation, Node, OrderKey, Variable
from chalicelib.odata.expressions.analyzer import parse_condition, parse_order, root
from chalicelib.odata.expressions.scope import QueryTokens, Scope
from chalicelib.odata.expressions.search import parse_search
from chalicelib.odata.language.expand_items import ExpandItem, read_items
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.literals import read_boolean
from chalicelib.odata.language.parser import Bounds, Token, syntax_error
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType, Navigation
from chalicelib.odata.query.compute import parse_compute
from chalicelib.odata.query.expand import ExpandPath, levels_of, parse_expand_paths
from chalicelib.odata.query.projection import ExpandForm, Expansion, Projection
from chalicelib.odata.query.selection import selection_of
from chalicelib.odata.query.total_order import total_order

# The options that make up a query. The others are integers or independent of the entities.
QUERY_OPTIONS = ("$compute", "$filter", "$search", "$orderby", "$select", "$expand")
# The nested options that the nextLink of an expansion omits.
_PAGE_OPTIONS = ("$top", "$skip", "$levels")
_MAX_CACHEABLE_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """The maximum size of a query: of each expression, of all of them, and of ``$expand``.

    Attributes:
        bounds: the limits of one expression.
        max_tokens: the most tokens of all expressions of one query: see ``QueryTokens``.
        expand_depth: the most levels of ``$expand``.
    """

    bounds: Bounds
    max_tokens: int
    expand_depth: int


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. An entity must meet all ``conditions``.

    ``order`` is the order that the client requested; ``total_order`` completes it.
    """

    conditions: tuple[Node, ...]
    order: tuple[OrderKey, ...]
    projection: Projection


def parse_query(
    texts: Mapping[str, str], entity: EntityType, aliases: Mapping[str, str], limits: QueryLimits
) -> Query:
    """Parse the options of a query for ``root(entity)``.

    Raises:
        InvalidError: an option is invalid for the entity type; the message says where and why.
        NotImplementedByServiceError: the service does not support an option or a part of it.
    """
    given = tuple((name, texts[name]) for name in QUERY_OPTIONS if name in texts)
    alias_items = tuple(aliases.items())
    is_cached = is_cacheable(*dict(given).values(), *aliases.values())
    parse = _parse_cached if is_cached else _parse_cached.__wrapped__
    return parse(given, entity, alias_items, limits)


def is_cacheable(*texts: str | None) -> bool:
    """Return whether the texts are short enough to cache what is parsed from them.

    Queries that repeat are short. If the cache were full of the longest texts that a batch may
    contain, it would exhaust the memory.
    """
    return sum(len(text) for text in texts if text is not None) <= _MAX_CACHEABLE_CHARACTERS


@lru_cache(maxsize=256)
def _parse_cached(
    given: tuple[tuple[str, str], ...],
    entity: EntityType,
    aliases: tuple[tuple[str, str], ...],
    limits: QueryLimits,
) -> Query:
    options = {name: Span.of(text, name) for name, text in given}
    items: tuple[ExpandItem, ...] = ()
    if "$expand" in options:
        items = read_items(options["$expand"], limits.expand_depth)
    scope = replace(Scope.of(root(entity)), tokens=QueryTokens(limits.max_tokens))
    return _QueryParser(scope, dict(aliases), limits).query(options, items)


@dataclass(frozen=True, slots=True)
class _QueryParser:
    """Parses the options for the entities that ``scope.this`` stands for.

    ``depth`` counts the expansions around them.
    """

    scope: Scope
    aliases: Mapping[str, str]
    limits: QueryLimits
    depth: int = 0

    def query(
        self,
        options: Mapping[str, Span],
        items: Sequence[ExpandItem],
        inner: Sequence[Span] | None = None,
    ) -> Query:
        """Parse the options and the items of ``$expand``.

        ``inner`` is what paths in the enclosing ``$select`` select of these entities.
        """
        parser, select = self, inner
        if span := options.get("$compute"):
            scope = parse_compute(span, self.scope, self.aliases, self.limits.bounds)
            parser = replace(self, scope=scope)
        conditions = parser._conditions(options)
        order = parser._order(options.get("$orderby"))
        if span := options.get("$select"):
            select = span.split(",")
        return Query(conditions, order, parser._projection(select, items))

    def _conditions(self, options: Mapping[str, Span]) -> tuple[Node, ...]:
        conditions: tuple[Node, ...] = ()
        bounds = self.limits.bounds
        if span := options.get("$filter"):
            condition = parse_condition(self._tokens(span), span.source, self.scope, bounds)
            conditions = (condition,)
            if isinstance(condition, LogicalOperation) and condition.operator == "and":
                conditions = condition.operands
        if span := options.get("$search"):
            conditions = (*conditions, parse_search(span, self.scope.this, bounds))
        return conditions

    def _order(self, span: Span | None) -> tuple[OrderKey, ...]:
        if span is None:
            return ()
        return parse_order(self._tokens(span), span.source, self.scope, self.limits.bounds)

    def _tokens(self, span: Span) -> list[Token]:
        tokens = tokenize(span, self.aliases, self.limits.bounds)
        self.scope.count(tokens.size, span.at)
        return tokens

    def _projection(self, select: Sequence[Span] | None, items: Sequence[ExpandItem]) -> Projection:
        it = self.scope.this
        computed = self.scope.computed.get(it, {}).values()
        selection = selection_of(select, it.entity, computed)
        paths = parse_expand_paths(items, it.entity)
        named = [each.navigation for each in paths if each.navigation]
        expansions: list[Expansion] = []
        for path in paths:
            if path.navigation:
                inner = selection.inner.get(path.navigation)
                expansions.append(self._expansion(path, path.navigation, inner))
            else:
                levels = levels_of(path, self.depth + 1, self.limits.expand_depth)
                expansions += [
                    self._star_expansion(each, path.form, levels, frozenset({it.entity}))
                    for each in it.entity.navigations
                    if each not in named
                ]
        for navigation, inner in selection.inner.items():
            if navigation not in named:
                projection = self._nested(navigation, {}).query({}, (), inner).projection
                expansions.append(Expansion(navigation, ExpandForm.ENTITIES, projection))
        included = [each.navigation for each in expansions if each.form is not ExpandForm.COUNT]
        return Projection(
            it,
            selection.properties,
            selection.computed,
            tuple(each for each in selection.navigations if each not in included),
            selection.names,
            tuple(expansions),
        )

    def _nested(self, navigation: Navigation, aliases: Mapping[str, Span]) -> "_QueryParser":
        """Return the parser for the entities that a navigation leads to."""
        for name, span in aliases.items():
            if name in self.aliases:
                raise syntax_error(f"@{name} is specified more than once", span.at)
        this = Variable(navigation.target)
        scope = replace(
            self.scope,
            this=this,
            alias_owners={**self.scope.alias_owners, **dict.fromkeys(aliases, this)},
            referenced=set(),
        )
        values = {name: each.text for name, each in aliases.items()}
        return _QueryParser(scope, {**self.aliases, **values}, self.limits, self.depth + 1)

    def _expansion(
        self, path: ExpandPath, navigation: Navigation, inner: Sequence[Span] | None
    ) -> Expansion:
        options = path.item.options
        if inner and (path.form is not ExpandForm.ENTITIES or "$select" in options):
            raise syntax_error(
                f"{navigation.name} is selected in both $select and $expand; select its properties"
                " in only one of them",
                path.item.path.at,
            )
        # Only the check matters: no navigation leads to its own type, so levels are not repeated.
        levels_of(path, self.depth + 1, self.limits.expand_depth)
        nested = self._nested(navigation, path.item.aliases)
        query = nested.query(options, path.item.items, inner)
        projection = query.projection
        if path.form is not ExpandForm.ENTITIES:
            projection = Projection(projection.it, (), is_reference=True)
        outer_variables = nested.scope.referenced - {nested.scope.this}
        self.scope.referenced.update(outer_variables)
        given = tuple(
            (name, span.text) for name, span in options.items() if name not in _PAGE_OPTIONS
        )
        given += tuple((f"@{name}", text) for name, text in nested.aliases.items())
        return Expansion(
            navigation,
            path.form,
            projection,
            query.conditions,
            total_order(projection.it, query.order, query.conditions),
            options["$skip"].natural() if "$skip" in options else 0,
            options["$top"].natural() if "$top" in options else None,
            _boolean(options.get("$count")),
            None if outer_variables else given,
        )

    def _star_expansion(
        self,
        navigation: Navigation,
        form: ExpandForm,
        levels: int | None,
        ancestors: frozenset[EntityType],
    ) -> Expansion:
        """Expand a navigation that ``*`` includes, to a number of levels.

        With ``$levels=max`` (None), a navigation back to the type of an ancestor is expanded to
        references: Protocol 4.01, section 11.2.5.2.1.1.
        """
        nested = self._nested(navigation, {})
        target = navigation.target
        if levels is None and target in ancestors:
            form = ExpandForm.REFERENCES
        projection = Projection(nested.scope.this, (), is_reference=True)
        if form is ExpandForm.ENTITIES:
            projection = nested.query({}, ()).projection
            if levels != 1 and nested.depth < self.limits.expand_depth:
                inner_levels = None if levels is None else levels - 1
                expansions = (
                    nested._star_expansion(each, form, inner_levels, ancestors | {target})
                    for each in target.navigations
                )
                projection = replace(projection, links=(), expansions=tuple(expansions))
        options = (("$expand", f"*($levels={levels - 1})"),) if levels and levels > 1 else ()
        return Expansion(
            navigation, form, projection, order=total_order(projection.it, (), ()), options=options
        )


def _boolean(span: Span | None) -> bool:
    if span is None:
        return False
    try:
        return read_boolean(span.text)
    except ValueError as error:
        raise syntax_error("true or false is expected", span.at) from error
