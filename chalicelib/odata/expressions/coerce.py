"""Bring operands of different types together: numeric promotion, null, texts that are durations.

URL Conventions 4.01, sections 5.1.1.14.1 (literals) and 5.1.1.16 (numeric promotion).
"""

from decimal import Decimal
from math import isinf
from typing import Any

from chalicelib.odata.ast import Call, Literal, Node, Place
from chalicelib.odata.edm import INTEGERS, NUMBERS, Edm, promote
from chalicelib.odata.language.literals import read_duration
from chalicelib.odata.language.parser import syntax_error


def are_comparable(left: Edm, right: Edm) -> bool:
    """Say whether values of two types can be compared, and be results of one ``case``."""
    return left is right or Edm.NULL in (left, right) or {left, right} <= NUMBERS


def common_type(left: Edm, right: Edm) -> Edm:
    """Return the type in which two comparable types meet."""
    if Edm.NULL in (left, right):
        return right if left is Edm.NULL else left
    return promote(left, right) if left in NUMBERS else left


def with_durations(left: Node, right: Node) -> tuple[Node, Node]:
    """Read a text beside a duration as one: 4.01 has durations without their prefix."""
    if left.type is Edm.DURATION:
        return left, as_duration(right)
    if right.type is Edm.DURATION:
        return as_duration(left), right
    return left, right


def as_duration(node: Node) -> Node:
    """Return a literal text that has the form of a duration as one, anything else as it is."""
    if isinstance(node, Literal) and node.type is Edm.STRING:
        try:
            return Literal(Edm.DURATION, read_duration(node.value), node.at)
        except ValueError:
            return node
    return node


def convert(node: Node, of: Edm, at: Place) -> Node:
    """Return a number as one of a wider type, null as null of that type, anything else as it is."""
    if node.type is of:
        return node
    if node.type is Edm.NULL:
        return Literal(of, None)
    if isinstance(node, Literal):
        return Literal(of, convert_value(node, of, at), node.at)
    if node.type in NUMBERS:
        return Call(f"CAST({{0}} AS {of.sql})", (node,), of)
    return node


def convert_value(literal: Literal, of: Edm, at: Place) -> Any:
    """Return the value of a literal as one of a wider type."""
    if literal.value is None or literal.type is of or of not in NUMBERS - INTEGERS:
        return literal.value
    if of is Edm.DECIMAL:
        return Decimal(literal.value)
    try:
        number = float(literal.value)
    except OverflowError:
        number = float("inf")
    if isinf(number):
        raise syntax_error(f"The number is out of the range of {of}", literal.at or at)
    return number
