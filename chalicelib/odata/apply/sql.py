"""Put rows into SQL: each transformation is a SELECT from the one before, in one statement.

What is a table to every other translation is read through ``Translator.source`` here too: the first
transformation reads the entities of the path by it, and so does each navigation.
"""

from collections.abc import Sequence

from chalicelib.odata.apply.relation import Nested, Rows, Select
from chalicelib.odata.ast import Instance, NavigationStep, Node
from chalicelib.odata.edm import Edm
from chalicelib.odata.model import EntityType, Property
from chalicelib.odata.sql.keyset import after_place
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters


class RowsTranslator(Translator):
    """A translator to which rows are tables.

    Args:
        parameters: the values of the statement, shared by its SELECTs.
        conditions: what the path says of the entities that the first transformation reads.
        page: the SELECT of those of the last rows that are wanted, where not of all of them.
    """

    def __init__(
        self, parameters: QueryParameters, conditions: Sequence[Node], page: Select | None = None
    ) -> None:
        super().__init__(parameters)
        self._conditions = conditions
        self._page = page

    def source(self, entity: EntityType) -> str:
        if isinstance(entity, Rows):
            return f"({self._select(self._page or entity.select)})"
        return super().source(entity)

    def column(self, instance: Instance, prop: Property) -> str:
        if isinstance(instance, NavigationStep) and isinstance(instance.navigation, Nested):
            return super().column(instance.origin, prop)
        return super().column(instance, prop)

    def _select(self, select: Select) -> str:
        """Return the SELECT that makes rows, with aliases of its own."""
        inner = RowsTranslator(self.parameters, self._conditions)
        conditions = select.conditions
        if not isinstance(select.input.entity, Rows):
            conditions = (*self._conditions, *conditions)
        outputs = [
            f"{inner.value(each.value)} AS {each.property.column}" for each in select.outputs
        ]
        where = [inner.truth(each) for each in conditions]
        if select.after is not None:
            keys = [inner.by_order(each.expression) for each in select.order]
            where.append(after_place(select.input.entity, select.order, keys, select.after, inner))
        order = [_ordered(inner, each.expression, each.descending) for each in select.order]
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
        elif select.fenced:
            parts.append("OFFSET 0")
        return " ".join(parts)


def _ordered(translator: Translator, expression: Node, descending: bool) -> str:
    direction = "DESC NULLS LAST" if descending else "ASC NULLS FIRST"
    if not expression.nullable:
        direction = direction[: direction.index(" ")]
    return f"{translator.by_order(expression)} {direction}"
