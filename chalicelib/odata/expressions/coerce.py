"""Convert operands to a common type: numeric promotion, null, strings that are durations.

URL Conventions 4.01, sections 5.1.1.14.1 (literals) and 5.1.1.16 (numeric promotion).
"""

from decimal import Decimal
from math import isinf
from typing import Any

from chalicelib.odata.ast import Call, Literal, Node, Place
from chalicelib.odata.edm import INTEGERS, NUMBERS, Edm, promote
from chalicelib.odata.language.literals import read_as, read_duration
from chalicelib.odata.language.parser import syntax_error


def are_comparable(left: Edm, right: Edm) -> bool:
    """Return whether values of two types can be compared, or be results of one ``case``."""
    return left is right or Edm.NULL in (left, right) or {left, right} <= NUMBERS


def advice_on_operands(left: Node, right: Node) -> str:
    """Return what to write instead of operands that cannot be compared; empty without advice."""
    for operand, other in ((left, right), (right, left)):
        if {operand.type, other.type} == {Edm.DATE_TIME_OFFSET, Edm.DATE}:
            return "; compare with an instant such as 2026-11-22T00:00:00Z, or use date(…)"
        if isinstance(operand, Literal) and operand.type is Edm.STRING:
            try:
                read_as(other.type, operand.value)
            except (KeyError, ValueError):
                continue
            return f"; write {operand.value[:100]} without quotes"
    return ""


def common_type(left: Edm, right: Edm) -> Edm:
    """Return the type to which two comparable types are converted."""
    if Edm.NULL in (left, right):
        return right if left is Edm.NULL else left
    return promote(left, right) if left in NUMBERS else left


def with_durations(left: Node, right: Node) -> tuple[Node, Node]:
    """Convert a string operand of a duration: 4.01 allows durations without their prefix."""
    if left.type is Edm.DURATION:
        return left, as_duration(right)
    if right.type is Edm.DURATION:
        return as_duration(left), right
    return left, right


def as_duration(node: Node) -> Node:
    """Convert a string literal in the form of a duration; return any other node unchanged."""
    if isinstance(node, Literal) and node.type is Edm.STRING:
        try:
            return Literal(Edm.DURATION, read_duration(node.value), node.at)
        except ValueError:
            return node
    return node


def convert(node: Node, of: Edm, at: Place) -> Node:
    """Convert a number or null to a wider type; return any other node unchanged."""
    if node.type is of:
        return node
    if node.type is Edm.NULL:
        return Literal(of, None)
    if isinstance(node, Literal):
        return Literal(of, convert_value(node, of, at), node.at)
    if node.type in NUMBERS:
        narrows = (node.type, of) == (Edm.DECIMAL, Edm.DOUBLE)
        return Call(f"CAST({{0}} AS {of.sql})", (node,), of, may_fail=narrows)
    return node


def convert_value(literal: Literal, of: Edm, at: Place) -> Any:
    """Convert the value of a literal to a wider type."""
    if literal.value is None or literal.type is of or of not in NUMBERS - INTEGERS:
        return literal.value
    if of is Edm.DECIMAL:
        return Decimal(literal.value)
    try:
        number = float(literal.value)
    except OverflowError:
        number = float("inf")
    if isinf(number):
        raise syntax_error(f"The number is outside the range of {of}", literal.at or at)
    return number
