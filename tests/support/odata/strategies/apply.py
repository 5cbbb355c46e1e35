"""Draw random ``$apply`` chains, as OData text and as a Python function of rows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from tests.support.odata import apply_reference as reference
from tests.support.odata.apply_reference import Row
from tests.support.odata.reference import compare
from tests.support.odata.strategies.expressions import conditions, terms
from tests.support.odata.strategies.literals import literals
from tests.support.odata.strategies.term import Names, Scope, Term

_OF_ENTITY = {
    "Record": {
        "id": "guid", "employeeId": "int", "employerId": "int", "includedAt": "instant",
        "localDate": "date", "localTime": "time",
        "utcOffsetMinutes": "int", "deviceId": "text", "latitude": "double",
        "accuracyMeters": "double", "status": "text", "attempts": "int", "updatedAt": "instant",
    },
    "Log": {
        "pointId": "guid", "number": "int", "attempt": "int", "status": "text", "log": "text",
        "httpStatus": "int",
        "latencyMs": "int", "createdAt": "instant", "point/employerId": "int",
        "point/status": "text", "point/latitude": "double",
    },
}  # fmt: skip
_KEYS = {"Record": ["id"], "Log": ["pointId", "number"]}
# Kinds of computed properties whose values JSON represents exactly.
_COMPUTABLE = ["int", "text", "date", "time", "instant", "decimal", "guid"]
_ADDABLE = ("int", "double", "decimal", "duration")
_SMALL = ("utcOffsetMinutes", "attempts", "attempt", "httpStatus", "latencyMs")


@dataclass
class Chain:
    """A chain under construction: its text, its steps, and the properties of its result rows.

    Attributes:
        kinds: the available paths and the kinds of their values.
        inexact: the paths whose values depend on the order of evaluation.
        order: the order of the rows.
        unique: the paths that identify a row.
        loses_offset: whether an expression of a step does: ``Term.loses_offset``.
    """

    entity: str | None
    kinds: dict[str, str]
    unique: list[str]
    texts: list[str] = field(default_factory=list)
    steps: list[Callable[[list[Row]], list[Row]]] = field(default_factory=list)
    order: list[tuple[str, bool]] = field(default_factory=list)
    inexact: set[str] = field(default_factory=set)
    aliases: int = 0
    loses_offset: bool = False

    @property
    def text(self) -> str:
        return "/".join(self.texts)

    def evaluated(self, entities: list[Any]) -> list[Row]:
        rows = reference.rows_of(entities)
        for step in self.steps:
            rows = step(rows)
        return reference.sort(rows, self.total_order())

    def total_order(self) -> list[tuple[str, bool]]:
        return [*self.order, *((path, False) for path in self.unique)]

    def add(self, text: str, step: Callable[[list[Row]], list[Row]]) -> None:
        self.texts.append(text)
        self.steps.append(step)

    def alias(self) -> str:
        self.aliases += 1
        return f"a{self.aliases}"

    def exact(self) -> dict[str, str]:
        return {path: kind for path, kind in self.kinds.items() if path not in self.inexact}


@st.composite
def chains(draw: Any, entity: str) -> Chain:
    """Draw a chain of up to four transformations on the entities of a type."""
    chain = Chain(entity, dict(_OF_ENTITY[entity]), [*_KEYS[entity]])
    for _ in range(draw(st.integers(1, 4))):
        draw(st.sampled_from(_MAKERS))(chain, draw)
    return chain


def _filter(chain: Chain, draw: Any) -> None:
    if chain.entity and draw(st.booleans()):
        term = draw(conditions(chain.entity, 1))
    else:
        term = _comparison(chain, draw)
    chain.loses_offset |= term.loses_offset
    chain.add(
        f"filter({term.text})",
        lambda rows: [row for row in rows if term.value({"it": row}) is True],
    )


def _comparison(chain: Chain, draw: Any) -> Term:
    if not chain.exact():
        return Term("true", 0, lambda _: True)
    path = draw(st.sampled_from(sorted(chain.exact())))
    operator = draw(st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]))
    text, value = draw(literals(chain.kinds[path]))
    return Term(
        f"{path} {operator} {text}",
        0,
        lambda names: compare(operator, reference.read(names["it"], path), value),
    )


def _constant(value: Any) -> Callable[[Names], Any]:
    return lambda _: value


def _compute(chain: Chain, draw: Any) -> None:
    items: list[tuple[str, str, Term]] = []
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(_COMPUTABLE))
        if chain.entity:
            term = draw(terms(kind, (Scope("it", "", chain.entity),), 1))
            assume(term.text != "null")  # null has no type
        else:
            text, value = draw(literals(kind))
            term = Term(text, 0, _constant(value))
        chain.loses_offset |= term.loses_offset
        items.append((chain.alias(), kind, term))

    def step(rows: list[Row]) -> list[Row]:
        results = []
        for row in rows:
            values = {name: term.value({"it": row}) for name, _, term in items}
            results.append(Row(**{**vars(row), **values}))
        return results

    chain.add(f"compute({','.join(f'{term.text} as {name}' for name, _, term in items)})", step)
    chain.kinds |= {name: kind for name, kind, _ in items}


def _aggregates(chain: Chain, draw: Any) -> list[tuple[str, str, str, Callable[..., Any]]]:
    """Draw aggregates: alias, kind, text, and a function of a group's rows."""
    results: list[tuple[str, str, str, Callable[[list[Row]], Any]]] = []
    for _ in range(draw(st.integers(1, 3))):
        alias = chain.alias()
        if not chain.exact() or draw(st.integers(0, 3)) == 0:
            results.append((alias, "decimal", f"$count as {alias}", len))
            continue
        path = draw(st.sampled_from(sorted(chain.exact())))
        kind = chain.kinds[path]
        methods = ["min", "max", "countdistinct"]
        # A sum over a navigation counts each entity once: a hand-written test covers it.
        if kind in _ADDABLE and "/" not in path:
            methods += ["sum", "average", "sum"]
        method = draw(st.sampled_from(methods))
        of = path
        if path in _SMALL and draw(st.booleans()):
            of = f"{path} mul 2 sub 1"

        def value(rows: list[Row], path: str = path, of: str = of, method: str = method) -> Any:
            values = [reference.read(row, path) for row in rows]
            if of != path:
                values = [None if each is None else each * 2 - 1 for each in values]
            return reference.aggregated(method, values)

        if method == "countdistinct" or (method == "average" and kind == "int"):
            result = "decimal"
        else:
            result = kind
        if method in ("sum", "average") and kind in ("double", "duration"):
            chain.inexact.add(alias)
        if method == "average":
            chain.inexact.add(alias)
        results.append((alias, result, f"{of} with {method} as {alias}", value))
    return results


def _groupby(chain: Chain, draw: Any) -> None:
    exact = sorted(each for each in chain.exact() if chain.kinds[each] != "double")
    if not exact:
        return
    paths = draw(st.lists(st.sampled_from(exact), min_size=1, max_size=3, unique=True))
    aggregates = _aggregates(chain, draw) if draw(st.booleans()) else []
    text = f"groupby(({','.join(paths)})"
    if aggregates:
        text += f",aggregate({','.join(each[2] for each in aggregates)})"

    def step(rows: list[Row]) -> list[Row]:
        results = []
        for group, members in reference.grouped(rows, paths):
            for alias, _, _, value in aggregates:
                setattr(group, alias, value(members))
            results.append(group)
        return results

    _replace_rows(chain, f"{text})", step, paths, aggregates)


def _rollup(chain: Chain, draw: Any) -> None:
    exact = sorted(each for each in chain.exact() if chain.kinds[each] != "double")
    if len(exact) < 3:
        return
    first, *paths = draw(st.lists(st.sampled_from(exact), min_size=3, max_size=4, unique=True))
    alias = chain.alias()
    parts = []
    for length in range(len(paths), 0, -1):
        keys = [first, *paths[:length]]

        def step(rows: list[Row], keys: list[str] = keys) -> list[Row]:
            groups = reference.grouped(rows, keys)
            for group, members in groups:
                setattr(group, alias, len(members))
            return [group for group, _ in groups]

        parts.append(([step], [(each, False) for each in keys], set(paths[length:])))
    text = f"groupby(({first},rollup({','.join(paths)})),aggregate($count as {alias}))"
    chain.add(text, lambda rows: reference.concatenated(rows, parts))
    chain.kinds = {path: chain.kinds[path] for path in (first, *paths)} | {alias: "decimal"}
    chain.inexact &= set(chain.kinds)
    chain.entity, chain.order, chain.unique = None, [], ["#branch", "#position"]


def _aggregate(chain: Chain, draw: Any) -> None:
    aggregates = _aggregates(chain, draw)

    def step(rows: list[Row]) -> list[Row]:
        return [Row(**{alias: value(rows) for alias, _, _, value in aggregates})]

    _replace_rows(
        chain, f"aggregate({','.join(each[2] for each in aggregates)})", step, [], aggregates
    )


def _replace_rows(
    chain: Chain, text: str, step: Any, paths: list[str], aggregates: list[Any]
) -> None:
    chain.add(text, step)
    chain.kinds = {path: chain.kinds[path] for path in paths}
    chain.kinds |= {alias: kind for alias, kind, *_ in aggregates}
    chain.inexact &= set(chain.kinds)
    chain.entity, chain.order, chain.unique = None, [], paths


def _orderby(chain: Chain, draw: Any) -> None:
    if not chain.exact():
        return
    path, descending = draw(st.sampled_from(sorted(chain.exact()))), draw(st.booleans())
    chain.add(f"orderby({path}{' desc' if descending else ''})", lambda rows: rows)
    chain.order = [(path, descending), *chain.order]


def _cut(chain: Chain, draw: Any) -> None:
    name, number = draw(st.sampled_from(["top", "skip"])), draw(st.integers(0, 12))
    order = chain.total_order()

    def step(rows: list[Row]) -> list[Row]:
        rows = reference.sort(rows, order)
        return rows[:number] if name == "top" else rows[number:]

    chain.add(f"{name}({number})", step)


def _ranked(chain: Chain, draw: Any) -> None:
    measure = draw(st.sampled_from(["count", "sum", "percent"]))
    wanted = ("int", "decimal") if measure != "count" else ("int", "decimal", "text", "instant")
    paths = sorted(path for path, kind in chain.exact().items() if kind in wanted)
    if not paths:
        return
    path, end = draw(st.sampled_from(paths)), draw(st.sampled_from(["top", "bottom"]))
    number = draw(st.integers(1, 40))
    chain.order = [(path, end == "top")]
    order = chain.total_order()

    def step(rows: list[Row]) -> list[Row]:
        rows = reference.sort(rows, order)
        if measure == "count":
            return rows[:number]
        return reference.up_to(rows, path, Fraction(number), measure == "percent")

    chain.add(f"{end}{measure}({number},{path})", step)


def _identity(chain: Chain, draw: Any) -> None:
    chain.add("identity", lambda rows: rows)


def _concat(chain: Chain, draw: Any) -> None:
    branches: list[Chain] = []
    for _ in range(2):
        branch = Chain(
            chain.entity,
            dict(chain.kinds),
            [*chain.unique],
            order=[*chain.order],
            inexact={*chain.inexact},
            aliases=branches[-1].aliases if branches else chain.aliases,
        )
        for _ in range(draw(st.integers(1, 2))):
            draw(st.sampled_from(_SIMPLE_MAKERS))(branch, draw)
        branch.add("identity", lambda rows: rows)
        chain.loses_offset |= branch.loses_offset
        branches.append(branch)
    if any(each.entity for each in branches):  # whose navigations are no columns of the result
        assume(all(each.entity or "/" not in "".join(each.kinds) for each in branches))
        for each in branches:
            each.kinds = {path: kind for path, kind in each.kinds.items() if "/" not in path}
    kinds = {path: kind for each in branches for path, kind in each.kinds.items()}
    parts = [(each.steps, each.total_order(), set(kinds) - set(each.kinds)) for each in branches]

    chain.add(
        f"concat({','.join(each.text for each in branches)})",
        lambda rows: reference.concatenated(rows, parts),
    )
    chain.kinds = kinds
    chain.inexact = set().union(*(each.inexact for each in branches)) & set(kinds)
    chain.entity, chain.order, chain.unique = None, [], ["#branch", "#position"]
    chain.aliases = branches[-1].aliases


_SIMPLE_MAKERS = [
    _filter, _filter, _compute, _compute, _groupby, _groupby, _groupby, _aggregate, _orderby, _cut,
    _ranked, _identity,
]  # fmt: skip
_MAKERS = [*_SIMPLE_MAKERS, _concat, _concat, _rollup]
