"""The state of reading one ``$apply``: the relation so far, and the limits that are left.

A transformation reads its expressions through the ``Pipeline`` and returns the next relation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from chalicelib.odata.apply.relation import (
    Attribute,
    ColumnFactory,
    GroupedNavigation,
    OutputColumn,
    Relation,
    Subselect,
)
from chalicelib.odata.ast import Column, NavigationStep, Node, OrderKey
from chalicelib.odata.expressions.analyzer import is_one_expression, parse_condition, parse_order
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.expressions.search import parse_search
from chalicelib.odata.expressions.size_limit import require_bounded
from chalicelib.odata.expressions.type_checker import check_value
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.parser import Bounds, Tokens, parse, syntax_error
from chalicelib.odata.language.span import Span


@dataclass(frozen=True, slots=True)
class ApplyBounds:
    """The limits of one ``$apply``.

    Attributes:
        transformations: the most transformations.
        properties: the most properties that they may add.
        expressions: the limits of expressions; ``max_tokens`` counts all expressions together.
    """

    transformations: int
    properties: int
    expressions: Bounds


@dataclass(slots=True)
class Pipeline:
    """Reads the expressions of transformations; ``relation`` is the result of those before."""

    relation: Relation
    aliases: Mapping[str, str]
    bounds: ApplyBounds
    columns: ColumnFactory = field(default_factory=ColumnFactory)
    _values: list[Node] = field(default_factory=list)
    _tokens: int = 0
    _added: int = 0
    _transformations: int = 0

    def copy(self) -> "Pipeline":
        """Return a copy that can read the same text again without counting it twice."""
        return replace(self, _values=list(self._values))

    def count_transformation(self, span: Span) -> None:
        """Count a transformation.

        Raises:
            InvalidError: ``$apply`` has more of them than it may have.
        """
        self._transformations += 1
        if self._transformations > self.bounds.transformations:
            message = f"$apply may have at most {self.bounds.transformations} transformations"
            raise syntax_error(message, span.at)

    # Expressions.

    def condition(self, span: Span) -> Node:
        """Read a Boolean expression."""
        tokens = self._tokenize(span)
        scope = Scope.of(self.relation.it)
        return parse_condition(tokens, span.source, scope, self.bounds.expressions)

    def search(self, span: Span) -> Node:
        """Read a search expression, as in ``$search``."""
        return parse_search(span, self.relation.it, self.bounds.expressions)

    def value(self, span: Span) -> Node:
        """Read an expression of any primitive type."""
        tokens = self._tokenize(span)
        if not is_one_expression(tokens):
            raise syntax_error("A single expression is expected", span.at)
        scope = Scope.of(self.relation.it)
        value = check_value(parse(tokens, span.source), scope, self.bounds.expressions.max_depth)
        self._values.append(value)
        require_bounded(self._values, span.at)
        return value

    def order(self, span: Span) -> tuple[OrderKey, ...]:
        """Read expressions with directions, as in ``$orderby``."""
        tokens = self._tokenize(span)
        scope = Scope.of(self.relation.it)
        return parse_order(tokens, span.source, scope, self.bounds.expressions)

    def _tokenize(self, span: Span) -> Tokens:
        tokens = tokenize(span, self.aliases, self.bounds.expressions)
        self._tokens += tokens.size
        max_tokens = self.bounds.expressions.max_tokens
        if self._tokens > max_tokens:
            raise syntax_error(f"$apply may have at most {max_tokens} tokens", span.at)
        return tokens

    # Aliases.

    def split_alias(self, span: Span) -> tuple[Span, Span]:
        """Split ``… as alias`` at the last ``as`` into the expression and its alias."""
        keywords = [each for each in span.keywords() if each[0] == "as"]
        if not keywords:
            raise syntax_error("An alias is missing, as in … as total", span.after)
        _, start, end = keywords[-1]
        return span.part(span.start, start), span.part(end, span.end)

    def alias(self, span: Span, taken: Mapping[str, object]) -> str:
        """Read the name of a new property.

        It must differ from the properties of the entity type and of the relation, and from the
        aliases in ``taken``: section 3.1.1.1 of the extension.
        """
        name = span.name("An alias")
        used = (self.relation.base.by_name, self.relation.by_name, taken)
        if any(name in each for each in used):
            raise syntax_error(f"A property {name} already exists; choose another alias", span.at)
        self._added += 1
        if self._added > self.bounds.properties:
            message = f"$apply may add at most {self.bounds.properties} properties"
            raise syntax_error(message, span.at)
        return name

    # Relations.

    def compute(self, outputs: tuple[OutputColumn, ...]) -> Relation:
        """Return the relation with additional properties."""
        relation = self.relation
        added = tuple(each.property for each in outputs)
        return replace(
            _with_columns(relation, outputs),
            properties=(*relation.properties, *added),
            attributes=(*relation.attributes, *map(Attribute, added)),
        )

    def order_by(self, keys: tuple[OrderKey, ...]) -> tuple[Attribute, ...]:
        """Sort the relation, and return the attributes it is sorted by.

        The sort is stable: equal rows keep their order.
        """
        attributes: list[Attribute] = []
        outputs: list[OutputColumn] = []
        for key in keys:
            attribute = _attribute(key.expression, self.relation)
            if attribute is None:
                outputs.append(self.columns.create("", key.expression))
                attribute = Attribute(outputs[-1].property)
            attributes.append(attribute)
        relation = with_hidden(self.relation, outputs) if outputs else self.relation
        directions = (key.descending for key in keys)
        order = (*zip(attributes, directions, strict=True), *relation.order)
        self.relation = replace(relation, order=order)
        return tuple(attributes)


def with_hidden(relation: Relation, outputs: list[OutputColumn]) -> Relation:
    """Return the relation with additional hidden columns."""
    hidden = (*relation.hidden, *(each.property for each in outputs))
    return replace(_with_columns(relation, outputs), hidden=hidden)


def _with_columns(
    relation: Relation, outputs: tuple[OutputColumn, ...] | list[OutputColumn]
) -> Relation:
    """Return the relation whose SELECT has additional columns, which it does not yet name.

    Every second SELECT is fenced. Otherwise the planner would substitute expressions into each
    other, and their size could double with each level.
    """
    select = Subselect(
        relation.it,
        (*relation.passed_through(), *outputs),
        fenced=relation.has_expressions,
    )
    return replace(relation, select=select, has_expressions=not relation.has_expressions)


def _attribute(node: Node, relation: Relation) -> Attribute | None:
    """Return the attribute that an expression consists of, None for any other expression."""
    if not isinstance(node, Column):
        return None
    navigation = node.instance.navigation if isinstance(node.instance, NavigationStep) else None
    if navigation is not None and not isinstance(navigation, GroupedNavigation):
        return None
    attribute = Attribute(node.member, navigation)
    return attribute if attribute in relation.attributes else None
