"""Reading a query takes time in proportion to its length, however deeply it is nested.

The time is counted in calls of functions, which do not depend on the machine.
"""

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from chalicelib.odata.ast import Node
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.query.parse_query import QueryLimits, parse_query
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters
from tests.support.tokens import INTEGRATION

LIMITS = QueryLimits(Bounds(100_000, 1_000), 100_000, 2)

# One kind of node each, nested in itself.
NESTED: dict[str, Callable[[str], str]] = {
    "Call with a text": lambda inner: f"trim({inner})",
    "Call with two texts": lambda inner: f"concat({inner},deviceId)",
    "Call that truncates": lambda inner: f"substring({inner},0,5)",
    "Cast": lambda inner: f"cast(cast({inner},Edm.Boolean),Edm.String)",
    "Case": lambda inner: f"case(true:{inner},false:status)",
    "Comparison": lambda inner: f"cast(({inner}) eq status,Edm.String)",
    "Membership": lambda inner: f"cast({inner} in ('a','b'),Edm.String)",
    "LogicalOperation": lambda inner: f"cast({inner} eq 'a' or true and false,Edm.String)",
    "Negation": lambda inner: f"cast(not ({inner} eq 'a'),Edm.String)",
    "arithmetic": lambda inner: f"cast(length({inner}) add 1 mul latitude,Edm.String)",
    "negation of a number": lambda inner: f"cast(-length({inner}),Edm.String)",
    "date": lambda inner: f"cast(cast({inner},Edm.Date) add duration'P1D',Edm.String)",
}


def calls_of(run: Callable[[], object]) -> int:
    """Return how many functions a call calls."""
    count = 0

    def trace(_: FrameType, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def read(kind: str, depth: int) -> Node:
    text = "status"
    for _ in range(depth):
        text = NESTED[kind](text)
    query = parse_query({"$compute": f"{text} as a"}, POINT_RECORD, {}, LIMITS)
    (computed,) = query.projection.computed
    return computed.value


@pytest.mark.parametrize("kind", NESTED)
def test_twice_the_nesting_takes_twice_the_time(kind: str) -> None:
    """A bit more than twice is allowed for; the time was quadratic in the nesting."""

    def translate(depth: int) -> str:
        node = read(kind, depth)
        return Translator(QueryParameters(INTEGRATION)).value(node)

    read(kind, 1), translate(2)  # caches of regular expressions and of the grammar
    short, long = (calls_of(partial(translate, depth)) for depth in (12, 24))
    assert short < long < 2.1 * short


def test_time_of_many_items_is_proportional_to_them() -> None:
    def read(items: int) -> object:
        text = ",".join(f"{'trim(' * 8}status{')' * 8} as a{n}" for n in range(items))
        return parse_query({"$compute": text}, POINT_RECORD, {}, LIMITS)

    read(2)
    short, long = (calls_of(partial(read, items)) for items in (15, 30))
    assert short < long < 2.1 * short
