"""The regular expressions of single tokens, and the parsing of literals."""

import json
import re

from chalicelib.odata.ast import Literal, Place
from chalicelib.odata.edm import Edm
from chalicelib.odata.language import literals
from chalicelib.odata.language.earlier_versions import advice_on_literal
from chalicelib.odata.language.parser import syntax_error, unsupported

# The token of the grammar that has the operator's precedence.
OPERATORS = {
    "and": "AND", "or": "OR",
    "eq": "EQ", "ne": "NE", "gt": "GT", "ge": "GE", "lt": "LT", "le": "LE",
    "add": "ADD", "sub": "SUB", "mul": "MUL", "div": "DIV", "divby": "DIV", "mod": "MOD",
    "in": "IN",
}  # fmt: skip
_WORD = r"[^\W\d]\w{0,127}"
_DOTTED = rf"{_WORD}(?:\.{_WORD})*"
SPACES = " \t\r\n"
# Possessive quantifiers: the match is unique, so the engine need not keep alternatives.
_TEXT = r"'[^']*+(?:''[^']*+)*+'"
_JSON_TEXT = r'"(?:[^"\\]++|\\.)*+"'
QUOTED = rf"{_TEXT}|{_JSON_TEXT}"
VALUE = re.compile(
    rf"""(?P<text>{_TEXT})
    |    (?P<prefix>{_DOTTED})(?P<prefixed>{_TEXT})
    |    (?P<guid>{literals.GUID})
    |    (?P<instant>{literals.DATE}[Tt]{literals.CLOCK}{literals.OFFSET}?)
    |    (?P<date>{literals.DATE})
    |    (?P<time>{literals.CLOCK})
    |    (?P<number>{literals.NUMBER}|-?INF(?!\w)|NaN(?!\w))
    |    (?P<alias>@{_WORD})
    |    (?P<word>\$it|\$this|\$root|{_DOTTED})
    |    (?P<json>{_JSON_TEXT})
    |    (?P<mark>[-()\[\]{{,:])""",
    re.VERBOSE,
)
AFTER_VALUE = re.compile(rf"(?P<word>{_WORD})|(?P<mark>[(),:\]/])")
SEGMENT = re.compile(rf"/(?:(?P<opens>(?i:any|all)|\$count|\$filter)\(|(?P<name>\$?{_DOTTED}))")
# A path to an entity, as the value of an alias.
PATH = re.compile(rf"(?:\$it|\$this|{_DOTTED})(?:/{_DOTTED})*")
LAMBDA_VARIABLE = re.compile(rf"[ \t\r\n]*(?P<name>{_WORD})[ \t\r\n]*:")
NO_LAMBDA = re.compile(r"[ \t\r\n]*\)")
# The start of a JSON object.
OBJECT_START = re.compile(r"\{[ \t\r\n]*[\"}]")
ALIAS = re.compile(f"@({_WORD})")
WHOLE_NUMBER = re.compile(r"(?P<number>[0-9]+)")
# The rest of a pair of case that has no colon of its own. The alternatives are disjoint and
# possessive: backtracking would take quadratic time or worse.
REST_OF_PAIR = re.compile(r"(?:'[^']*+'|\([^()]*+\)|[^:,()'])*+[,)]")
_LITERAL_KINDS = {
    "guid": (Edm.GUID, literals.read_guid),
    "instant": (Edm.DATE_TIME_OFFSET, literals.read_instant),
    "date": (Edm.DATE, literals.read_date),
    "time": (Edm.TIME_OF_DAY, literals.read_time),
}
_UNSUPPORTED_PREFIXES = ("binary", "geography", "geometry")


def read_literal(match: re.Match[str], at: Place) -> Literal:
    """Convert a match of ``VALUE`` on a literal to the literal."""
    kind = match.lastgroup or ""
    token = match.group(kind)
    try:
        if kind == "text":
            return Literal(Edm.STRING, _unquoted(token), at)
        if kind == "number":
            return Literal(*literals.read_number(token), at)
        if kind == "prefixed":
            return _prefixed(match["prefix"], _unquoted(token), at)
        if kind == "json":
            return Literal(Edm.STRING, _json_text(token), at)
        edm, read = _LITERAL_KINDS[kind]
        return Literal(edm, read(token), at)
    except ValueError as error:
        raise syntax_error(f"{token[:100]} {error}", at) from error


def _prefixed(prefix: str, text: str, at: Place) -> Literal:
    if prefix.lower() == "duration":
        return Literal(Edm.DURATION, literals.read_duration(text), at)
    if advice := advice_on_literal(f"{prefix}'{text}'"):
        raise syntax_error(advice, at)
    if prefix.lower() in _UNSUPPORTED_PREFIXES:
        raise unsupported(f"Literals of type {prefix.lower()} are not supported", at)
    raise syntax_error(f"The enumeration type {prefix} does not exist", at)


def _json_text(token: str) -> str:
    text: str = json.loads(token, strict=False)
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise ValueError("has a NUL character or an unpaired surrogate, which no string may have")
    return text


def _unquoted(token: str) -> str:
    return token[1:-1].replace("''", "'")
