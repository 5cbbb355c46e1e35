"""Draw random queries, and compute their results in plain Python.

A query has a combination of options, and so has each of its expansions. This module does not import
the service.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Any

from hypothesis import strategies as st

from tests.support.odata import reference
from tests.support.odata.dataset import LOG_TEXTS
from tests.support.odata.strategies.expressions import terms
from tests.support.odata.strategies.term import COMPARABLE, Names, Scope, Term

PROPERTIES = {
    "Record": [
        "id", "employeeId", "employerId", "includedAt", "utcOffsetMinutes", "localDate",
        "localTime", "deviceId", "latitude",
        "longitude", "accuracyMeters", "status", "attempts", "nextAttemptAt", "integratedAt",
        "createdAt", "replicatedAt", "updatedAt", "postedBy", "postedAs",
    ],
    "Log": [
        "pointId", "number", "attempt", "status", "log", "httpStatus", "latencyMs", "createdAt",
    ],
}  # fmt: skip
_NAVIGATIONS = {"Record": ("logs", "Log"), "Log": ("point", "Record")}
_CHOICE = st.sampled_from

Key = tuple[Term, str]


@dataclass(frozen=True)
class Search:
    """A search expression, as text and as a predicate on the texts of an entity."""

    text: str
    holds: Callable[[list[str | None]], bool] = field(repr=False)


@dataclass(frozen=True)
class Query:
    """The options of one level. ``at`` is the entity's variable in ``Names``."""

    entity: str
    at: str
    computed: tuple[tuple[str, str, Term], ...]
    select: list[str] | None
    condition: Term | None
    search: Search | None
    order: list[Key]
    top: int | None
    skip: int | None
    count: bool
    form: str
    expand: "Query | None"

    @property
    def expressions(self) -> list[Term]:
        """The expressions of this level."""
        terms = [term for _, _, term in self.computed] + [term for term, _ in self.order]
        return terms + ([self.condition] if self.condition else [])

    @property
    def loses_offset(self) -> bool:
        """Whether an expression of any level does: ``Term.loses_offset``."""
        inner = self.expand
        is_lost = any(each.loses_offset for each in self.expressions)
        return is_lost or (inner is not None and inner.loses_offset)

    def options(self) -> Iterator[tuple[str, str]]:
        """Yield the options as text."""
        if self.computed:
            items = [f"{term.text} as {name}" for _, name, term in self.computed]
            yield "$compute", ",".join(items)
        if self.select is not None:
            yield "$select", ",".join(self.select)
        if self.condition:
            yield "$filter", self.condition.text
        if self.search:
            yield "$search", self.search.text
        if self.order:
            yield "$orderby", ",".join(f"{term.text}{how}" for term, how in self.order)
        if self.top is not None:
            yield "$top", str(self.top)
        if self.skip is not None:
            yield "$skip", str(self.skip)
        if self.count:
            yield "$count", "true"
        if self.expand:
            yield "$expand", self.expand.item()

    def item(self) -> str:
        """Return the level as an item of the outer ``$expand``."""
        navigation = "logs" if self.entity == "Log" else "point"
        options = ";".join(f"{name}={value}" for name, value in self.options())
        return f"{navigation}{self.form}" + (f"({options})" if options else "")


@st.composite
def queries(draw: Any, entity: str, depth: int = 2, outer: tuple[Scope, ...] = ()) -> Query:
    """Draw a query of an entity type, with expansions nested up to ``depth`` levels."""
    nested = bool(outer)
    at = "this" if nested else "it"
    one = nested and entity == "Record"
    form = draw(_CHOICE(["", "", "", "/$ref", "/$count"])) if nested else ""
    form = "" if one and form == "/$count" else form
    bare = one and form == "/$ref"
    computed: tuple[tuple[str, str, Term], ...] = ()
    if not form:
        for name in draw(st.lists(_CHOICE(["c0", "c1", "C_é"]), max_size=2, unique=True)):
            kind = draw(_CHOICE(COMPARABLE))
            scopes = (Scope(at, "", entity, computed), *outer)
            computed = (*computed, (kind, name, draw(terms(kind, scopes, 2))))
    scopes = (Scope(at, "", entity, computed), *outer)
    its = outer or (Scope("it", "$it/", entity, computed),)
    collection = not one
    pages = collection and form != "/$count"
    names = [*PROPERTIES[entity], *(name for _, name, _ in computed), "*"]
    expand = None
    if depth and not form and draw(st.booleans()):
        expand = draw(queries(_NAVIGATIONS[entity][1], depth - 1, its))
    maybe = st.none() | st.integers(0, 4)
    keys = st.tuples(_CHOICE(COMPARABLE), _CHOICE(["", " asc", " desc", " DESC"]))
    drawn = draw(st.lists(keys, max_size=2)) if pages and not bare else []
    return Query(
        entity,
        at,
        computed,
        None if form else draw(st.none() | st.lists(_CHOICE(names), min_size=1, max_size=4)),
        draw(st.none() | terms("bool", scopes, 2)) if collection else None,
        draw(st.none() | searches()) if collection else None,
        [(draw(terms(kind, scopes, 1)), how) for kind, how in drawn],
        draw(maybe) if pages else None,
        draw(maybe) if pages else None,
        draw(st.booleans()) if pages else False,
        form,
        expand,
    )


def searches() -> st.SearchStrategy[Search]:
    """Draw search expressions; compound ones are in parentheses."""
    words = sorted({word for text in LOG_TEXTS if text for word in text.split()})
    words += ["ACC", "Try", "503", "e", "nowhere", "'quoted'", "%", "_"]
    plain = [each for each in words if not each.startswith("'")]
    leaves = _CHOICE(plain).map(lambda each: Search(each, _has(each)))
    phrases = _CHOICE([*words, "try later", "10 s"]).map(
        lambda each: Search(f'"{each}"', _has(each))
    )
    return st.recursive(leaves | phrases, _combined, max_leaves=4)


def _has(word: str) -> Callable[[list[str | None]], bool]:
    folded = word.casefold()
    return lambda texts: any(text is not None and folded in text.casefold() for text in texts)


def _combined(inner: st.SearchStrategy[Search]) -> st.SearchStrategy[Search]:
    def both(sides: tuple[Search, Search, str]) -> Search:
        left, right, word = sides
        if word == " OR ":
            return Search(
                f"({left.text} OR {right.text})", lambda t: left.holds(t) or right.holds(t)
            )
        return Search(
            f"({left.text}{word}{right.text})", lambda t: left.holds(t) and right.holds(t)
        )

    return st.tuples(inner, inner, _CHOICE([" ", " AND ", " OR "])).map(both) | inner.map(
        lambda each: Search(f"(NOT {each.text})", lambda t: not each.holds(t))
    )


# The results of a query.


def expected_page(query: Query, entities: list[Any], names: Names) -> tuple[list[Any], int]:
    """Return the expected entities of a response, and the count."""
    selected = [each for each in entities if _selected(query, each, {**names, query.at: each})]
    keyed = [(_sort_keys(query, each, {**names, query.at: each}), each) for each in selected]
    directions = [how.strip().lower() for _, how in query.order]

    def compare(one: tuple[list[Any], Any], other: tuple[list[Any], Any]) -> int:
        return _compare(directions, one, other)

    keyed.sort(key=cmp_to_key(compare))
    selected = [each for _, each in keyed]
    page = selected[query.skip or 0 :][: query.top]
    return [expected_entity(query, each, {**names, query.at: each}) for each in page], len(selected)


def _selected(query: Query, entity: Any, names: Names) -> bool:
    texts = [entity.log] if query.entity == "Log" else [each.log for each in entity.logs]
    if query.condition and query.condition.value(names) is not True:
        return False
    return query.search is None or query.search.holds(texts)


def _sort_keys(query: Query, entity: Any, names: Names) -> list[Any]:
    """Return the sort keys of an entity; its key comes last."""
    return [*(term.value(names) for term, _ in query.order), entity.id]


def _compare(
    directions: list[str], left: tuple[list[Any], Any], right: tuple[list[Any], Any]
) -> int:
    directions = [*directions, directions[-1] if directions else ""]
    for how, a, b in zip(directions, left[0], right[0], strict=True):
        sign = -1 if how == "desc" else 1
        if a is None or b is None:
            if a is not b:
                return sign * (-1 if a is None else 1)
        elif a != b:
            return sign * (-1 if a < b else 1)
    return 0


def expected_entity(query: Query, entity: Any, names: Names) -> dict[str, Any]:
    """Return the expected members of an entity, as Python values."""
    if query.form == "/$ref":
        return {"@odata.id": entity.id}
    chosen = set(query.select or ["*"])
    everything = "*" in chosen
    result = {
        name: getattr(entity, name)
        for name in PROPERTIES[query.entity]
        if everything or name in chosen
    }
    for _, name, term in query.computed:
        if everything or name in chosen:
            result[name] = term.value(names)
    inner = query.expand
    if inner and inner.entity == "Record":
        result["point"] = expected_entity(inner, entity.point, {**names, inner.at: entity.point})
    elif inner:
        values, count = expected_page(inner, entity.logs, names)
        if inner.count or inner.form == "/$count":
            result["logs@odata.count"] = count
        if inner.form != "/$count":
            result["logs"] = values
    return result


def fails(query: Query, entities: list[Any], names: Names) -> bool:
    """Return whether any expression of the query fails for any of the entities.

    Postgres may evaluate expressions that the response does not need.
    """
    for entity in entities:
        here = {**names, query.at: entity}
        try:
            for term in query.expressions:
                term.value(here)
        except (reference.EvaluationError, OverflowError):
            return True
        inner = query.expand
        if inner and fails(inner, entity.logs if inner.entity == "Log" else [entity.point], here):
            return True
    return False
