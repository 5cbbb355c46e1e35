"""``cast`` and ``isof``: convert a value to another type, with null if the conversion fails.

URL Conventions 4.01, section 5.1.1.10.1, rules 1 to 5 and 11. ``functions`` explains why each
subselect ends in ``OFFSET 0``.
"""

from typing import Any

from chalicelib.instant import MAX_FRACTION_DIGITS
from chalicelib.odata.ast import Call, Cast, Literal, Node
from chalicelib.odata.edm import INTEGER_RANGES, INTEGERS, NUMBERS, Edm
from chalicelib.odata.expressions.functions import DATE_AS_TEXT, INSTANT_AS_TEXT
from chalicelib.odata.language.literals import MAX_EXPONENT_DIGITS, read_as

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
# The syntax of literals: a text has the value that ``language.literals`` reads from it, or null.
# pg_input_is_valid decides whether the value exists. Postgres would accept the hour 24, and the
# second 60 at any time.
_DAY = "[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}"
_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
_FRACTION = f"([.][0-9]{{{{1,{MAX_FRACTION_DIGITS}}}}})?"
_DECIMAL = "[-+]?[0-9]+([.][0-9]+)?"
_FORMS = {
    Edm.BOOLEAN: "[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]",
    Edm.GUID: "[0-9A-Fa-f]{{8}}(-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}",
    Edm.DATE: _DAY,
    Edm.TIME_OF_DAY: f"{_MINUTE}(:[0-5][0-9]{_FRACTION})?",
    Edm.DATE_TIME_OFFSET: f"{_DAY}[Tt]{_MINUTE}(:([0-5][0-9]|60){_FRACTION})?"
    f"([Zz]|[-+ ]{_MINUTE})?",
    Edm.DURATION: "-?P(?=.)([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+([.][0-9]+)?S)?)?",
    Edm.DECIMAL: f"{_DECIMAL}([eE][-+]?[0-9]{{{{1,{MAX_EXPONENT_DIGITS}}}}})?",
    Edm.DOUBLE: f"{_DECIMAL}([eE][-+]?[0-9]+)?|-?INF|NaN",
    **dict.fromkeys(INTEGERS, "[-+]?[0-9]+"),
}
# The part of a text that Postgres reads as the value.
_READ_BY_POSTGRES = {
    # Postgres accepts no offset beyond 15:59, so the offset is subtracted.
    Edm.DATE_TIME_OFFSET: ("substring(v FROM '^.{{11}}[0-9:.]+')", "timestamp"),
    # It accepts no sign before the P.
    Edm.DURATION: ("ltrim(v, '-')", Edm.DURATION.sql),
}
# The types whose digits beyond the microsecond are truncated. Postgres would round.
_TRUNCATED = (Edm.TIME_OF_DAY, Edm.DATE_TIME_OFFSET, Edm.DURATION)
# The value ``r`` of ``_READ_BY_POSTGRES`` as the value of the text ``v``; null if it has none.
_VALUES: dict[Edm, str] = {
    # An instant of the years 1 to 9999 in UTC. If its second is 60, it must be at midnight, where
    # a leap second can be: ``after_leap_second``.
    Edm.DATE_TIME_OFFSET: "(SELECT CASE WHEN i >= '0001-01-01' AND i < '10000-01-01'"
    " AND (substr(v, 17, 3) <> ':60' OR to_char(i, 'HH24:MI') = '00:00')"
    " THEN i AT TIME ZONE 'UTC' END FROM (SELECT {r}"
    " - COALESCE(CAST(substring(v FROM '[-+ ][0-9]{{2}}:[0-9]{{2}}$') AS interval), interval '0')"
    " AS i OFFSET 0) AS u)",
    # A duration of ``timedelta``.
    Edm.DURATION: "(SELECT CASE WHEN i >= interval '1000000000 days'"
    " OR (left(v, 1) = '-' AND i > interval '999999999 days') THEN NULL"
    " WHEN left(v, 1) = '-' THEN - i ELSE i END FROM (SELECT {r} AS i OFFSET 0) AS u)",
    # SQL has no integers of one byte.
    **{
        each: f"(SELECT CASE WHEN i BETWEEN {low} AND {high} THEN i END"
        " FROM (SELECT {r} AS i OFFSET 0) AS u)"
        for each, (low, high) in INTEGER_RANGES.items()
        if each in (Edm.BYTE, Edm.SBYTE)
    },
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
        test = f"{probe.template.format('i.v')} IS NOT NULL"
    else:
        test = "FALSE" if isinstance(probe, Literal) and probe.value is None else "TRUE"
    template = "(SELECT v IS NULL OR " + test.replace("{", "{{").replace("}", "}}")
    return Call(template + " FROM (SELECT {0} AS v OFFSET 0) AS i)", (operand,), Edm.BOOLEAN)


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
        return (
            f"(SELECT CASE WHEN v BETWEEN {low} AND {high} THEN CAST(v AS {target.sql}) END"
            f" FROM (SELECT round({exact}) AS v OFFSET 0) AS c)"
        ), False
    return _EXACT.get(source, f"CAST({{0}} AS {target.sql})"), True


def _from_text(target: Edm) -> str:
    """Return the SQL that reads a text as a literal of a type."""
    text, of = _READ_BY_POSTGRES.get(target, ("v", target.sql))
    digits = f"regexp_replace({text}, '([.][0-9]{{{{6}}}})[0-9]+', '\\1')"
    value = f"CAST({digits if target in _TRUNCATED else text} AS {of})"
    value = _VALUES.get(target, "{r}").replace("{r}", value)
    return (
        f"(SELECT CASE WHEN v ~ '^(?:{_FORMS[target]})$'"
        f" AND pg_input_is_valid({text}, '{of}') THEN {value} END"
        " FROM (SELECT {0} AS v OFFSET 0) AS c)"
    )
