"""Translate relations to SQL: each transformation is a SELECT from the one before it.

All other translation reads tables through ``Translator.source``. The override here puts the SELECT
of a relation in place of its table. The first transformation still reads the entities of the
resource path from their table, and so does each navigation.
"""

from collections.abc import Sequence

from chalicelib.odata.apply.relation import GroupedNavigation, Relation, Subselect, Union
from chalicelib.odata.ast import Instance, NavigationStep, Node
from chalicelib.odata.edm import Edm
from chalicelib.odata.expressions.failure import may_fail
from chalicelib.odata.model import EntityType, Property
from chalicelib.odata.sql.keyset import after_place
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters


class RelationTranslator(Translator):
    """A translator that reads relations as tables.

    Args:
        parameters: the bound values, which all SELECTs of the statement share.
        conditions: what the resource path requires of the entities of the first SELECT.
        fenced: keeps the expressions of this SELECT away from rows that the relation which it reads
            does not have: ``needs_fence``.
        page: replaces the SELECT of the last relation, to make fewer of its rows.
    """

    def __init__(
        self,
        parameters: QueryParameters,
        conditions: Sequence[Node],
        fenced: bool,
        page: Subselect | None = None,
    ) -> None:
        super().__init__(parameters, fenced=fenced)
        self._conditions = conditions
        self._page = page

    def source(self, entity: EntityType, *, is_linked: bool = False) -> str:
        if isinstance(entity, Relation):
            select = self._page or entity.select
            if isinstance(select, Union):
                return f"({' UNION ALL '.join(f'({self._subselect(e)})' for e in select.selects)})"
            return f"({self._subselect(select, keep_apart=self._fenced)})"
        return super().source(entity, is_linked=is_linked)

    def is_joined(self, step: NavigationStep) -> bool:
        return not isinstance(step.navigation, GroupedNavigation)

    def column(self, instance: Instance, prop: Property) -> str:
        if isinstance(instance, NavigationStep) and not self.is_joined(instance):
            return super().column(instance.origin, prop)
        return super().column(instance, prop)

    def _subselect(self, select: Subselect, *, keep_apart: bool = False) -> str:
        """Return the text of a SELECT, whose table aliases are its own.

        Args:
            select: what to select.
            keep_apart: whether conditions on its rows must not be moved into it.
        """
        # No output of a group is computed before the conditions have chosen its rows.
        outputs_of_rows = () if select.keys else tuple(each.value for each in select.outputs)
        reads_fenced = needs_fence(select.input.entity, (*select.conditions, *outputs_of_rows))
        inner = RelationTranslator(self.parameters, self._conditions, reads_fenced)
        conditions = select.conditions
        if not isinstance(select.input.entity, Relation):
            conditions = (*self._conditions, *conditions)
        outputs = [
            f"{inner.value(each.value)} AS {each.property.column}" for each in select.outputs
        ]
        where = [inner.truth(each) for each in conditions]
        if select.after is not None:
            keys = [inner.by_order(each.expression) for each in select.order]
            where.append(after_place(select.input.entity, select.order, keys, select.after, inner))
        order = [_order_key(inner, each.expression, each.descending) for each in select.order]
        is_fenced = (
            keep_apart
            or select.fenced
            # Otherwise a condition on such an output could be evaluated before the join.
            or any(map(inner.may_fail_before_join, outputs_of_rows))
            # Otherwise the planner would plan the joins of twenty transformations together.
            or not self.parameters.may_join
        )
        parts = [f"SELECT {', '.join(outputs)} FROM {inner.from_clause(select.input)}"]
        if where:
            parts.append(f"WHERE {' AND '.join(where)}")
        if select.keys:
            parts.append(f"GROUP BY {', '.join(map(str, range(1, select.keys + 1)))}")
        if order:
            parts.append(f"ORDER BY {', '.join(order)}")
        if select.top is not None:
            parts.append(f"LIMIT {inner.bind(Edm.INT64, select.top)}")
        if select.skip:
            parts.append(f"OFFSET {inner.bind(Edm.INT64, select.skip)}")
        elif is_fenced:
            parts.append("OFFSET 0")
        return " ".join(parts)


def needs_fence(entity: EntityType, evaluated: Sequence[Node]) -> bool:
    """Return whether expressions on an entity type must not be moved into the SELECT of its rows.

    If one of them can fail, it would fail on rows that the SELECT removes. Otherwise an index may
    serve them there.
    """
    return isinstance(entity, Relation) and _removes_rows(entity.select) and may_fail(*evaluated)


def _removes_rows(select: Subselect | Union) -> bool:
    """Return whether the planner may move a condition on a SELECT among conditions within it.

    It moves none into a SELECT with a limit or a window function. Those of a ``Union`` have one.
    """
    if isinstance(select, Union) or select.fenced or select.skip or select.top is not None:
        return False
    inner = select.input.entity
    return bool(select.conditions) or (isinstance(inner, Relation) and _removes_rows(inner.select))


def _order_key(translator: Translator, expression: Node, descending: bool) -> str:
    direction = "DESC NULLS LAST" if descending else "ASC NULLS FIRST"
    if not expression.nullable:
        direction = direction[: direction.index(" ")]
    return f"{translator.by_order(expression)} {direction}"
