"""The functions and arithmetic operators of expressions: their signatures and SQL templates.

To add a function, add one line to ``FUNCTIONS``; ``sql.translator`` fills the templates in.

A template uses each argument at most once, or binds it in a subselect first: a duplicated argument
would double the statement with each level of nesting. Such a subselect ends in ``OFFSET 0``,
because otherwise the planner would flatten it and duplicate the argument itself.

URL Conventions 4.01, sections 5.1.1.2 (arithmetic) and 5.1.1.5 to 5.1.1.12 (canonical functions).
"""

from dataclasses import dataclass

from chalicelib.odata.edm import FRACTIONS, INTEGERS, NUMBERS, Edm

_TEXT = Edm.STRING
_INT = Edm.INT32
_BOOL = Edm.BOOLEAN
_DECIMAL = Edm.DECIMAL
_DOUBLE = Edm.DOUBLE
_DATE = Edm.DATE
_TIME = Edm.TIME_OF_DAY
_INSTANT = Edm.DATE_TIME_OFFSET
_DURATION = Edm.DURATION


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a function: the types of its parameters and result, and its SQL."""

    parameters: tuple[Edm, ...]
    result: Edm
    template: str

    def accepts(self, arguments: tuple[Edm, ...]) -> bool:
        return len(arguments) == len(self.parameters) and all(
            map(_fits, arguments, self.parameters)
        )


def _fits(argument: Edm, parameter: Edm) -> bool:
    if argument in (parameter, Edm.NULL):
        return True
    return argument in INTEGERS and parameter in (_INT, _DECIMAL)


# Unicode's White_Space: https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt
_WHITE_SPACE = (
    r"U&'\0009\000A\000B\000C\000D\0020\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007"
    r"\2008\2009\200A\2028\2029\202F\205F\3000'"
)
# The outer collation "C" prevents a conflict with the explicit collation of another operand.
_UNICODE_CASE = '({0}({{0}} COLLATE "pg_unicode_fast") COLLATE "C")'
_LOCAL = "({0} AT TIME ZONE 'UTC')"
DATE_OF_INSTANT = f"CAST({_LOCAL} AS date)"
# Positions outside the range of integer are clamped; LEAST and GREATEST ignore nulls.
_REST = (
    "CASE WHEN n >= 0 THEN substr(s, CAST(least(n, 2147483646) AS integer) + 1)"
    " WHEN n < 0 THEN right(s, - CAST(greatest(n, -2147483647) AS integer)) END"
)
_LENGTH = "CAST(least(greatest(m, -1), 2147483647) AS integer)"


def _component(name: str, *types: Edm) -> tuple[Signature, ...]:
    """Return the signatures of a component of a date or a time, as a whole number."""
    return tuple(
        Signature(
            (each,),
            _INT,
            f"CAST(floor(extract({name} FROM {_LOCAL if each is _INSTANT else '{0}'})) AS integer)",
        )
        for each in types
    )


def _rounding(sql: str, of_double: str) -> tuple[Signature, ...]:
    return (
        Signature((_DOUBLE,), _DOUBLE, of_double),
        Signature((_DECIMAL,), _DECIMAL, f"{sql}(CAST({{0}} AS numeric))"),
    )


FUNCTIONS: dict[str, tuple[Signature, ...]] = {
    "concat": (Signature((_TEXT, _TEXT), _TEXT, "({0} || {1})"),),
    "contains": (Signature((_TEXT, _TEXT), _BOOL, "(strpos({0}, {1}) > 0)"),),
    "startswith": (Signature((_TEXT, _TEXT), _BOOL, "starts_with({0}, {1})"),),
    "endswith": (Signature((_TEXT, _TEXT), _BOOL, "starts_with(reverse({0}), reverse({1}))"),),
    "indexof": (Signature((_TEXT, _TEXT), _INT, "(strpos({0}, {1}) - 1)"),),
    "length": (Signature((_TEXT,), _INT, "length({0})"),),
    "substring": (
        Signature(
            (_TEXT, _INT),
            _TEXT,
            f"(SELECT {_REST} FROM (SELECT {{0}} AS s, {{1}} AS n OFFSET 0) AS a)",
        ),
        # Postgres raises an error for a negative length, as the standard requires.
        Signature(
            (_TEXT, _INT, _INT),
            _TEXT,
            f"(SELECT CASE WHEN m IS NOT NULL THEN substr({_REST}, 1, {_LENGTH}) END"
            " FROM (SELECT {0} AS s, {1} AS n, {2} AS m OFFSET 0) AS a)",
        ),
    ),
    "tolower": (Signature((_TEXT,), _TEXT, _UNICODE_CASE.format("lower")),),
    "toupper": (Signature((_TEXT,), _TEXT, _UNICODE_CASE.format("upper")),),
    "trim": (Signature((_TEXT,), _TEXT, f"btrim({{0}}, {_WHITE_SPACE})"),),
    # In the collation "C" character classes are those of ASCII, as in ECMAScript.
    "matchespattern": (Signature((_TEXT, _TEXT), _BOOL, '({0} COLLATE "C" ~ {1})'),),
    "year": _component("year", _INSTANT, _DATE),
    "month": _component("month", _INSTANT, _DATE),
    "day": _component("day", _INSTANT, _DATE),
    "hour": _component("hour", _INSTANT, _TIME),
    "minute": _component("minute", _INSTANT, _TIME),
    "second": _component("second", _INSTANT, _TIME),
    "fractionalseconds": (
        Signature((_INSTANT,), _DECIMAL, f"(extract(second FROM {_LOCAL}) % 1)"),
        Signature((_TIME,), _DECIMAL, "(extract(second FROM {0}) % 1)"),
    ),
    "date": (Signature((_INSTANT,), _DATE, DATE_OF_INSTANT),),
    "time": (Signature((_INSTANT,), _TIME, f"CAST({_LOCAL} AS time)"),),
    # Every instant is stored and returned in UTC; ``operators`` replaces a literal.
    "totaloffsetminutes": (Signature((_INSTANT,), _INT, "CASE WHEN {0} IS NOT NULL THEN 0 END"),),
    "totalseconds": (Signature((_DURATION,), _DECIMAL, "extract(epoch FROM {0})"),),
    "now": (Signature((), _INSTANT, "now()"),),
    "mindatetime": (Signature((), _INSTANT, "timestamptz '0001-01-01 00:00:00Z'"),),
    "maxdatetime": (Signature((), _INSTANT, "timestamptz '9999-12-31 23:59:59.999999Z'"),),
    # Half is rounded away from zero: Postgres does so for numeric, but rounds double to even.
    "round": _rounding(
        "round", "CAST(round(CAST(CAST({0} AS text) AS numeric)) AS double precision)"
    ),
    "floor": _rounding("floor", "floor({0})"),
    "ceiling": _rounding("ceil", "ceil({0})"),
}

# Functions whose result depends on the UTC offset of an instant, which Postgres does not store.
OFFSET_DEPENDENT = frozenset(
    {"year", "month", "day", "hour", "minute", "date", "time", "totaloffsetminutes"}
)

# Legal functions for types that the model does not use.
UNSUPPORTED = frozenset(
    {"hassubset", "hassubsequence", "geo.distance", "geo.length", "geo.intersects"}
)

_OPERANDS = "FROM (SELECT {0} AS x, {1} AS y OFFSET 0) AS a"
_IEEE_DIVISION = (
    "(SELECT CASE WHEN y = 0 AND (x = 0 OR x = 'NaN') THEN 'NaN'"
    " WHEN y = 0 AND x > 0 THEN 'Infinity' WHEN y = 0 AND x < 0 THEN '-Infinity'"
    f" ELSE x / y END {_OPERANDS})"
)
# Postgres raises an error where a Double overflows or underflows; IEEE 754 has infinity and zero.
# The order of the cases keeps the comparisons themselves within the range.
_MAX_DOUBLE = "float8 '1.7976931348623157e308'"
_MIN_DOUBLE = "float8 '5e-324'"
_DOUBLE_SUM = (
    "(SELECT CASE WHEN abs(x) < 1e280 OR abs(y) < 1e280 THEN x {sign} y"
    f" WHEN abs(x / 2 {{sign}} y / 2) > {_MAX_DOUBLE} / 2"
    " THEN (x / 2 {sign} y / 2) * float8 'Infinity'"
    f" ELSE x {{sign}} y END {_OPERANDS.replace('{', '{{').replace('}', '}}')})"
)
# The remainder as C's fmod computes it. The quotient q of up to 24 bits times half of the divisor's
# digits is a Double without rounding, and so is the difference. If x / y was rounded up to q, the
# remainder is one divisor too low: without the correction 27.7 mod 0.1 would be negative.
_EXACT_REMAINDER = (
    "(SELECT CASE WHEN r * x < 0 THEN r + sign(x) * abs(y) ELSE r END"
    " FROM (SELECT x - q * half - q * (y - half) AS r FROM (SELECT trunc(x / y) AS q,"
    " CAST(CAST(y AS real) AS double precision) AS half) AS b OFFSET 0) AS c)"
)
_DOUBLE_OPERATORS = {
    "add": _DOUBLE_SUM.format(sign="+"),
    "sub": _DOUBLE_SUM.format(sign="-"),
    "mul": (
        "(SELECT CASE WHEN y = 0 THEN x * y WHEN abs(y) > 1 THEN"
        f" CASE WHEN abs(x) >= {_MAX_DOUBLE} / abs(y) THEN x * float8 'Infinity' * y"
        " ELSE x * y END"
        f" WHEN least(abs(x), 1) * 2 <= {_MIN_DOUBLE} / abs(y) THEN x * 0 * y"
        f" ELSE x * y END {_OPERANDS})"
    ),
    "div": (
        "(SELECT CASE WHEN y = 0 AND (x = 0 OR x = 'NaN') THEN 'NaN'"
        " WHEN y = 0 AND x > 0 THEN 'Infinity' WHEN y = 0 AND x < 0 THEN '-Infinity'"
        f" WHEN abs(y) < 1 THEN CASE WHEN abs(x) >= {_MAX_DOUBLE} * abs(y)"
        " THEN x * float8 'Infinity' / y ELSE x / y END"
        f" WHEN least(abs(x), 1) * 2 <= {_MIN_DOUBLE} * abs(y) THEN x * 0 / y"
        f" ELSE x / y END {_OPERANDS})"
    ),
    # Division by zero raises an error, as the standard requires for every type (5.1.1.2.6). If the
    # quotient is too long for the exact remainder, numeric computes it from the decimal digits.
    "mod": (
        "(SELECT CASE WHEN y = 0 THEN 1 / y"
        " WHEN y = 'NaN' OR abs(x) = 'Infinity' THEN x + y + 'NaN'"
        " WHEN abs(x) < abs(y) THEN x"
        " WHEN abs(y) < 1e-30 OR abs(y) > 1e30 OR abs(x) > 1e7 * least(abs(y), 1e30) THEN"
        " CAST(CAST(CAST(x AS text) AS numeric) % CAST(CAST(y AS text) AS numeric)"
        f" AS double precision) ELSE {_EXACT_REMAINDER} END {_OPERANDS})"
    ),
}
_DOUBLE_OPERATORS["divby"] = _DOUBLE_OPERATORS["div"]
_OPERATORS = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "mod": "({0} % {1})",
}
_SHIFTED_INSTANT = "(({0} AT TIME ZONE 'UTC' + {1}) AT TIME ZONE 'UTC')"
_SHIFTED_DATE = "CAST(CAST({0} AS timestamp) + {1} AS date)"
# Date arithmetic may leave the years 1 to 9999, and clients cannot read other years. The range is
# checked where a value is returned, not where it is compared: a plain operator can use an index.
# Out-of-range values are shifted beyond Postgres' own range, which raises an error.
_WITHIN_YEARS = (
    "(SELECT v + CASE WHEN v < '0001-01-01' THEN interval '-10000 years'"
    " WHEN v >= '10000-01-01' THEN interval '300000 years' ELSE interval '0' END"
    " FROM (SELECT {} AS v OFFSET 0) AS w)"
)
INSTANT_AS_TEXT = f'to_char({_WITHIN_YEARS.format(_LOCAL)}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'
DATE_AS_TEXT = f"to_char({_WITHIN_YEARS.format('CAST({0} AS timestamp)')}, 'YYYY-MM-DD')"
_DATE_DIFFERENCE = "(CAST({0} AS timestamp) - CAST({1} AS timestamp))"


def arithmetic(operator: str, of: Edm, may_divide_by_zero: bool) -> tuple[str, bool]:
    """Return the template of an operator on two numbers of a type, and whether it can yield NaN.

    ``may_divide_by_zero`` says whether the right operand may be zero: ``div`` then raises an error,
    ``divby`` yields infinity or NaN. Doubles saturate, so any operator on them can yield NaN.
    """
    if of is _DOUBLE:
        return _DOUBLE_OPERATORS[operator], True
    if operator in _OPERATORS:
        return _OPERATORS[operator], False
    if may_divide_by_zero and operator == "divby":
        return _IEEE_DIVISION, True
    return "({0} / {1})", False


def time_arithmetic(operator: str, left: Edm, right: Edm) -> tuple[str, Edm] | None:
    """Return the template of an operator on dates and durations with its type, or None."""
    if right is _DURATION and left in NUMBERS and operator == "mul":
        return "({1} * " + _factor("{0}", left) + ")", _DURATION
    if left is _DURATION and right in NUMBERS:
        sign = {"mul": "*", "div": "/", "divby": "/"}.get(operator)
        factor = _factor("{1}", right) if sign == "*" else "CAST({1} AS double precision)"
        return (f"({{0}} {sign} {factor})", _DURATION) if sign else None
    return _TIME_ARITHMETIC.get((operator, left, right))


def _factor(number: str, of: Edm) -> str:
    """Return the SQL of a number to multiply a duration by.

    Postgres has infinite durations, and OData has none. NaN instead of infinity raises an error.
    """
    if of in INTEGERS:
        return f"CAST({number} AS double precision)"
    return (
        "(SELECT CASE WHEN abs(n) = 'Infinity' THEN 'NaN' ELSE n END"
        f" FROM (SELECT CAST({number} AS double precision) AS n OFFSET 0) AS a)"
    )


_TIME_ARITHMETIC = {
    ("add", _INSTANT, _DURATION): (_SHIFTED_INSTANT, _INSTANT),
    ("add", _DURATION, _DURATION): ("({0} + {1})", _DURATION),
    ("add", _DATE, _DURATION): (_SHIFTED_DATE, _DATE),
    ("sub", _INSTANT, _DURATION): (_SHIFTED_INSTANT.replace("+", "-"), _INSTANT),
    ("sub", _DURATION, _DURATION): ("({0} - {1})", _DURATION),
    ("sub", _INSTANT, _INSTANT): ("({0} - {1})", _DURATION),
    ("sub", _DATE, _DURATION): (_SHIFTED_DATE.replace("+", "-"), _DATE),
    ("sub", _DATE, _DATE): (_DATE_DIFFERENCE, _DURATION),
}

NEGATION = "(- {0})"
NEGATABLE = INTEGERS | FRACTIONS | {_DURATION}

# The operand types of arithmetic, including null.
ARITHMETIC_TYPES = NUMBERS | {_DATE, _INSTANT, _DURATION, Edm.NULL}
