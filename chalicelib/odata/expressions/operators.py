"""Apply operators and functions to operands of known types.

Each function takes typed nodes and returns a typed node, or raises an error at the operator's
place. URL Conventions 4.01, sections 5.1.1.1 to 5.1.1.12.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from math import isnan

from chalicelib.odata.ast import (
    NULL,
    Call,
    Case,
    Comparison,
    Count,
    Literal,
    LogicalOperation,
    Membership,
    Negation,
    Node,
    Place,
    Quantifier,
)
from chalicelib.odata.edm import FRACTIONS, INTEGERS, NUMBERS, Edm, promote
from chalicelib.odata.expressions import casts, functions, regex
from chalicelib.odata.expressions.coerce import (
    advice_on_operands,
    are_comparable,
    as_duration,
    common_type,
    convert,
    convert_value,
    with_durations,
)
from chalicelib.odata.language.earlier_versions import advice_on_function
from chalicelib.odata.language.parser import Word, syntax_error, unsupported


def comparison(operator: Word, left: Node, right: Node) -> Node:
    """Compare two primitive values."""
    left, right = with_durations(left, right)
    if not are_comparable(left.type, right.type):
        advice = advice_on_operands(left, right)
        raise syntax_error(
            f"{operator.name} cannot compare {left.type} with {right.type}{advice}", operator.at
        )
    if isinstance(left, Count) and isinstance(right, Literal):
        exists = _EXISTENCE.get((operator.name, right.value))
        if exists is not None:
            related = Quantifier("any", left.origin, left.navigation, left.variable, left.predicate)
            return related if exists else Negation(related)
    if isinstance(left, Call) and isinstance(right, Literal):
        return _day(operator, left, right) or Comparison(operator.name, left, right)
    return Comparison(operator.name, left, right)


def _day(operator: Word, left: Call, right: Literal) -> Node | None:
    """Rewrite a comparison of ``date(instant)`` with a day to comparisons with its midnights.

    An index on the instant then serves the comparison. Return None for any other comparison.
    """
    is_date = left.type is Edm.DATE and left.template == functions.DATE_OF_INSTANT
    if not is_date or right.value is None or right.value == date.max:
        return None
    (instant,) = left.arguments
    begin = datetime.combine(right.value, time(), UTC)
    midnights = {"from": begin, "until": begin + timedelta(1)}
    conditions = tuple(
        Comparison(name, instant, Literal(Edm.DATE_TIME_OFFSET, midnights[which], right.at))
        for name, which in _OF_MIDNIGHTS.get(operator.name, ())
    )
    if len(conditions) > 1:
        return LogicalOperation("and", conditions)
    return next(iter(conditions), None)


_OF_MIDNIGHTS = {
    "eq": (("ge", "from"), ("lt", "until")),
    "gt": (("ge", "until"),),
    "ge": (("ge", "from"),),
    "lt": (("lt", "from"),),
    "le": (("lt", "until"),),
}


# Comparisons of a count that only test for existence, where EXISTS stops at the first row.
_EXISTENCE = {
    ("gt", 0): True,
    ("ge", 1): True,
    ("ne", 0): True,
    ("eq", 0): False,
    ("lt", 1): False,
    ("le", 0): False,
}


def membership(operator: Word, operand: Node, members: Sequence[Node]) -> Node:
    """Test whether the operand is in a list of literals."""
    present: list[Literal] = []
    has_null = False
    for each in members:
        member = as_duration(each) if operand.type is Edm.DURATION else each
        if not isinstance(member, Literal):
            raise syntax_error("The list after in may contain only literals", operator.at)
        if not are_comparable(operand.type, member.type):
            advice = advice_on_operands(operand, member)
            raise syntax_error(
                f"in cannot compare {operand.type} with {member.type}{advice}",
                member.at or operator.at,
            )
        if member.value is None:
            has_null = True
        # In OData NaN equals nothing; in Postgres it equals itself.
        elif not (isinstance(member.value, float) and isnan(member.value)):
            present.append(member)
    if operand.type is Edm.NULL or not (present or has_null):
        return Literal(Edm.BOOLEAN, has_null)
    of = reduce(common_type, (each.type for each in present), Edm.NULL)
    values = tuple(convert_value(each, of, operator.at) for each in present)
    return Membership(operand, of, values, has_null)


def negation(operator: Word, operand: Node) -> Node:
    """Negate a number or a duration."""
    if operand.type is Edm.NULL:
        return NULL
    if operand.type not in functions.NEGATABLE:
        raise syntax_error(f"- requires a number or a duration, not {operand.type}", operator.at)
    if operand.type in INTEGERS:
        operand = convert(operand, Edm.INT64, operator.at)
    overflows = operand.type not in FRACTIONS
    return Call(functions.NEGATION, (operand,), operand.type, may_fail=overflows)


def arithmetic(operator: Word, left: Node, right: Node) -> Node:
    """Apply an arithmetic operator to numbers, or to dates, instants and durations."""
    if left.type in NUMBERS and right.type in NUMBERS:
        return _numbers(operator, left, right)
    left, right = as_duration(left), as_duration(right)
    types = {left.type, right.type}
    if operation := functions.time_arithmetic(operator.name, left.type, right.type):
        template, result = operation
        if operator.name in _DIVISIONS:
            _require_divisor(operator, right)
        return Call(template, (left, right), result, may_fail=Edm.DURATION in types)
    if Edm.NULL in types and types <= functions.ARITHMETIC_TYPES:
        return NULL
    raise syntax_error(
        f"{operator.name} cannot be applied to {left.type} and {right.type}", operator.at
    )


def _numbers(operator: Word, left: Node, right: Node) -> Node:
    of = promote(left.type, right.type)
    if operator.name == "divby" and of is Edm.INT64:
        of = Edm.DECIMAL
    left, right = convert(left, of, operator.at), convert(right, of, operator.at)
    if operator.name == "mod" or (operator.name == "div" and of is not Edm.DOUBLE):
        _require_divisor(operator, right)
    may_be_zero = not (isinstance(right, Literal) and right.value != 0)
    template, makes_nan = functions.arithmetic(operator.name, of, may_be_zero)
    may_fail = _may_fail(operator, of, right)
    return Call(template, (left, right), of, makes_nan, may_fail=may_fail)


def _may_fail(operator: Word, of: Edm, right: Node) -> bool:
    """Return whether an operator on two numbers of a type can overflow or divide by zero."""
    if operator.name in ("div", "mod"):
        # The quotient of the least Int64 and -1 is outside its range.
        is_safe = isinstance(right, Literal) and right.value not in (0, -1)
        return not is_safe and (operator.name == "mod" or of is not Edm.DOUBLE)
    return of is Edm.INT64


_DIVISIONS = ("div", "divby")


def _require_divisor(operator: Word, right: Node) -> None:
    """Reject a literal zero where a division by zero fails: the error then has a place."""
    if isinstance(right, Literal) and right.value == 0:
        raise syntax_error(f"{operator.name} by zero has no result", right.at or operator.at)


def call(name: Word, arguments: tuple[Node, ...]) -> Node:
    """Call a canonical function."""
    if name.name in functions.UNSUPPORTED:
        raise unsupported(f"The function {name.name} is not supported", name.at)
    signatures = functions.FUNCTIONS.get(name.name)
    if signatures is None:
        reason = advice_on_function(name.name) or f"The function {name.name} does not exist"
        raise syntax_error(reason, name.at)
    if name.name == "totalseconds":
        arguments = tuple(map(as_duration, arguments))
    types = tuple(each.type for each in arguments)
    signature = next((each for each in signatures if each.accepts(types)), None)
    if signature is None:
        expected = " or ".join(f"({', '.join(map(str, s.parameters))})" for s in signatures)
        raise syntax_error(
            f"{name.name} expects {expected}, got ({', '.join(map(str, types))})",
            name.at,
        )
    arguments = tuple(
        Literal(parameter, None) if each.type is Edm.NULL else each
        for each, parameter in zip(arguments, signature.parameters, strict=True)
    )
    if name.name == "totaloffsetminutes" and isinstance(arguments[0], Literal):
        return _offset_minutes(arguments[0])
    if name.name in functions.OFFSET_DEPENDENT:
        _require_utc(name, arguments[0])
    if name.name == "matchespattern":
        arguments = (arguments[0], _pattern(name, arguments[1]))
    truncated_to = (
        _literal_length(name, arguments[2])
        if name.name == "substring" and len(arguments) > 2
        else None
    )
    return Call(
        signature.template,
        arguments,
        signature.result,
        truncated_to=truncated_to,
        # The length may be negative.
        may_fail=name.name == "substring" and len(arguments) > 2 and truncated_to is None,
    )


def _literal_length(name: Word, length: Node) -> int | None:
    """Return the length of a substring, None if it is not a literal."""
    if not isinstance(length, Literal) or length.value is None:
        return None
    if length.value < 0:
        raise syntax_error("The length of a substring must not be negative", length.at or name.at)
    return int(length.value)


def _offset_minutes(instant: Literal) -> Literal:
    """Return the UTC offset of a literal: no instant in Postgres has one."""
    offset = None if instant.value is None else instant.value.utcoffset()
    minutes = None if offset is None else offset // timedelta(minutes=1)
    return Literal(Edm.INT32, minutes, instant.at)


def case(name: Word, conditions: Sequence[Node], results: Sequence[Node]) -> Node:
    """Build ``case``: the result of the first condition that is true."""
    of = Edm.NULL
    for each in results:
        if not are_comparable(of, each.type):
            raise unsupported(
                f"case with results of both {of} and {each.type} is not supported", name.at
            )
        of = common_type(of, each.type)
    converted_results = (convert(each, of, name.at) for each in results)
    return Case(tuple(zip(conditions, converted_results, strict=True)), of)


def cast(name: Word, operand: Node, type_name: str, at: Place) -> Node:
    """Cast a value to a primitive type (``cast``), or test whether it can be cast (``isof``)."""
    target = Edm.named(type_name)
    if target is None or target is Edm.NULL:
        raise unsupported(f"{name.name} to {type_name[:100]} is not supported", at)
    if name.name == "isof":
        return casts.is_of(operand, target)
    if operand.type is Edm.DURATION and target is Edm.STRING:
        raise unsupported("cast of a duration to Edm.String is not supported", name.at)
    return casts.cast(operand, target)


def _require_utc(name: Word, argument: Node) -> None:
    """Reject a literal with a UTC offset where the result depends on the offset.

    URL Conventions 4.01, section 5.1.1.8: services that normalize to UTC must fail here.
    """
    instants = [argument]
    while instants:
        node = instants.pop()
        if node.type is not Edm.DATE_TIME_OFFSET:
            continue
        if isinstance(node, Literal) and node.value is not None and node.value.utcoffset():
            raise syntax_error(
                f"{name.name} requires an instant in UTC, such as 2026-11-22T08:00:00Z", name.at
            )
        if isinstance(node, Case):
            instants += (result for _, result in node.pairs)
        elif isinstance(node, Call):
            instants += node.arguments


def _pattern(name: Word, argument: Node) -> Literal:
    if not isinstance(argument, Literal):
        raise unsupported(
            "matchesPattern with a pattern that is not a literal is not supported", name.at
        )
    if argument.value is None:
        return argument
    try:
        return Literal(Edm.STRING, regex.translate(argument.value), argument.at)
    except ValueError as error:
        raise syntax_error(f"The pattern {error}", argument.at or name.at) from error
