"""The aggregation methods: what each takes, what it gives, its SQL.

Null is no value to any of them; of no values they give null, and countdistinct 0. OData Extension
for Data Aggregation 4.0, section 3.2.1.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.odata.edm import INTEGERS, NUMBERS, Edm
from chalicelib.odata.expressions.tree import Call, Column, Node, Step

# Counts are Edm.Decimal: section 3.2.1.3.5 and 3.2.1.4 of the extension.
COUNT = Call("CAST(count(*) AS numeric)", (), Edm.DECIMAL)


@dataclass(frozen=True, slots=True)
class Method:
    """One way to aggregate: the SQL for values of a type, and the type of the result."""

    template: str
    result: Edm


def _of_same(template: str, *types: Edm) -> dict[Edm, Method]:
    return {each: Method(template, each) for each in types}


def _extreme(name: str, of_truth: str) -> dict[Edm, Method]:
    """Smallest or largest: texts by code points, GUIDs by their digits."""
    ordered = (*NUMBERS, Edm.DATE, Edm.TIME_OF_DAY, Edm.DATE_TIME_OFFSET, Edm.DURATION)
    return {
        **_of_same(f"{name}({{0}})", *ordered),
        # The outer collation lets the result be compared with any other text.
        **_of_same(f'({name}({{0}} COLLATE "C") COLLATE "default")', Edm.STRING),
        **_of_same(f'CAST({name}(CAST({{0}} AS text) COLLATE "C") AS uuid)', Edm.GUID),
        **_of_same(f"{of_truth}({{0}})", Edm.BOOLEAN),
    }


METHODS: dict[str, Mapping[Edm, Method]] = {
    # Beyond Int64 a sum fails, as calculating does everywhere else.
    "sum": {
        **dict.fromkeys(INTEGERS, Method("CAST(sum({0}) AS bigint)", Edm.INT64)),
        **_of_same("sum({0})", Edm.DECIMAL, Edm.DOUBLE, Edm.DURATION),
    },
    "average": {
        **dict.fromkeys(INTEGERS, Method("avg({0})", Edm.DECIMAL)),
        **_of_same("avg({0})", Edm.DECIMAL, Edm.DOUBLE, Edm.DURATION),
    },
    "min": _extreme("min", "bool_and"),
    "max": _extreme("max", "bool_or"),
    "countdistinct": {
        each: Method("CAST(count(DISTINCT {0}) AS numeric)", Edm.DECIMAL)
        for each in Edm
        if each is not Edm.NULL
    },
}

# Each entity that a path leads to counts once, however many lead to it: section 3.2.1.1.
_ONCE = (
    "(SELECT {} FROM (SELECT DISTINCT k, v FROM unnest(array_agg({{0}}), array_agg({{1}}))"
    " AS u(k, v)) AS u)"
)
_REPEATED_MATTER = ("sum", "average")


def aggregated(name: str, method: Method, value: Node, *, is_path: bool) -> Node:
    """Return the aggregate of a value of each row of a group."""
    if is_path and name in _REPEATED_MATTER and isinstance(value, Column):
        step = value.instance
        if isinstance(step, Step):
            template = _ONCE.format(method.template.format("u.v"))
            return Call(template, (Column(step, step.entity.key), value), method.result)
    return Call(method.template, (value,), method.result)


def counted(related: Node) -> Node:
    """Return how many entities a collection of each row has, in all."""
    return Call("CAST(COALESCE(sum({0}), 0) AS numeric)", (related,), Edm.DECIMAL)


def distinct(value: Node) -> Node:
    """Return how many different values there are."""
    return Call(METHODS["countdistinct"][value.type].template, (value,), Edm.DECIMAL)
