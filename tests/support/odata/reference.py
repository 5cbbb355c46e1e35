"""A reference implementation of OData expressions in plain Python. It does not import the service.

Values: int for integers, Fraction for Decimal, float for Double, None for null.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from math import ceil, floor, fmod, inf, nan, trunc
from typing import Any

MAX_INT64 = 2**63 - 1


class EvaluationError(Exception):
    """The expression has no value: the service must reject the request."""


Number = int | Fraction | float


def promoted(left: Number, right: Number) -> tuple[Any, Any]:
    """URL Conventions 5.1.1.16: Double before Decimal before integers."""
    if isinstance(left, float) or isinstance(right, float):
        return float(left), float(right)
    return left, right


def compare(operator: str, left: Any, right: Any) -> bool:
    """URL Conventions 5.1.1.1.1 to 5.1.1.1.6; ``ge`` is ``gt`` or ``eq``."""
    if operator == "ne":
        return not compare("eq", left, right)
    if left is None or right is None:
        return operator in ("eq", "ge", "le") and left is right
    if isinstance(left, Number) and isinstance(right, Number):
        left, right = promoted(left, right)
    return {
        "eq": lambda: left == right,
        "gt": lambda: left > right,
        "ge": lambda: left >= right,
        "lt": lambda: left < right,
        "le": lambda: left <= right,
    }[operator]()


def conjunction(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def disjunction(left: bool | None, right: bool | None) -> bool | None:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def inverse(operand: bool | None) -> bool | None:
    return None if operand is None else not operand


def of_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that it returns null for a null argument: 5.1.1.2 and 5.1.1.4."""

    def lifted(*arguments: Any) -> Any:
        return None if None in arguments else function(*arguments)

    return lifted


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """URL Conventions 5.1.1.2, for numbers."""
    if left is None or right is None:
        return None
    if operator == "divby" and isinstance(left, int) and isinstance(right, int):
        left, right = Fraction(left), Fraction(right)
    left, right = promoted(left, right)
    whole = isinstance(left, int) and isinstance(right, int)
    if operator == "add":
        result = left + right
    elif operator == "sub":
        result = left - right
    elif operator == "mul":
        result = left * right
    elif operator == "mod" and isinstance(left, float):
        result = remainder(left, right)
    elif operator == "mod":
        result = left - right * trunc(Fraction(left) / Fraction(right))
    elif whole:
        result = trunc(Fraction(left, right))
    else:
        result = left / right
    return bounded(result)


def remainder(left: float, right: float) -> float:
    """Return fmod's remainder; for quotients above ten million, that of the decimal digits."""
    if not abs(left) < inf:
        return nan
    if abs(left) <= 1e7 * abs(right):
        return fmod(left, right)
    exact, divisor = Fraction(repr(left)), Fraction(repr(right))
    return float(exact - divisor * trunc(exact / divisor))


def bounded(number: Number) -> Number:
    if isinstance(number, int) and not -MAX_INT64 - 1 <= number <= MAX_INT64:
        raise EvaluationError
    return number


def negative(number: Any) -> Any:
    return None if number is None else -number if not isinstance(number, int) else bounded(-number)


def rounded(number: Number) -> Number:
    """5.1.1.9.3: round half away from zero."""
    magnitude = floor(abs(Fraction(number)) + Fraction(1, 2))
    result = Fraction(magnitude if number >= 0 else -magnitude)
    return float(result) if isinstance(number, float) else result


def lowered(number: Number) -> Number:
    return float(floor(number)) if isinstance(number, float) else Fraction(floor(number))


def raised(number: Number) -> Number:
    return float(ceil(number)) if isinstance(number, float) else Fraction(ceil(number))


def substring(text: str, start: int, length: int | None = None) -> str:
    rest = text[start:]
    if length is None:
        return rest
    if length < 0:
        raise EvaluationError
    return rest[:length]


WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concat": lambda a, b: a + b,
    "contains": lambda a, b: b in a,
    "startswith": lambda a, b: a.startswith(b),
    "endswith": lambda a, b: a.endswith(b),
    "indexof": lambda a, b: a.find(b),
    "length": len,
    "substring": substring,
    "tolower": str.lower,
    "toupper": str.upper,
    "trim": lambda a: a.strip(WHITE_SPACE),
    "year": lambda a: a.year,
    "month": lambda a: a.month,
    "day": lambda a: a.day,
    "hour": lambda a: a.hour,
    "minute": lambda a: a.minute,
    "second": lambda a: a.second,
    "fractionalseconds": lambda a: Fraction(a.microsecond, 10**6),
    "totalseconds": lambda a: Fraction(a // timedelta(microseconds=1), 10**6),
    "date": lambda a: a.date(),
    "time": lambda a: a.time(),
    "totaloffsetminutes": lambda _: 0,
    "round": rounded,
    "floor": lowered,
    "ceiling": raised,
}


def call(name: str, *arguments: Any) -> Any:
    return of_values(FUNCTIONS[name])(*arguments)


def later(moment: datetime | date, duration: timedelta) -> datetime | date:
    """5.1.1.2.1: a date counts from its midnight; the time of the result is dropped."""
    try:
        if isinstance(moment, datetime):
            return moment + duration
        return (datetime.combine(moment, time()) + duration).date()
    except OverflowError as error:
        raise EvaluationError from error
