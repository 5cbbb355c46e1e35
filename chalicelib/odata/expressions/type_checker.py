"""Check an expression against the model: turn odata-query's AST into the typed AST.

This module resolves names in their scope; ``operators`` decides what operators and functions do
with the operands. Every error has a place. URL Conventions 4.01, section 5.1.1.
"""

from dataclasses import dataclass, replace
from typing import Any

from odata_query import ast

from chalicelib.odata.ast import (
    TRUE,
    Column,
    Comparison,
    ComputedProperty,
    Count,
    Instance,
    Literal,
    LogicalOperation,
    NavigationStep,
    Negation,
    Node,
    Place,
    Quantifier,
    Variable,
)
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions import operators
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.expressions.search import parse_search
from chalicelib.odata.expressions.size_limit import require_bounded
from chalicelib.odata.language.count_options import Search
from chalicelib.odata.language.parser import EMPTY_LIST, Path, Word, syntax_error, unsupported
from chalicelib.odata.model import ENTITY_TYPES, EntityType, Navigation, Property

# Postgres copies the plan of a subselect once for each subselect around it.
_MAX_LAMBDA_DEPTH = 20


@dataclass(frozen=True, slots=True)
class _Collection:
    """The entities that a path leads to. They can only be counted or quantified."""

    origin: Instance
    navigation: Navigation


_Resolved = Node | Instance | _Collection


def check_condition(syntax: Any, scope: Scope, max_depth: int) -> Node:
    """Check an expression that must be Boolean, and return its typed AST."""
    return _TypeChecker(max_depth).condition(syntax, scope, 0)


def check_value(syntax: Any, scope: Scope, max_depth: int) -> Node:
    """Check an expression of any primitive type, and return its typed AST."""
    return _TypeChecker(max_depth).value(syntax, scope, 0)


@dataclass(slots=True)
class _TypeChecker:
    max_depth: int
    size: int = 0

    def value(self, syntax: Any, scope: Scope, depth: int) -> Node:
        """Check an expression that must have a primitive value."""
        resolved = self._value_or_entity(syntax, scope, depth)
        if isinstance(resolved, Instance):
            raise syntax_error(
                f"A value is expected, but this is an entity of type {resolved.entity.name}",
                place_of(syntax),
            )
        require_bounded((resolved,), place_of(syntax))
        return resolved

    def condition(self, syntax: Any, scope: Scope, depth: int) -> Node:
        node = self.value(syntax, scope, depth)
        if node.type is Edm.NULL:
            return Literal(Edm.BOOLEAN, None)
        if node.type is not Edm.BOOLEAN:
            raise syntax_error(
                f"A condition must be of type Edm.Boolean, not {node.type}", place_of(syntax)
            )
        return node

    def _value_or_entity(self, syntax: Any, scope: Scope, depth: int) -> Node | Instance:
        resolved = self._resolve(syntax, scope, depth)
        if isinstance(resolved, _Collection):
            raise syntax_error(
                f"A value is expected, but {resolved.navigation.name} is a collection",
                place_of(syntax),
            )
        return resolved

    def _resolve(self, syntax: Any, scope: Scope, depth: int) -> _Resolved:
        if isinstance(syntax, Literal):
            return syntax
        if isinstance(syntax, Path):
            return self._path(syntax, scope)
        if isinstance(syntax, Search):
            return parse_search(syntax.span, scope.this, syntax.bounds)
        if depth >= self.max_depth:
            raise syntax_error(
                f"An expression may be nested at most {self.max_depth} levels deep",
                place_of(syntax),
            )
        depth += 1
        match syntax:
            case ast.Compare(_, _, ast.List()):
                return self._membership(syntax, scope, depth)
            case ast.Compare():
                return self._comparison(syntax, scope, depth)
            case ast.BoolOp():
                return self._logical(syntax, scope, depth)
            case ast.BinOp():
                left = self.value(syntax.left, scope, depth)
                right = self.value(syntax.right, scope, depth)
                return operators.arithmetic(_word(syntax.op), left, right)
            case ast.UnaryOp():
                return self._unary(syntax, scope, depth)
            case ast.Call():
                return self._call(syntax, scope, depth)
            case ast.CollectionLambda():
                return self._lambda(syntax, scope, depth)
        raise syntax_error("A list is allowed only after in", place_of(syntax))

    # Paths.

    def _path(self, path: Path, scope: Scope) -> _Resolved:
        first, *rest = path.segments
        resolved: _Resolved
        owner_variable = scope.it if first == "$it" else scope.owner_of(path.at.source)
        if first in scope.variables:
            resolved = scope.variables[first]
        elif first in ("$it", "$this"):
            resolved = owner_variable
        else:
            resolved = self._member(owner_variable, first, path, scope)
        if first not in scope.variables and owner_variable is not scope.this:
            scope.referenced.add(owner_variable)
        for segment in rest:
            if isinstance(resolved, _Collection) and segment == "$count":
                navigation = resolved.navigation
                resolved = Count(resolved.origin, navigation, Variable(navigation.target), TRUE)
            elif isinstance(resolved, _Collection) and resolved.navigation.target.is_named(segment):
                continue  # a cast to the declared type: a no-op
            elif isinstance(resolved, Instance):
                resolved = self._member(resolved, segment, path, scope)
            else:
                raise syntax_error(f"/{segment} cannot follow here in {path}", path.at)
        return resolved

    def _member(self, instance: Instance, name: str, path: Path, scope: Scope) -> _Resolved:
        entity = instance.entity
        if isinstance(instance, Variable) and name in scope.computed.get(instance, {}):
            return self._computed(scope.computed[instance][name], path, scope)
        member = entity.by_name.get(name)
        if isinstance(member, Property):
            return Column(instance, member)
        if isinstance(member, Navigation):
            return (_Collection if member.collection else NavigationStep)(instance, member)
        if entity.is_named(name):
            return instance  # a cast to the declared type: a no-op
        raise syntax_error(f"{entity.name} has no property {name}", path.at)

    def _computed(self, computed: ComputedProperty, path: Path, scope: Scope) -> Node:
        """Return the expression of a computed property; count its tokens at each use."""
        self.size += computed.size
        if self.size > scope.max_computed:
            raise syntax_error(
                f"Computed properties may add at most {scope.max_computed} tokens to an expression"
                " (counted at each use)",
                path.at,
            )
        scope.count(computed.size, path.at)
        return computed.value

    def _lambda(self, syntax: Any, scope: Scope, depth: int) -> Node:
        owner: Path = syntax.owner
        operator = _word(syntax.operator)
        resolved = self._path(owner, scope)
        if not isinstance(resolved, _Collection):
            raise syntax_error(f"{owner} is not a collection", owner.at)
        variable = Variable(resolved.navigation.target)
        predicate: Node = TRUE
        if syntax.lambda_ is not None:
            if scope.depth >= _MAX_LAMBDA_DEPTH:
                raise syntax_error(
                    f"any, all and $count may be nested at most {_MAX_LAMBDA_DEPTH} levels deep",
                    operator.at,
                )
            inner = replace(scope, depth=scope.depth + 1)
            if operator.name == "count":
                inner = replace(inner, this=variable)
            else:
                name = syntax.lambda_.identifier.segments[0]
                inner = replace(inner, variables={**scope.variables, name: variable})
            predicate = self.condition(syntax.lambda_.expression, inner, depth)
        if operator.name == "count":
            return Count(resolved.origin, resolved.navigation, variable, predicate)
        return Quantifier(operator.name, resolved.origin, resolved.navigation, variable, predicate)

    # Operators and functions.

    def _logical(self, syntax: Any, scope: Scope, depth: int) -> Node:
        """Check a chain of one operator as one node: a long chain is not deep nesting."""
        operator = _word(syntax.op)
        operands: list[Any] = []
        while isinstance(syntax, ast.BoolOp) and _word(syntax.op).name == operator.name:
            operands.append(syntax.right)
            syntax = syntax.left
        operands.append(syntax)
        conditions = (self.condition(each, scope, depth) for each in reversed(operands))
        return LogicalOperation(operator.name, tuple(conditions))

    def _comparison(self, syntax: Any, scope: Scope, depth: int) -> Node:
        operator = _word(syntax.comparator)
        left = self._value_or_entity(syntax.left, scope, depth)
        right = self._value_or_entity(syntax.right, scope, depth)
        if isinstance(left, Instance) or isinstance(right, Instance):
            return _compare_entities(operator, left, right)
        return operators.comparison(operator, left, right)

    def _membership(self, syntax: Any, scope: Scope, depth: int) -> Node:
        operand = self.value(syntax.left, scope, depth)
        members = [
            self.value(each, scope, depth) for each in syntax.right.val if each is not EMPTY_LIST
        ]
        return operators.membership(_word(syntax.comparator), operand, members)

    def _unary(self, syntax: Any, scope: Scope, depth: int) -> Node:
        operator = _word(syntax.op)
        if operator.name == "not":
            return Negation(self.condition(syntax.operand, scope, depth))
        return operators.negation(operator, self.value(syntax.operand, scope, depth))

    def _call(self, syntax: Any, scope: Scope, depth: int) -> Node:
        name: Word = syntax.func
        if name.name in ("cast", "isof"):
            return self._cast(name, syntax.args, scope, depth)
        if name.name == "case":
            conditions = [self.condition(each, scope, depth) for each in syntax.args[::2]]
            results = [self.value(each, scope, depth) for each in syntax.args[1::2]]
            return operators.case(name, conditions, results)
        return operators.call(name, tuple(self.value(each, scope, depth) for each in syntax.args))

    def _cast(self, name: Word, arguments: list[Any], scope: Scope, depth: int) -> Node:
        if not 1 <= len(arguments) <= 2 or not isinstance(arguments[-1], Path):
            raise syntax_error(
                f"{name.name} requires an expression and the name of a type", name.at
            )
        type_path: Path = arguments[-1]
        operand: Node | Instance = scope.owner_of(name.at.source)
        if len(arguments) == 2:
            operand = self._value_or_entity(arguments[0], scope, depth)
        if not isinstance(operand, Instance):
            return operators.cast(name, operand, str(type_path), type_path.at)
        entity = _entity_type(type_path)
        if name.name == "cast":
            raise unsupported("cast of an entity is not supported", name.at)
        return Literal(Edm.BOOLEAN, entity.qualified_name == operand.entity.qualified_name)


def _compare_entities(operator: Word, left: Node | Instance, right: Node | Instance) -> Node:
    """Compare two entities by their keys, or an entity with null."""
    sides: list[tuple[Node, ...]] = []
    entities: set[EntityType] = set()
    for side in (left, right):
        if isinstance(side, Instance):
            entities.add(side.entity)
            sides.append(tuple(Column(side, each) for each in side.entity.key))
        elif side.type is Edm.NULL:
            sides.append((side,))  # an entity without the first property of its key is none
    if operator.name not in ("eq", "ne") or len(sides) < 2 or len(entities) > 1:
        raise syntax_error(
            "An entity can be compared only by eq or ne, with null or an entity of its type",
            operator.at,
        )
    pairs = [Comparison(operator.name, *pair) for pair in zip(*sides, strict=False)]
    if len(pairs) == 1:
        return pairs[0]
    return LogicalOperation("and" if operator.name == "eq" else "or", tuple(pairs))


def _entity_type(path: Path) -> EntityType:
    for entity in ENTITY_TYPES:
        if entity.is_named(str(path)):
            return entity
    raise syntax_error(f"The entity type {path} does not exist", path.at)


def _word(operator: Any) -> Word:
    """Return an operator of the AST: the lexer replaces odata-query's operators by ``Word``."""
    word: Word = operator
    return word


def place_of(syntax: Any) -> Place:
    """Return the place of an AST node: that of its operator or of its first token."""
    match syntax:
        case ast.List():
            return place_of(syntax.val[0])
        case ast.Call():
            return place_of(syntax.func)
        case ast.CollectionLambda():
            return place_of(syntax.owner)
        case ast.Compare():
            return place_of(syntax.comparator)
        case ast.BoolOp() | ast.BinOp() | ast.UnaryOp():
            return place_of(syntax.op)
    place: Place = syntax.at
    return place
