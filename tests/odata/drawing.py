"""Draw random expressions: each as OData text, and as a function that evaluates it in Python."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.odata import reference
from tests.odata.dataset import DEVICES, INSTANTS, LOG_TEXTS, STATUSES

OR, AND, EQUALITY, RELATION, SUM, PRODUCT, UNARY, PRIMARY = range(8)

_HAS_OFFSET = re.compile(r"T\S+[-+]\d\d:\d\d$")

# What names mean while an expression is evaluated: the entity of each variable.
Names = dict[str, Any]


@dataclass(frozen=True)
class Term:
    """An expression, how tightly its outermost operator binds, and its value."""

    text: str
    level: int
    value: Callable[[Names], Any] = field(repr=False)

    def within(self, level: int) -> str:
        """Return the text as the operand of an operator of a level."""
        return self.text if self.level >= level else f"({self.text})"


@dataclass(frozen=True)
class Scope:
    """A variable and what it stands for; ``prefix`` is how its properties are written.

    ``computed`` are properties that it has besides: their kinds, their names, what they are.
    """

    name: str
    prefix: str
    entity: str
    computed: "tuple[tuple[str, str, Term], ...]" = ()


_OF_RECORD = {
    "int": ["employeeId", "employerId", "utcOffsetMinutes", "attempts", "logs/$count"],
    "double": ["latitude", "longitude", "accuracyMeters"],
    "text": ["deviceId", "status"],
    "instant": ["includedAt", "nextAttemptAt", "integratedAt", "createdAt", "updatedAt"],
    "guid": ["id"],
}
_OF_LOG = {
    "int": ["id", "attempt", "httpStatus", "latencyMs"],
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
_NUMBERS = ("int", "double", "decimal")
COMPARABLE = (*_NUMBERS, "text", "instant", "date", "time", "duration", "guid", "bool")


def _read(path: str, variable: str) -> Callable[[Names], Any]:
    def read(names: Names) -> Any:
        found = names[variable]
        for segment in path.split("/"):
            found = len(found) if segment == "$count" else getattr(found, segment)
        return found

    return read


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _duration(value: timedelta) -> str:
    sign = "-" if value < timedelta() else ""
    whole, micro = divmod(abs(value) // timedelta(microseconds=1), 10**6)
    return f"{sign}P{whole // 86400}DT{whole % 86400}.{micro:06d}S"


def _literals(kind: str) -> st.SearchStrategy[tuple[str, Any]]:
    """Return literals as their text and their value."""
    if kind == "int":
        numbers = st.one_of(
            st.integers(-10, 10), st.sampled_from([200, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)])
        )
        return numbers.map(lambda each: (str(each), each))
    if kind == "double":
        doubles = st.sampled_from(["1e0", "2.5e0", "-2.5E0", "1e-1", "0e0", "3.325e+1", "1e20"])
        return doubles.map(lambda each: (each, float(each)))
    if kind == "decimal":
        decimals = st.sampled_from(["0.1", "2.5", "-2.50", "0.0", "33.25", "1.000001", "-0.5"])
        return decimals.map(lambda each: (each, Fraction(each)))
    if kind == "text":
        texts = [
            *filter(None, DEVICES),
            *filter(None, LOG_TEXTS),
            *STATUSES,
            "",
            "e",
            "'",
            "É",
            " ",
        ]
        return st.sampled_from(texts).map(lambda each: (_quoted(each), each))
    if kind == "instant":
        return st.sampled_from(INSTANTS).flatmap(_instants)
    if kind == "date":
        days = st.sampled_from([each.date() for each in INSTANTS])
        return days.map(lambda each: (each.isoformat(), each))
    if kind == "time":
        times = st.sampled_from([time(), time(12), time(4, 5, 6, 789012), time(23, 59, 59)])
        return times.map(lambda each: (each.isoformat(), each))
    if kind == "duration":
        spans = st.sampled_from(
            [
                timedelta(),
                timedelta(1),
                timedelta(0, 3600),
                timedelta(-1, 1, 1),
                timedelta(400, 0, 5),
            ]
        )
        prefixes = st.sampled_from(["duration", "DURATION"])
        return st.tuples(prefixes, spans).map(
            lambda each: (f"{each[0]}'{_duration(each[1])}'", each[1])
        )
    if kind == "guid":
        return st.uuids().map(lambda each: (str(each), each))
    return st.sampled_from([("true", True), ("False", False), ("TRUE", True)])


def _instants(instant: datetime) -> st.SearchStrategy[tuple[str, datetime]]:
    zulu = instant.isoformat().replace("+00:00", "Z")
    forms = [(zulu, instant)]
    if instant.year > 2:
        local = instant.replace(tzinfo=None) - timedelta(hours=3)
        forms.append((f"{local.isoformat()}-03:00", instant))
    return st.sampled_from(forms)


@st.composite
def terms(draw: Any, kind: str, scopes: tuple[Scope, ...], depth: int) -> Term:
    """Draw an expression of a kind, nested at most ``depth`` deep."""
    if draw(st.integers(0, 39)) == 39:
        return Term("null", PRIMARY, lambda _: None)
    if depth > 0 and draw(st.sampled_from([True, True, True, False])):
        maker = draw(st.sampled_from(_MAKERS[kind]))
        return maker(lambda of, scope=scopes: draw(terms(of, scope, depth - 1)), draw, scopes)
    columns = [
        Term(f"{scope.prefix}{path}", PRIMARY, _read(path, scope.name))
        for scope in scopes
        for path in _PATHS[scope.entity].get(kind, [])
    ]
    columns += [
        Term(f"{scope.prefix}{name}", PRIMARY, term.value)
        for scope in scopes
        for of, name, term in scope.computed * 3
        if of == kind
    ]
    if columns and draw(st.sampled_from([True, True, True, False])):
        return draw(st.sampled_from(columns))
    text, value = draw(_literals(kind))
    return Term(text, PRIMARY, lambda _: value)


def conditions(entity: str, depth: int = 3) -> st.SearchStrategy[Term]:
    """Draw conditions on an entity."""
    scopes = (Scope("it", "", entity), Scope("it", "$it/", entity))
    return terms("bool", scopes, depth)


def orders(entity: str) -> st.SearchStrategy[Term]:
    """Draw what entities can be ordered by."""
    scope = (Scope("it", "", entity),)
    return st.sampled_from(COMPARABLE).flatmap(lambda kind: terms(kind, scope, 1))


# Makers: (draw an operand of a kind, draw, scopes) → Term.


def _word(draw: Any, word: str) -> str:
    return draw(st.sampled_from([word, word, word.upper(), word.capitalize()]))


def _call(name: str, *kinds: str) -> Callable[..., Term]:
    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        arguments = [operand(kind) for kind in kinds]
        text = f"{_word(draw, name)}({', '.join(each.text for each in arguments)})"

        def value(names: Names) -> Any:
            if _HAS_OFFSET.search(arguments[0].text) and kinds[0] == "instant":
                raise reference.Fault  # the offset of a literal would be lost: 5.1.1.8
            return reference.call(name, *(each.value(names) for each in arguments))

        return Term(text, PRIMARY, value)

    return make


def _binary(draw: Any, left: Term, operator: str, right: Term, level: int, value: Any) -> Term:
    text = f"{left.within(level)} {_word(draw, operator)} {right.within(level + 1)}"
    return Term(text, level, lambda names: value(left.value(names), right.value(names)))


def _comparison(operand: Any, draw: Any, scopes: Any) -> Term:
    kind = draw(st.sampled_from(COMPARABLE))
    other = draw(st.sampled_from(_NUMBERS)) if kind in _NUMBERS else kind
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
    members = draw(st.lists(_literals(kind), min_size=1, max_size=4))
    if draw(st.booleans()):
        members.append(("null", None))
    texts, values = [each[0] for each in members], [each[1] for each in members]
    return Term(
        f"{left.within(PRIMARY)} {_word(draw, 'in')} ({', '.join(texts)})",
        UNARY,
        lambda names: any(reference.compare("eq", left.value(names), each) for each in values),
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
    )


def _quantified(operand: Any, draw: Any, scopes: tuple[Scope, ...]) -> Term:
    collections = [
        (scope, "logs" if scope.entity == "Record" else "point/logs") for scope in scopes
    ]
    scope, path = draw(st.sampled_from(collections))
    name = f"x{len(scopes)}"
    inner = operand("bool", (*scopes, Scope(name, f"{name}/", "Log")))
    quantifier = draw(st.sampled_from(["any", "all", "count"]))
    of = _read(path, scope.name)

    def verdicts(names: Names) -> list[bool]:
        return [inner.value({**names, name: each}) is True for each in of(names)]

    if quantifier == "count":
        return _counted(operand, scopes, scope, path, of)
    text = f"{scope.prefix}{path}/{_word(draw, quantifier)}({name}:{inner.text})"
    fold = any if quantifier == "any" else all
    return Term(text, PRIMARY, lambda names: fold(verdicts(names)))


def _counted(
    operand: Any, scopes: tuple[Scope, ...], scope: Scope, path: str, of: Callable[[Names], Any]
) -> Term:
    """Count a filtered collection: names without a prefix are then those of its members."""
    it = next(each for each in scopes if each.name == "it")
    inner = operand("bool", (Scope("this", "", "Log"), Scope("it", "$it/", it.entity)))

    def value(names: Names) -> bool:
        verdicts = [inner.value({**names, "this": each}) for each in of(names)]
        return True in verdicts

    return Term(f"{scope.prefix}{path}/$filter({inner.text})/$count ge 1", RELATION, value)


def _arithmetic(kind: str) -> Callable[..., Term]:
    """Arithmetic whose result is of a kind; what it divides by is a number that makes it exact."""

    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        operator = draw(st.sampled_from(["add", "sub", "mul", "div", "mod", "divby"]))
        level = SUM if operator in ("add", "sub") else PRODUCT
        left = operand(kind)
        if operator in ("div", "mod", "divby"):
            if operator == "mod" and kind == "double":
                operator = "div"
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
            narrower = {"int": ["int"], "decimal": ["decimal", "int"], "double": list(_NUMBERS)}
            right = operand(draw(st.sampled_from(narrower[kind])))
        return _binary(
            draw, left, operator, right, level, lambda a, b: reference.arithmetic(operator, a, b)
        )

    return make


def _negative(kind: str) -> Callable[..., Term]:
    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        inner = operand(kind)
        return Term(
            f"- {inner.within(UNARY)}", UNARY, lambda names: reference.negative(inner.value(names))
        )

    return make


def _case(kind: str) -> Callable[..., Term]:
    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        pairs = [(operand("bool"), operand(kind)) for _ in range(draw(st.integers(1, 2)))]
        text = ",".join(f"{condition.text}:{result.text}" for condition, result in pairs)

        def value(names: Names) -> Any:
            found = [(c.value(names), r.value(names)) for c, r in pairs]
            return next((result for condition, result in found if condition is True), None)

        return Term(f"case({text})", PRIMARY, value)

    return make


def _moved(kind: str) -> Callable[..., Term]:
    """A date or an instant plus or minus a duration."""

    def make(operand: Any, draw: Any, scopes: Any) -> Term:
        operator = draw(st.sampled_from(["add", "sub"]))
        sign = 1 if operator == "add" else -1
        return _binary(
            draw,
            operand(kind),
            operator,
            operand("duration"),
            SUM,
            reference.of_values(lambda a, b: reference.later(a, sign * b)),
        )

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
_MAKERS: dict[str, list[Callable[..., Term]]] = {
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
