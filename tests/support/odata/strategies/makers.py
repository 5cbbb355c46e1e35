"""Build compound expressions of each kind.

A maker is a function of (draw an operand of a kind, draw, scopes) that returns a Term.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.support.odata import reference
from tests.support.odata.strategies.literals import literals
from tests.support.odata.strategies.term import (
    AND,
    COMPARABLE,
    EQUALITY,
    NUMBERS,
    OR,
    PRIMARY,
    PRODUCT,
    RELATION,
    SUM,
    UNARY,
    Names,
    Scope,
    Term,
    read,
)

# The functions of an instant whose results depend on its UTC offset.
_REQUIRE_UTC = ("year", "month", "day", "hour", "minute", "date", "time")


def _word(draw: Any, word: str) -> str:
    return draw(st.sampled_from([word, word, word.upper(), word.capitalize()]))


def _call(name: str, *kinds: str) -> Callable[..., Term]:
    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        arguments = tuple(operand(kind) for kind in kinds)
        text = f"{_word(draw, name)}({', '.join(each.text for each in arguments)})"

        def value(names: Names) -> Any:
            return reference.call(name, *(each.value(names) for each in arguments))

        return Term(text, PRIMARY, value, arguments, requires_utc=name in _REQUIRE_UTC)

    return make


def _binary(draw: Any, left: Term, operator: str, right: Term, level: int, value: Any) -> Term:
    text = f"{left.within(level)} {_word(draw, operator)} {right.within(level + 1)}"
    return Term(
        text,
        level,
        lambda names: value(left.value(names), right.value(names)),
        (left, right),
        is_null=level in (SUM, PRODUCT) and (left.is_null or right.is_null),
    )


def _comparison(operand: Any, draw: Any, scopes: Any) -> Term:
    kind = draw(st.sampled_from(COMPARABLE))
    other = draw(st.sampled_from(NUMBERS)) if kind in NUMBERS else kind
    operator = draw(st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]))
    level = EQUALITY if operator in ("eq", "ne") else RELATION
    return _binary(
        draw,
        operand(kind),
        operator,
        operand(other),
        level,
        lambda a, b: reference.compare(operator, a, b),
    )


def _member(operand: Any, draw: Any, scopes: Any) -> Term:
    kind = draw(st.sampled_from([each for each in COMPARABLE if each != "bool"]))
    left = operand(kind)
    members = draw(st.lists(literals(kind), max_size=4))
    if draw(st.booleans()):
        members.append(("null", None))
    texts, values = [each[0] for each in members], [each[1] for each in members]
    return Term(
        f"{left.within(PRIMARY)} {_word(draw, 'in')} ({', '.join(texts)})",
        UNARY,
        lambda names: any(reference.compare("eq", left.value(names), each) for each in values),
        (left,),
    )


def _and(operand: Any, draw: Any, scopes: Any) -> Term:
    return _binary(draw, operand("bool"), "and", operand("bool"), AND, reference.conjunction)


def _or(operand: Any, draw: Any, scopes: Any) -> Term:
    return _binary(draw, operand("bool"), "or", operand("bool"), OR, reference.disjunction)


def _not(operand: Any, draw: Any, scopes: Any) -> Term:
    inner = operand("bool")
    return Term(
        f"{_word(draw, 'not')} {inner.within(UNARY)}",
        UNARY,
        lambda names: reference.inverse(inner.value(names)),
        (inner,),
    )


def _quantified(operand: Any, draw: Any, scopes: tuple[Scope, ...]) -> Term:
    collections = [
        (scope, "logs" if scope.entity == "Record" else "point/logs") for scope in scopes
    ]
    scope, path = draw(st.sampled_from(collections))
    name = f"x{len(scopes)}"
    inner = operand("bool", (*scopes, Scope(name, f"{name}/", "Log")))
    quantifier = draw(st.sampled_from(["any", "all", "count"]))
    of = read(path, scope.name)

    def verdicts(names: Names) -> list[bool]:
        return [inner.value({**names, name: each}) is True for each in of(names)]

    if quantifier == "count":
        return _counted(operand, scopes, scope, path, of)
    text = f"{scope.prefix}{path}/{_word(draw, quantifier)}({name}:{inner.text})"
    fold = any if quantifier == "any" else all
    return Term(text, PRIMARY, lambda names: fold(verdicts(names)), (inner,))


def _counted(
    operand: Any, scopes: tuple[Scope, ...], scope: Scope, path: str, of: Callable[[Names], Any]
) -> Term:
    """Count a filtered collection: in the filter, names without a prefix belong to its members."""
    it = next(each for each in scopes if each.name == "it")
    inner = operand("bool", (Scope("this", "", "Log"), Scope("it", "$it/", it.entity)))

    def value(names: Names) -> bool:
        verdicts = [inner.value({**names, "this": each}) for each in of(names)]
        return True in verdicts

    text = f"{scope.prefix}{path}/$filter({inner.text})/$count ge 1"
    return Term(text, RELATION, value, (inner,))


def _arithmetic(kind: str) -> Callable[..., Term]:
    """Build arithmetic with a result of a kind; divisors are chosen to keep it exact."""

    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        operator = draw(st.sampled_from(["add", "sub", "mul", "div", "mod", "divby"]))
        level = SUM if operator in ("add", "sub") else PRODUCT
        left = operand(kind)
        if operator in ("div", "mod", "divby"):
            if operator == "divby" and kind == "int":
                operator = "mod"
            divisors = {
                "int": ["2", "-3", "7"],
                "decimal": ["2", "0.5", "-4"],
                "double": ["3e0", "-0.1e0"],
            }
            text = draw(st.sampled_from(divisors[kind]))
            value = float(text) if "e" in text else Fraction(text) if "." in text else int(text)
            right = Term(text, PRIMARY, lambda _: value)
        else:
            narrower = {"int": ["int"], "decimal": ["decimal", "int"], "double": list(NUMBERS)}
            right = operand(draw(st.sampled_from(narrower[kind])))
        return _binary(
            draw, left, operator, right, level, lambda a, b: reference.arithmetic(operator, a, b)
        )

    return make


def _negative(kind: str) -> Callable[..., Term]:
    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        inner = operand(kind)
        return Term(
            f"- {inner.within(UNARY)}",
            UNARY,
            lambda names: reference.negative(inner.value(names)),
            (inner,),
            is_null=inner.is_null,
        )

    return make


def _case(kind: str) -> Callable[..., Term]:
    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        pairs = [(operand("bool"), operand(kind)) for _ in range(draw(st.integers(1, 2)))]
        text = ",".join(f"{condition.text}:{result.text}" for condition, result in pairs)

        def value(names: Names) -> Any:
            values = [(c.value(names), r.value(names)) for c, r in pairs]
            return next((result for condition, result in values if condition is True), None)

        return Term(
            f"case({text})",
            PRIMARY,
            value,
            tuple(each for pair in pairs for each in pair),
            is_null=all(result.is_null for _, result in pairs),
            has_offset=any(result.has_offset for _, result in pairs),
        )

    return make


def _moved(kind: str) -> Callable[..., Term]:
    """Add a duration to a date or an instant, or subtract it."""

    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        operator = draw(st.sampled_from(["add", "sub"]))
        sign = 1 if operator == "add" else -1
        start, by = operand(kind), operand("duration")
        moved = _binary(
            draw,
            start,
            operator,
            by,
            SUM,
            reference.of_values(lambda a, b: reference.later(a, sign * b)),
        )
        return replace(moved, has_offset=start.has_offset and not by.is_null)

    return make


def _span(operand: Any, draw: Any, scopes: Any) -> Term:
    kind = draw(st.sampled_from(["instant", "date", "duration"]))
    return _binary(
        draw, operand(kind), "sub", operand(kind), SUM, reference.of_values(lambda a, b: a - b)
    )


def _multiple(operand: Any, draw: Any, scopes: Any) -> Term:
    number = draw(st.integers(-3, 3))
    right = Term(str(number), PRIMARY, lambda _: number)
    return _binary(
        draw, operand("duration"), "mul", right, PRODUCT, reference.of_values(lambda a, b: a * b)
    )


_PARTS = ("year", "month", "day", "hour", "minute", "second")
MAKERS: dict[str, list[Callable[..., Term]]] = {
    "bool": [
        _comparison, _comparison, _comparison, _member, _and, _and, _or, _or, _not, _not,
        _quantified,
        _call("contains", "text", "text"),
        _call("startswith", "text", "text"),
        _call("endswith", "text", "text"),
    ],
    "int": [
        _arithmetic("int"), _negative("int"), _case("int"),
        _call("length", "text"), _call("indexof", "text", "text"),
        *(_call(part, "instant") for part in _PARTS),
        *(_call(part, "date") for part in ("year", "month", "day")),
        *(_call(part, "time") for part in ("hour", "minute", "second")),
    ],
    "double": [
        _arithmetic("double"), _negative("double"), _case("double"),
        *(_call(name, "double") for name in ("round", "floor", "ceiling")),
    ],
    "decimal": [
        _arithmetic("decimal"), _negative("decimal"), _call("fractionalseconds", "instant"),
        _call("fractionalseconds", "time"), _call("totalseconds", "duration"),
        *(_call(name, "decimal") for name in ("round", "floor", "ceiling")),
    ],
    "text": [
        _call("concat", "text", "text"), _call("substring", "text", "int"),
        _call("substring", "text", "int", "int"), _call("tolower", "text"),
        _call("toupper", "text"), _call("trim", "text"), _case("text"),
    ],
    "instant": [_moved("instant"), _case("instant")],
    "date": [_moved("date"), _call("date", "instant")],
    "time": [_call("time", "instant")],
    "duration": [_span, _multiple, _negative("duration")],
    "guid": [_case("guid")],
}  # fmt: skip
