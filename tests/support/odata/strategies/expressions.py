"""Draw random expressions, as OData text and as a Python function that evaluates it."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.support.odata.strategies.literals import literals
from tests.support.odata.strategies.makers import MAKERS
from tests.support.odata.strategies.term import (
    COMPARABLE,
    PRIMARY,
    Scope,
    Term,
    read,
)

_OF_RECORD = {
    "int": ["employeeId", "employerId", "utcOffsetMinutes", "attempts", "logs/$count"],
    "double": ["latitude", "longitude", "accuracyMeters"],
    "text": ["deviceId", "status"],
    "instant": ["includedAt", "nextAttemptAt", "integratedAt", "createdAt", "updatedAt"],
    "guid": ["id"],
    "date": ["localDate"],
    "time": ["localTime"],
}
_OF_LOG = {
    "int": ["number", "attempt", "httpStatus", "latencyMs"],
    "text": ["status", "log"],
    "instant": ["createdAt"],
    "guid": ["pointId"],
}
_PATHS = {
    "Record": _OF_RECORD,
    "Log": {
        kind: _OF_LOG.get(kind, []) + [f"point/{each}" for each in paths]
        for kind, paths in _OF_RECORD.items()
    },
}


@st.composite
def terms(draw: Any, kind: str, scopes: tuple[Scope, ...], depth: int) -> Term:
    """Draw an expression of a kind with at most ``depth`` levels of nesting."""
    if draw(st.integers(0, 39)) == 39:
        return Term("null", PRIMARY, lambda _: None, is_null=True)
    if depth > 0 and draw(st.sampled_from([True, True, True, False])):
        maker = draw(st.sampled_from(MAKERS[kind]))
        return maker(lambda of, scope=scopes: draw(terms(of, scope, depth - 1)), draw, scopes)
    columns = [
        Term(f"{scope.prefix}{path}", PRIMARY, read(path, scope.name))
        for scope in scopes
        for path in _PATHS[scope.entity].get(kind, [])
    ]
    columns += [
        replace(term, text=f"{scope.prefix}{name}", level=PRIMARY)
        for scope in scopes
        for of, name, term in scope.computed * 3
        if of == kind
    ]
    if columns and draw(st.sampled_from([True, True, True, False])):
        return draw(st.sampled_from(columns))
    text, value = draw(literals(kind))
    has_offset = kind == "instant" and not text.endswith("Z")
    return Term(text, PRIMARY, lambda _: value, has_offset=has_offset)


def conditions(entity: str, depth: int = 3) -> st.SearchStrategy[Term]:
    """Draw conditions on an entity."""
    scopes = (Scope("it", "", entity), Scope("it", "$it/", entity))
    return terms("bool", scopes, depth)


def orders(entity: str) -> st.SearchStrategy[Term]:
    """Draw expressions to sort entities by."""
    scope = (Scope("it", "", entity),)
    return st.sampled_from(COMPARABLE).flatmap(lambda kind: terms(kind, scope, 1))
