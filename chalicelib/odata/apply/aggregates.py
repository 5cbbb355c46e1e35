"""The aggregation methods: their operand types, result types and SQL.

Aggregates ignore nulls. Without values the result is null; that of countdistinct is 0. OData
Extension for Data Aggregation 4.0, section 3.2.1.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.odata.ast import Call, Node
from chalicelib.odata.edm import INTEGERS, NUMBERS, Edm

# Counts are Edm.Decimal: sections 3.2.1.3.5 and 3.2.1.4 of the extension.
COUNT = Call("CAST(count(*) AS numeric)", (), Edm.DECIMAL)


@dataclass(frozen=True, slots=True)
class AggregationMethod:
    """The SQL of an aggregation method for one operand type, and the type of its result."""

    template: str
    result: Edm


def _same_type(template: str, *types: Edm) -> dict[Edm, AggregationMethod]:
    return {each: AggregationMethod(template, each) for each in types}


def _extreme(name: str, boolean_function: str) -> dict[Edm, AggregationMethod]:
    """Define min or max: strings are ordered by code points, GUIDs by their digits."""
    ordered = (*NUMBERS, Edm.DATE, Edm.TIME_OF_DAY, Edm.DATE_TIME_OFFSET, Edm.DURATION)
    return {
        **_same_type(f"{name}({{0}})", *ordered),
        # With the default collation, the result can be compared with any other text.
        **_same_type(f'({name}({{0}} COLLATE "C") COLLATE "default")', Edm.STRING),
        **_same_type(f'CAST({name}(CAST({{0}} AS text) COLLATE "C") AS uuid)', Edm.GUID),
        **_same_type(f"{boolean_function}({{0}})", Edm.BOOLEAN),
    }


AGGREGATION_METHODS: dict[str, Mapping[Edm, AggregationMethod]] = {
    # A sum outside the range of Int64 is an error, as in all other arithmetic.
    "sum": {
        **dict.fromkeys(INTEGERS, AggregationMethod("CAST(sum({0}) AS bigint)", Edm.INT64)),
        **_same_type("sum({0})", Edm.DECIMAL, Edm.DOUBLE, Edm.DURATION),
    },
    "average": {
        **dict.fromkeys(INTEGERS, AggregationMethod("avg({0})", Edm.DECIMAL)),
        **_same_type("avg({0})", Edm.DECIMAL, Edm.DOUBLE, Edm.DURATION),
    },
    "min": _extreme("min", "bool_and"),
    "max": _extreme("max", "bool_or"),
    "countdistinct": {
        each: AggregationMethod("CAST(count(DISTINCT {0}) AS numeric)", Edm.DECIMAL)
        for each in Edm
        if each is not Edm.NULL
    },
}

# The methods whose result changes if an entity's value is counted more than once.
DUPLICATE_SENSITIVE = ("sum", "average")


def aggregate_call(method: AggregationMethod, value: Node) -> Node:
    """Return the aggregate of an expression over the rows of a group."""
    return Call(method.template, (value,), method.result)


def occurrence_number(groups: Sequence[Node], entity: Node) -> Node:
    """Number the rows of a group that lead to the same entity, from 1.

    This sorts, and a sort can spill to disk. An array of the entities seen would stay in memory.
    """
    parts = ", ".join(f"{{{number}}}" for number in range(len(groups) + 1))
    template = f"row_number() OVER (PARTITION BY {parts})"
    return Call(template, (entity, *groups), Edm.INT64)


def first_occurrence(number: Node, value: Node) -> Node:
    """Return the value in the first row of each entity, null in its other rows."""
    return Call("CASE WHEN {0} = 1 THEN {1} END", (number, value), value.type)


def total_count(collection_count: Node) -> Node:
    """Return the sum of the counts that the rows have of one of their collections."""
    return Call("CAST(COALESCE(sum({0}), 0) AS numeric)", (collection_count,), Edm.DECIMAL)


def distinct_count(value: Node) -> Node:
    """Return the number of different values."""
    return aggregate_call(AGGREGATION_METHODS["countdistinct"][value.type], value)
