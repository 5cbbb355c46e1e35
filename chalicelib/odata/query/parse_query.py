"""All options of a request together: which entities, in which order, and what of each.

They are read in the order in which they build on each other: ``$compute``, then ``$filter`` and
``$search``, ``$orderby``, ``$select`` and ``$expand``, within which the same begins again for the
entities that a navigation leads to. What was read does not change, and is kept for a while: the
same texts (the next page of the same query, a dashboard's query every few seconds) are read once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from chalicelib.odata.ast import LogicalOperation, Node, OrderKey, Variable
from chalicelib.odata.expressions.analyzer import parse_condition, parse_order, root
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.language.expand_items import ExpandItem, read_items
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.parser import Bounds, Token, syntax_error
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import EntityType, Navigation
from chalicelib.odata.query.compute import read_compute
from chalicelib.odata.query.expand import ExpandPath, levels_of, read_paths
from chalicelib.odata.query.projection import Expansion, Form, View
from chalicelib.odata.query.search import read_search
from chalicelib.odata.query.selection import selection_of
from chalicelib.odata.query.total_order import total_order

# The options that are read here. The others are numbers, or say nothing of entities.
READ_TOGETHER = ("$compute", "$filter", "$search", "$orderby", "$select", "$expand")
# What the page after the first has of its own.
_OF_PAGE = ("$top", "$skip", "$levels")
_NATURAL = re.compile(r"[0-9]{1,18}")
_LONGEST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How large expressions may be, and how deep expansions."""

    bounds: Bounds
    expand_depth: int


@dataclass(frozen=True, slots=True)
class Query:
    """Which entities are asked for: each of ``conditions`` holds for them. What of each: ``view``.

    ``order`` is as the client gave it; ``paging.total_order`` completes it.
    """

    conditions: tuple[Node, ...]
    order: tuple[OrderKey, ...]
    view: View


def read_query(
    texts: Mapping[str, str], entity: EntityType, aliases: Mapping[str, str], limits: Limits
) -> Query:
    """Read the options that make up a query of ``root(entity)``.

    Raises:
        InvalidError: an option is none about such entities; the message says where and why.
        NotImplementedByServiceError: it is one that the service does not support.
    """
    given = tuple((name, texts[name]) for name in READ_TOGETHER if name in texts)
    alias_items = tuple(aliases.items())
    read = _query if are_kept(*dict(given).values(), *aliases.values()) else _query.__wrapped__
    return read(given, entity, alias_items, limits)


def are_kept(*texts: str | None) -> bool:
    """Say whether what was made of texts is kept for the next request that has the same.

    What a person or a program asks again and again is short; of the longest texts that a batch may
    have, as many as are kept would fill the memory.
    """
    return sum(len(text) for text in texts if text is not None) <= _LONGEST_KEPT


@lru_cache(maxsize=256)
def _query(
    given: tuple[tuple[str, str], ...],
    entity: EntityType,
    aliases: tuple[tuple[str, str], ...],
    limits: Limits,
) -> Query:
    options = {name: Span.of(text, name) for name, text in given}
    items: tuple[ExpandItem, ...] = ()
    if "$expand" in options:
        items = read_items(options["$expand"], limits.expand_depth)
    return _Level(Scope.of(root(entity)), dict(aliases), limits).query(options, items)


@dataclass(frozen=True, slots=True)
class _Level:
    """Reads the options that belong to the entities that ``scope.this`` stands for."""

    scope: Scope
    aliases: Mapping[str, str]
    limits: Limits
    depth: int = 0

    def query(
        self,
        options: Mapping[str, Span],
        items: Sequence[ExpandItem],
        inner: Sequence[Span] | None = None,
    ) -> Query:
        """Read the options; ``inner`` is what a path in the outer ``$select`` selects here."""
        level, select = self, inner
        if text := options.get("$compute"):
            scope = read_compute(text, self.scope, self.aliases, self.limits.bounds)
            level = replace(self, scope=scope)
        conditions = level._conditions(options)
        order = level._order(options.get("$orderby"))
        if text := options.get("$select"):
            select = text.split(",")
        return Query(conditions, order, level._view(select, items))

    def _conditions(self, options: Mapping[str, Span]) -> tuple[Node, ...]:
        conditions: tuple[Node, ...] = ()
        bounds = self.limits.bounds
        if text := options.get("$filter"):
            condition = parse_condition(self._tokens(text), text.source, self.scope, bounds)
            conditions = (condition,)
            if isinstance(condition, LogicalOperation) and condition.operator == "and":
                conditions = condition.operands
        if text := options.get("$search"):
            conditions = (*conditions, read_search(text, self.scope.this, bounds))
        return conditions

    def _order(self, text: Span | None) -> tuple[OrderKey, ...]:
        if text is None:
            return ()
        return parse_order(self._tokens(text), text.source, self.scope, self.limits.bounds)

    def _tokens(self, text: Span) -> list[Token]:
        return tokenize(text, self.aliases, self.limits.bounds)

    def _view(self, select: Sequence[Span] | None, items: Sequence[ExpandItem]) -> View:
        it = self.scope.this
        computed = self.scope.computed.get(it, {}).values()
        selection = selection_of(select, it.entity, computed)
        paths = read_paths(items, it.entity)
        named = [each.navigation for each in paths if each.navigation]
        expansions: list[Expansion] = []
        for path in paths:
            if path.navigation:
                inner = selection.inner.get(path.navigation)
                expansions.append(self._expansion(path, path.navigation, inner))
            else:
                levels = levels_of(path, self.depth + 1, self.limits.expand_depth)
                expansions += [
                    self._around(each, path.form, levels, frozenset({it.entity}))
                    for each in it.entity.navigations
                    if each not in named
                ]
        for navigation, inner in selection.inner.items():
            if navigation not in named:
                level = self._to(navigation, {})
                view = level.query({}, (), inner).view
                expansions.append(Expansion(navigation, Form.ENTITIES, view))
        written = [each.navigation for each in expansions if each.form is not Form.COUNT]
        return View(
            it,
            selection.properties,
            selection.computed,
            tuple(each for each in selection.navigations if each not in written),
            selection.names,
            tuple(expansions),
        )

    def _to(self, navigation: Navigation, aliases: Mapping[str, Span]) -> "_Level":
        """Return the level of the entities that a navigation leads to."""
        for name, text in aliases.items():
            if name in self.aliases:
                raise syntax_error(f"@{name} is given twice", text.at)
        this = Variable(navigation.target)
        scope = replace(
            self.scope,
            this=this,
            alias_owners={**self.scope.alias_owners, **dict.fromkeys(aliases, this)},
            referenced=set(),
        )
        values = {name: each.text for name, each in aliases.items()}
        return _Level(scope, {**self.aliases, **values}, self.limits, self.depth + 1)

    def _expansion(
        self, path: ExpandPath, navigation: Navigation, inner: Sequence[Span] | None
    ) -> Expansion:
        options = path.item.options
        if inner and (path.form is not Form.ENTITIES or "$select" in options):
            raise syntax_error(f"{navigation.name} is selected in two places", path.item.path.at)
        levels_of(path, self.depth + 1, self.limits.expand_depth)  # no navigation leads to its own
        level = self._to(navigation, path.item.aliases)
        query = level.query(options, path.item.items, inner)
        view = query.view
        if path.form is not Form.ENTITIES:
            view = View(view.it, (), is_reference=True)
        elsewhere = level.scope.referenced - {level.scope.this}
        self.scope.referenced.update(elsewhere)
        given = tuple((name, text.text) for name, text in options.items() if name not in _OF_PAGE)
        given += tuple((f"@{name}", text) for name, text in level.aliases.items())
        return Expansion(
            navigation,
            path.form,
            view,
            query.conditions,
            total_order(view.it, query.order, query.conditions),
            _natural(options.get("$skip")) or 0,
            _natural(options.get("$top")),
            _boolean(options.get("$count")),
            None if elsewhere else given,
        )

    def _around(
        self, navigation: Navigation, form: Form, levels: int | None, above: frozenset[EntityType]
    ) -> Expansion:
        """Expand a navigation that ``*`` names, and what lies around it, so many levels.

        With as many levels as there are (None), what would lead back to a type above ends in
        references: Protocol 4.01, section 11.2.5.2.1.1.
        """
        level = self._to(navigation, {})
        target = navigation.target
        if levels is None and target in above:
            form = Form.REFERENCES
        view = View(level.scope.this, (), is_reference=True)
        if form is Form.ENTITIES:
            view = level.query({}, ()).view
            if levels != 1 and level.depth < self.limits.expand_depth:
                fewer = None if levels is None else levels - 1
                deeper = (
                    level._around(each, form, fewer, above | {target})
                    for each in target.navigations
                )
                view = replace(view, links=(), expansions=tuple(deeper))
        options = (("$expand", f"*($levels={levels - 1})"),) if levels and levels > 1 else ()
        return Expansion(
            navigation, form, view, order=total_order(view.it, (), ()), options=options
        )


def _natural(text: Span | None) -> int | None:
    if text is None:
        return None
    if not _NATURAL.fullmatch(text.text):
        raise syntax_error("A whole number from 0 on, of at most 18 digits, is expected", text.at)
    return int(text.text)


def _boolean(text: Span | None) -> bool:
    if text is None:
        return False
    if text.text.lower() not in ("true", "false"):
        raise syntax_error("true or false is expected", text.at)
    return text.text.lower() == "true"
