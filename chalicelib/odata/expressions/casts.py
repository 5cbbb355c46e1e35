"""``cast`` and ``isof``: convert a value to another type, with null if the conversion fails.

URL Conventions 4.01, section 5.1.1.10.1, rules 1 to 5 and 11. ``functions`` explains why each
subselect ends in ``OFFSET 0``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from chalicelib.instant import MAX_FRACTION_DIGITS
from chalicelib.odata.ast import Call, Cast, Literal, Node
from chalicelib.odata.edm import INTEGER_RANGES, INTEGERS, NUMBERS, Edm
from chalicelib.odata.expressions.functions import DATE_AS_TEXT, INSTANT_AS_TEXT
from chalicelib.odata.language.literals import DATE, GUID, MAX_EXPONENT_DIGITS, NUMBER, read_as

_EXACT = {Edm.DOUBLE: "CAST(CAST({0} AS text) AS numeric)"}
_TO_TEXT = {
    Edm.DOUBLE: "replace(CAST({0} AS text), 'Infinity', 'INF')",
    Edm.DECIMAL: "replace(CAST({0} AS text), 'Infinity', 'INF')",
    Edm.BOOLEAN: "CAST({0} AS text)",
    Edm.GUID: "CAST({0} AS text)",
    Edm.DATE: DATE_AS_TEXT,
    Edm.TIME_OF_DAY: "CAST({0} AS text)",
    Edm.DATE_TIME_OFFSET: INSTANT_AS_TEXT,
    **dict.fromkeys(INTEGERS, "CAST({0} AS text)"),
}


def _with(name: str, expression: str, result: str) -> str:
    """Return the SQL of a result that uses the value of an expression by a name."""
    return f"(SELECT {result} FROM (SELECT {expression} AS {name} OFFSET 0) AS named)"


# A Decimal may be outside the range of Double.
_DECIMAL_TO_DOUBLE = _with(
    "number",
    "{0}",
    "CASE WHEN pg_input_is_valid(CAST(number AS text), 'double precision')"
    " THEN CAST(number AS double precision) END",
)


def _literal_braces(sql: str) -> str:
    """Escape the braces of SQL that becomes a part of a template."""
    return sql.replace("{", "{{").replace("}", "}}")


def _instant(local: str) -> str:
    """Return the SQL of a local time at the offset at the end of ``text``.

    It is null outside the years 1 to 9999 in UTC. If its second is 60, it must be at midnight,
    where a leap second can be: ``after_leap_second``. The offset is subtracted, because Postgres
    reads none beyond 15:59.
    """
    offset = "substring(text FROM '[-+ ][0-9]{2}:[0-9]{2}$')"
    return _with(
        "utc",
        f"{local} - COALESCE(CAST({offset} AS interval), interval '0')",
        "CASE WHEN utc >= '0001-01-01' AND utc < '10000-01-01'"
        " AND (substr(text, 17, 3) <> ':60' OR to_char(utc, 'HH24:MI') = '00:00')"
        " THEN utc AT TIME ZONE 'UTC' END",
    )


def _duration(length: str) -> str:
    """Return the SQL of a duration of this length with the sign of ``text``.

    It is null outside the range of ``timedelta``, as which literals are read.
    """
    return _with(
        "length",
        length,
        f"CASE WHEN length >= interval '{timedelta.max.days + 1} days'"
        f" OR (left(text, 1) = '-' AND length > interval '{-timedelta.min.days} days') THEN NULL"
        " WHEN left(text, 1) = '-' THEN - length ELSE length END",
    )


def _within(low: int, high: int) -> Callable[[str], str]:
    """Return the function that returns the SQL of a number, null outside a range."""
    result = f"CASE WHEN number BETWEEN {low} AND {high} THEN number END"
    return lambda number: _with("number", number, result)


@dataclass(frozen=True, slots=True)
class _TextForm:
    """How to read a value from the SQL value ``text``, as ``language.literals`` reads a literal.

    Attributes:
        pattern: the syntax of the literals.
        readable: the part of the text that Postgres reads. ``pg_input_is_valid`` decides whether it
            has a value.
        sql_type: the type as which Postgres reads it; None for that of the EDM type.
        value: returns the SQL of the value, from the SQL of what Postgres has read. It is null if
            the type does not have the value.
        truncates: whether digits beyond the microsecond are dropped. Postgres would round.
    """

    pattern: str
    readable: str = "text"
    sql_type: str | None = None
    value: Callable[[str], str] = str
    truncates: bool = False


# Postgres would accept the hour 24, and the second 60 at any time.
_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
_FRACTION = f"([.][0-9]{{1,{MAX_FRACTION_DIGITS}}})?"
_INTEGER = "[-+]?[0-9]+"
_TEXT_FORMS = {
    Edm.BOOLEAN: _TextForm("[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]"),
    Edm.GUID: _TextForm(GUID),
    Edm.DATE: _TextForm(DATE),
    Edm.TIME_OF_DAY: _TextForm(f"{_MINUTE}(:[0-5][0-9]{_FRACTION})?", truncates=True),
    Edm.DATE_TIME_OFFSET: _TextForm(
        f"{DATE}[Tt]{_MINUTE}(:([0-5][0-9]|60){_FRACTION})?([Zz]|[-+ ]{_MINUTE})?",
        readable="substring(text FROM '^.{11}[0-9:.]+')",
        sql_type="timestamp",
        value=_instant,
        truncates=True,
    ),
    Edm.DURATION: _TextForm(
        "-?P(?=.)([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+([.][0-9]+)?S)?)?",
        readable="ltrim(text, '-')",  # Postgres accepts no sign before the P
        value=_duration,
        truncates=True,
    ),
    Edm.DECIMAL: _TextForm(f"{_INTEGER}([.][0-9]+)?([eE][-+]?[0-9]{{1,{MAX_EXPONENT_DIGITS}}})?"),
    Edm.DOUBLE: _TextForm(f"{NUMBER}|-?INF|NaN"),
    **dict.fromkeys(INTEGERS, _TextForm(_INTEGER)),
    # SQL has no integers of one byte.
    Edm.BYTE: _TextForm(_INTEGER, value=_within(*INTEGER_RANGES[Edm.BYTE])),
    Edm.SBYTE: _TextForm(_INTEGER, value=_within(*INTEGER_RANGES[Edm.SBYTE])),
}


def cast(operand: Node, target: Edm) -> Node:
    """Return the operand as a value of the target type; null if the cast fails."""
    if operand.type is target:
        return operand
    if isinstance(operand, Literal) and operand.value is None:
        return Literal(target, None, operand.at)
    if isinstance(operand, Literal) and operand.type is Edm.STRING:
        return Literal(target, _read(target, operand.value), operand.at)
    template, total = _template(operand.type, target)
    if template is None:
        return Literal(target, None)
    return Cast(template, operand, target, nullable=operand.nullable or not total)


def is_of(operand: Node, target: Edm) -> Node:
    """Test whether the operand can be cast to the target type. Null can be cast to any type."""
    probe = cast(operand, target)
    if isinstance(probe, Cast) and probe is not operand:
        test = f"{probe.template.format('operand')} IS NOT NULL"
    else:
        test = "FALSE" if isinstance(probe, Literal) and probe.value is None else "TRUE"
    template = _with("operand", "{0}", f"operand IS NULL OR {_literal_braces(test)}")
    return Call(template, (operand,), Edm.BOOLEAN)


def _read(target: Edm, text: str) -> Any:
    try:
        return read_as(target, text)
    except ValueError:
        return None


def _template(source: Edm, target: Edm) -> tuple[str | None, bool]:
    """Return the SQL of a cast (None if there is none), and whether it succeeds for all values."""
    if target is Edm.STRING:
        return _TO_TEXT.get(source), True
    if source is Edm.STRING:
        return _from_text(target), False
    if source not in NUMBERS or target not in NUMBERS:
        return None, False
    if target in INTEGERS:
        low, high = INTEGER_RANGES[target]
        exact = _EXACT.get(source, "CAST({0} AS numeric)")
        result = f"CASE WHEN number BETWEEN {low} AND {high} THEN CAST(number AS {target.sql}) END"
        return _with("number", f"round({exact})", result), False
    if (source, target) == (Edm.DECIMAL, Edm.DOUBLE):
        return _DECIMAL_TO_DOUBLE, False
    return _EXACT.get(source, f"CAST({{0}} AS {target.sql})"), True


def _from_text(target: Edm) -> str:
    """Return the SQL that reads a text as a literal of a type; null if it is none."""
    form = _TEXT_FORMS[target]
    sql_type = form.sql_type or target.sql
    digits = form.readable
    if form.truncates:
        digits = f"regexp_replace({form.readable}, '([.][0-9]{{6}})[0-9]+', '\\1')"
    result = (
        f"CASE WHEN text ~ '^(?:{form.pattern})$'"
        f" AND pg_input_is_valid({form.readable}, '{sql_type}')"
        f" THEN {form.value(f'CAST({digits} AS {sql_type})')} END"
    )
    return _with("text", "{0}", _literal_braces(result))
