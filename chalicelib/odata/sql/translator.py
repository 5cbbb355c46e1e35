"""Translate typed ASTs to SQL with bound parameters. A function's SQL is its ``Call.template``.

Invariant: the SQL contains no text from the client.

Comparisons in OData are never null: ``ne`` with one null is true, ``gt`` with a null is false,
null equals null. The SQL spells out this difference only where an operand is nullable and where
false and null lead to different results. Plain operators elsewhere allow an index to be used.
URL Conventions 4.01, section 5.1.1.1.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from chalicelib.odata.ast import (
    Call,
    Case,
    Cast,
    Column,
    Comparison,
    Count,
    Instance,
    Literal,
    LogicalOperation,
    Membership,
    NavigationStep,
    Negation,
    Node,
    Quantifier,
    Variable,
)
from chalicelib.odata.edm import Edm, promote
from chalicelib.odata.expressions.failure import may_fail, navigation_steps
from chalicelib.odata.model import EntityType, Navigation, Property
from chalicelib.odata.sql.id_bounds import implied_bounds
from chalicelib.postgres.query_parameters import QueryParameters

_COMPARISONS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_HOLDS_FOR_EQUAL = ("eq", "ge", "le")
_BY_ORDER = ("gt", "ge", "lt", "le")
# Without OFFSET 0 the planner would flatten the subselect and duplicate the operands.
_OPERANDS = "FROM (SELECT {} AS x, {} AS y OFFSET 0) AS o"


class Translator:
    """Translates the expressions of one SELECT that runs for the principal of ``parameters``.

    All SELECTs of a statement share their parameters. ``outer`` maps the variables of enclosing
    SELECTs to the aliases of their rows: an expression that refers to one joins its row by the key.
    ``fenced`` says that what can fail must not be evaluated on other rows than those of FROM.
    """

    def __init__(
        self,
        parameters: QueryParameters,
        outer: Mapping[Variable, str] | None = None,
        *,
        fenced: bool = False,
    ) -> None:
        self.parameters = parameters
        self._fenced = fenced
        self._outer = outer or {}
        self._aliases: dict[Instance, str] = {}
        self._joins: dict[Variable, list[str]] = {}
        self._numbers = count()
        self._depth = 0  # nesting of conditions on related rows

    def source(self, entity: EntityType, *, is_linked: bool = False) -> str:
        """Return the FROM item for a type's entities, restricted to those the principal may read.

        Invariant: every table access goes through this method, below each filter, navigation and
        count.

        Args:
            entity: the type.
            is_linked: a join condition leads to the entities, so the plan starts elsewhere.

        Raises:
            InvalidError: the statement reads too many tables.
        """
        self.parameters.reserve_table()
        if not self.parameters.principal.bounds:
            return entity.table
        if not entity.own_rows:
            return f"(SELECT * FROM {entity.table} WHERE FALSE)"
        own = self.parameters.owned_by_principal("p")
        if is_linked:
            return f"(SELECT * FROM {entity.table} AS p WHERE {own})"
        return f"({entity.own_rows.format(own=own)})"

    def from_clause(self, variable: Variable, *, is_linked: bool = False) -> str:
        """Return what follows FROM so that ``variable`` is in scope.

        Call it after all expressions on the variable have been translated: each of their
        navigations to a single entity adds a join.
        """
        alias = self._alias(variable)
        source = self.source(variable.entity, is_linked=is_linked)
        return " ".join([f"{source} AS {alias}", *self._joins[variable]])

    def from_clause_with_outer(self, variable: Variable) -> str:
        """Return ``from_clause`` with joins that bring the outer variables into scope."""
        clause = self.from_clause(variable, is_linked=True)
        for each, row in self._outer.items():
            if each in self._joins:
                alias = self._alias(each)
                same_key = " AND ".join(
                    f"{alias}.{prop.column} = {row}.{prop.column}" for prop in each.entity.key
                )
                joins = " ".join(["", *self._joins[each]])
                source = self.source(each.entity, is_linked=True)
                clause += f" JOIN {source} AS {alias} ON {same_key}{joins}"
        return clause

    def link(self, navigation: Navigation, origin: str, target: Variable) -> str:
        """Return the join condition of a navigation from the row ``origin`` to the variable."""
        return _link(navigation, origin, self._alias(target))

    def truth(self, node: Node) -> str:
        """Return SQL that is true if the node is true, and otherwise false or null: for WHERE."""
        if isinstance(node, LogicalOperation):
            return self._logical(node, [self.truth(each) for each in node.operands])
        sql = self._plain_truth(node)
        if not self.may_fail_before_join(node):
            return sql
        # This condition names both tables, so it is evaluated only on entities that a row leads to.
        links = [
            _link(each.navigation, self._alias(each.origin), self._alias(each))
            for each in navigation_steps(node)
            if self.is_joined(each)
        ]
        return f"CASE WHEN {' AND '.join(links)} THEN {sql} END"

    def may_fail_before_join(self, node: Node) -> bool:
        """Return whether an expression can fail for an entity that no row leads to.

        The planner may evaluate a condition on one table before it joins the table.
        """
        return may_fail(node) and any(map(self.is_joined, navigation_steps(node)))

    def is_joined(self, _: NavigationStep) -> bool:
        """Return whether a navigation to one entity joins a table."""
        return True

    def _plain_truth(self, node: Node) -> str:
        if isinstance(node, Comparison):
            return self._with_bounds_of_id(node, self._comparison(node, exact=False))
        if isinstance(node, Membership):
            return self._membership(node, exact=False)
        return self.value(node)

    def value(self, node: Node) -> str:
        """Return SQL with exactly the value of the node, including null."""
        match node:
            case Literal():
                return self.bind(node.type, node.value)
            case Column():
                return self.column(node.instance, node.member)
            case Call():
                return node.template.format(*map(self.value, node.arguments))
            case Cast():
                return node.template.format(self.value(node.operand))
            case Case():
                pairs = (f"WHEN {self.truth(c)} THEN {self.value(r)}" for c, r in node.pairs)
                return f"CASE {' '.join(pairs)} END"
            case Comparison():
                return self._comparison(node, exact=True)
            case Membership():
                return self._membership(node, exact=True)
            case LogicalOperation():
                return self._logical(node, [self.value(each) for each in node.operands])
            case Negation():
                return f"(NOT {self.value(node.operand)})"
            case Quantifier():
                return self._any_or_all(node)
            case Count():
                return f"(SELECT count(*) {self._related(node)})"
        raise TypeError(f"no SQL for {type(node).__name__}")

    def bind(self, edm: Edm, value: Any) -> str:
        """Bind a value, and return its placeholder with a cast."""
        if value is None:
            return f"CAST(NULL AS {edm.sql})"
        if edm is Edm.BOOLEAN:
            return "TRUE" if value else "FALSE"
        return self.bind_text(edm, to_text(value))

    def bind_text(self, edm: Edm, text: str) -> str:
        """Bind a value that is already in Postgres' text format."""
        return f"CAST({self.parameters.bind(text)} AS {edm.sql})"

    def by_order(self, node: Node) -> str:
        """Return the value for a comparison by order: strings by code points, in any database."""
        collation = ' COLLATE "C"' if node.type is Edm.STRING else ""
        return f"{self.value(node)}{collation}"

    def column(self, instance: Instance, prop: Property) -> str:
        """Return the column of a property."""
        return f"{self._alias(instance)}.{prop.column}"

    def _alias(self, instance: Instance) -> str:
        alias = self._aliases.get(instance)
        if alias is None:
            origin = self._alias(instance.origin) if isinstance(instance, NavigationStep) else None
            alias = self._aliases[instance] = f"t{next(self._numbers)}"
            if isinstance(instance, NavigationStep) and origin:
                self._join(instance, origin, alias)
            elif isinstance(instance, Variable):
                self._joins[instance] = []
        return alias

    def _join(self, step: NavigationStep, origin: str, alias: str) -> None:
        variable = step.origin
        while isinstance(variable, NavigationStep):
            variable = variable.origin
        link = _link(step.navigation, origin, alias)
        self.parameters.reserve_join()
        self._joins[variable].append(
            f"LEFT JOIN {self.source(step.entity, is_linked=True)} AS {alias} ON {link}"
        )

    def _logical(self, node: LogicalOperation, operands: list[str]) -> str:
        return f"({f' {node.operator.upper()} '.join(operands)})"

    def _comparison(self, node: Comparison, *, exact: bool) -> str:
        left, right = node.left, node.right
        if Edm.NULL in (left.type, right.type):
            return self._with_null(node)
        side = self.by_order if node.operator in _BY_ORDER else self.value
        x, y = side(left), side(right)
        sign = _COMPARISONS[node.operator]
        both_nullable = left.nullable and right.nullable
        if left.may_be_nan or right.may_be_nan:
            return self._with_nan(node, x, y)
        if node.operator == "ne" and (left.nullable or right.nullable):
            return f"({x} IS DISTINCT FROM {y})"
        if node.operator == "eq" and both_nullable:
            return f"({x} IS NOT DISTINCT FROM {y})"
        if node.operator in _HOLDS_FOR_EQUAL and both_nullable:
            return (
                f"(SELECT COALESCE(x {sign} y, x IS NULL AND y IS NULL) {_OPERANDS.format(x, y)})"
            )
        if exact and (left.nullable or right.nullable):
            return f"COALESCE({x} {sign} {y}, FALSE)"
        return f"({x} {sign} {y})"

    def _with_bounds_of_id(self, node: Comparison, sql: str) -> str:
        """Add what a condition on an instant implies for ids, so that few months are read."""
        implied = implied_bounds(node)
        if implied is None:
            return sql
        instance, bounds = implied[0].instance, implied[1]
        (key,) = instance.entity.key
        columns = [self.column(instance, key)]
        if isinstance(instance, NavigationStep):
            columns.append(f"{self._alias(instance.origin)}.{instance.navigation.column}")
        conditions = [
            f"{column} {sign} {self.bind(Edm.GUID, bound)}"
            for sign, bound in bounds
            for column in columns
        ]
        return f"({' AND '.join([sql, *conditions])})"

    def _with_null(self, node: Comparison) -> str:
        """Translate a comparison with the literal null."""
        other = node.right if node.left.type is Edm.NULL else node.left
        if other.type is Edm.NULL:
            return "TRUE" if node.operator in _HOLDS_FOR_EQUAL else "FALSE"
        if node.operator == "ne":
            return f"({self.value(other)} IS NOT NULL)"
        if node.operator in _HOLDS_FOR_EQUAL:
            return f"({self.value(other)} IS NULL)"
        return "FALSE"

    def _with_nan(self, node: Comparison, x: str, y: str) -> str:
        """Translate a comparison of values that may be NaN: in OData NaN equals nothing."""
        sign = _COMPARISONS[node.operator]
        of = promote(node.left.type, node.right.type).sql
        match node.operator:
            case "ne":
                of_nan, of_others = "TRUE", "x IS DISTINCT FROM y"
            case "gt" | "lt":
                of_nan, of_others = "FALSE", f"COALESCE(x {sign} y, FALSE)"
            case _:
                of_nan, of_others = "FALSE", f"COALESCE(x {sign} y, x IS NULL AND y IS NULL)"
        return (
            f"(SELECT CASE WHEN x = 'NaN' OR y = 'NaN' THEN {of_nan} ELSE {of_others} END"
            f" FROM (SELECT CAST({x} AS {of}) AS x, CAST({y} AS {of}) AS y OFFSET 0) AS o)"
        )

    def _membership(self, node: Membership, *, exact: bool) -> str:
        operand = self.value(node.operand)
        if not node.values:
            return f"({operand} IS NULL)"
        array = self.parameters.bind(array_text(node.values))
        is_member = f"{operand} = ANY(CAST({array} AS {node.type_of_values.sql}[]))"
        if node.operand.nullable and node.has_null:
            return f"COALESCE({is_member}, TRUE)"
        return (
            f"COALESCE({is_member}, FALSE)" if exact and node.operand.nullable else f"({is_member})"
        )

    def _any_or_all(self, node: Quantifier) -> str:
        # OFFSET 0 makes Postgres plan it separately, where it is nested, one of many, or can fail
        # for related rows of rows that are removed.
        joined = self._depth == 0 and self.parameters.reserve_join()
        joined = joined and not (self._fenced and may_fail(node.predicate))
        fence = "" if joined else " OFFSET 0"
        if node.operator == "any":
            return f"EXISTS (SELECT 1 {self._related(node)}{fence})"
        return f"(NOT EXISTS (SELECT 1 {self._related(node, unless=True)}{fence}))"

    def _related(self, node: Quantifier | Count, *, unless: bool = False) -> str:
        """Return FROM and WHERE for the related rows that meet the predicate, or do not."""
        self._depth += 1
        if unless:
            condition = f"{self.value(node.predicate)} IS NOT TRUE"
        else:
            condition = self.truth(node.predicate)
        self._depth -= 1
        link = _link(node.navigation, self._alias(node.origin), self._alias(node.variable))
        source = self.from_clause(node.variable, is_linked=True)
        return f"FROM {source} WHERE {link} AND {condition}"


def _link(navigation: Navigation, origin: str, target: str) -> str:
    return f"{target}.{navigation.target_column} = {origin}.{navigation.column}"


def to_text(value: Any) -> str:
    """Format a value in Postgres' text format."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds}.{value.microseconds:06d} seconds"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value).lower() if isinstance(value, bool) else str(value)


def array_text(values: Sequence[Any]) -> str:
    """Format an array in Postgres' text format.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO. Every element is quoted: an
    unquoted ``null`` would be null, not the string.
    """
    quoted = (to_text(each).replace("\\", "\\\\").replace('"', '\\"') for each in values)
    return "{" + ",".join(f'"{each}"' for each in quoted) + "}"
