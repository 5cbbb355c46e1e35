"""The aggregation methods: what each takes, what it gives, its SQL.

Null is no value to any of them; of no values they give null, and countdistinct 0. OData Extension
for Data Aggregation 4.0, section 3.2.1.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.odata.ast import Call, Node
from chalicelib.odata.edm import INTEGERS, NUMBERS, Edm

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

# Where it matters that a value comes again with each row that leads to the same entity.
REPEATS_MATTER = ("sum", "average")


def aggregated(method: Method, value: Node) -> Node:
    """Return the aggregate of a value of each row of a group."""
    return Call(method.template, (value,), method.result)


def place_among(groups: Sequence[Node], entity: Node) -> Node:
    """Return the number of a row among those of its group that lead to the same entity, from 1 on.

    It is sorted for, which spills to the disk; an array of all that was met would be in memory.
    """
    parts = ", ".join(f"{{{number}}}" for number in range(len(groups) + 1))
    template = f"row_number() OVER (PARTITION BY {parts})"
    return Call(template, (entity, *groups), Edm.INT64)


def of_first(place: Node, value: Node) -> Node:
    """Return a value in the first row that leads to its entity, null in the others."""
    return Call("CASE WHEN {0} = 1 THEN {1} END", (place, value), value.type)


def counted(related: Node) -> Node:
    """Return how many entities a collection of each row has, in all."""
    return Call("CAST(COALESCE(sum({0}), 0) AS numeric)", (related,), Edm.DECIMAL)


def distinct(value: Node) -> Node:
    """Return how many different values there are."""
    return Call(METHODS["countdistinct"][value.type].template, (value,), Edm.DECIMAL)
