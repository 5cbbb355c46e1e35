"""Reads expressions and names of one ``$apply``, and keeps what its transformations made so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from chalicelib.odata.apply.relation import Columns, Member, Nested, Output, Rows, Select
from chalicelib.odata.ast import Column, NavigationStep, Node, OrderKey
from chalicelib.odata.expressions.analyzer import is_one_expression, parse_condition, parse_order
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.expressions.size_limit import require_bounded
from chalicelib.odata.expressions.type_checker import check_value
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.parser import Bounds, Tokens, parse, syntax_error
from chalicelib.odata.language.span import Span
from chalicelib.odata.query.search import read_search


@dataclass(frozen=True, slots=True)
class ApplyBounds:
    """How large ``$apply`` may be: transformations, properties that they add, expressions."""

    transformations: int
    properties: int
    expressions: Bounds


@dataclass(slots=True)
class Reader:
    """What transformations read with. ``rows`` is what they have made so far."""

    rows: Rows
    aliases: Mapping[str, str]
    bounds: ApplyBounds
    columns: Columns = field(default_factory=Columns)
    _values: list[Node] = field(default_factory=list)
    _tokens: int = 0
    _added: int = 0

    def copy(self) -> "Reader":
        """Return a reader that can read the same once more, for which it counts but once."""
        return replace(self, _values=list(self._values))

    # Expressions.

    def condition(self, span: Span) -> Node:
        """Read an expression that is Boolean."""
        tokens = self._tokenize(span)
        return parse_condition(tokens, span.source, Scope.of(self.rows.it), self.bounds.expressions)

    def search(self, span: Span) -> Node:
        """Read words that the text of an entity is to have."""
        return read_search(span, self.rows.it, self.bounds.expressions)

    def value(self, span: Span) -> Node:
        """Read an expression of any primitive type."""
        tokens = self._tokenize(span)
        if not is_one_expression(tokens):
            raise syntax_error("One expression is expected here", span.at)
        scope = Scope.of(self.rows.it)
        found = check_value(parse(tokens, span.source), scope, self.bounds.expressions.max_depth)
        self._values.append(found)
        require_bounded(self._values, span.at)
        return found

    def order(self, span: Span) -> tuple[OrderKey, ...]:
        """Read expressions with directions."""
        tokens = self._tokenize(span)
        return parse_order(tokens, span.source, Scope.of(self.rows.it), self.bounds.expressions)

    def _tokenize(self, span: Span) -> Tokens:
        found = tokenize(span, self.aliases, self.bounds.expressions)
        self._tokens += found.size
        if self._tokens > self.bounds.expressions.max_tokens:
            most = self.bounds.expressions.max_tokens
            raise syntax_error(f"$apply may have {most} tokens, not more", span.at)
        return found

    # Names.

    def named(self, span: Span) -> tuple[Span, Span]:
        """Cut at the last ``as``: what is named, and its alias."""
        keywords = [each for each in span.keywords() if each[0] == "as"]
        if not keywords:
            raise syntax_error("An alias is missing, as in … as total", span.after)
        _, start, end = keywords[-1]
        return span.part(span.start, start), span.part(end, span.end)

    def alias(self, span: Span, taken: Mapping[str, object]) -> str:
        """Read the name of a property that is added.

        It is none of the entity's, nor of the rows', nor given already: section 3.1.1.1.
        """
        name = span.name("An alias")
        if any(name in each for each in (self.rows.base.by_name, self.rows.by_name, taken)):
            raise syntax_error(f"There is a property {name} already", span.at)
        self._added += 1
        if self._added > self.bounds.properties:
            most = self.bounds.properties
            raise syntax_error(f"$apply may add {most} properties, not more", span.at)
        return name

    # Rows.

    def compute(self, outputs: tuple[Output, ...]) -> Rows:
        """Return the rows with more properties."""
        rows = self.rows
        added = tuple(each.property for each in outputs)
        return replace(
            rows,
            # Expressions that name each other would double at each further level.
            select=Select(rows.it, (*rows.copied(), *outputs), fenced=rows.are_computed),
            properties=(*rows.properties, *added),
            members=(*rows.members, *map(Member, added)),
            are_computed=not rows.are_computed,
        )

    def order_by(self, keys: tuple[OrderKey, ...]) -> tuple[Member, ...]:
        """Put the rows into an order, and return what they are ordered by.

        Rows that are equal in it stay in the order in which they were.
        """
        members: list[Member] = []
        outputs: list[Output] = []
        for key in keys:
            member = _member(key.expression, self.rows)
            if member is None:
                hidden = self.columns.property("", key.expression)
                outputs.append(Output(hidden, key.expression))
                member = Member(hidden)
            members.append(member)
        rows = with_hidden(self.rows, outputs) if outputs else self.rows
        directions = (key.descending for key in keys)
        self.rows = replace(rows, order=(*zip(members, directions, strict=True), *rows.order))
        return tuple(members)


def with_hidden(rows: Rows, outputs: list[Output]) -> Rows:
    """Return the rows with more columns, that are not shown."""
    return replace(
        rows,
        select=Select(rows.it, (*rows.copied(), *outputs), fenced=rows.are_computed),
        hidden=(*rows.hidden, *(each.property for each in outputs)),
        are_computed=not rows.are_computed,
    )


def _member(node: Node, rows: Rows) -> Member | None:
    """Return the member of the rows that an expression is, if it is one."""
    if not isinstance(node, Column):
        return None
    nested = node.instance.navigation if isinstance(node.instance, NavigationStep) else None
    if nested is not None and not isinstance(nested, Nested):
        return None
    member = Member(node.member, nested)
    return member if member in rows.members else None
