"""Say how OData 4 writes what OData 2 and 3 write in another way: for the messages of errors.

OData 2.0, Overview, section 6 (primitive types); URI Conventions 2.0, sections 2.4 and 4.
"""

import re

# The suffix of a number, where no name starts.
SUFFIX = re.compile(r"[LlMmDdFf](?!\w)")
_NUMBER = re.compile(r"(?P<number>[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)[LlMmDdFf]")
_PREFIXED = re.compile(r"(?P<prefix>[A-Za-z]+)'(?P<text>[^']*)'")
_HAS_OFFSET = re.compile(r"(?:[Zz]|[-+][0-9]{2}:[0-9]{2})$")
_FUNCTIONS = {"substringof": "contains(text,part), with the text first"}
_OPTIONS = {"$inlinecount": "$count=true"}
_SEGMENTS = {"$links": "PointRecords(…)/logs/$ref"}


def advice_on_literal(literal: str) -> str | None:
    """Return a sentence on a literal of OData 2 or 3, without its full stop; None for any other."""
    if match := _NUMBER.fullmatch(literal):
        return _sentence(literal, f"{match['number']}, without a suffix")
    match = _PREFIXED.fullmatch(literal)
    current = _without_prefix(match["prefix"].lower(), match["text"]) if match else None
    return _sentence(literal, current) if current else None


def advice_on_function(name: str) -> str | None:
    """Return a sentence on a function of OData 2 or 3; None for any other name."""
    return _sentence(name, _FUNCTIONS[name]) if name in _FUNCTIONS else None


def advice_on_option(name: str) -> str | None:
    """Return a sentence on a system query option of OData 2 or 3; None for any other name."""
    return _sentence(name, _OPTIONS[name]) if name in _OPTIONS else None


def advice_on_segment(name: str) -> str | None:
    """Return a sentence on a segment of a path of OData 2 or 3; None for any other name."""
    return _sentence(name, _SEGMENTS[name]) if name in _SEGMENTS else None


def _without_prefix(prefix: str, text: str) -> str | None:
    if prefix in ("datetime", "datetimeoffset"):
        offset = "" if _HAS_OFFSET.search(text) else "Z"
        return f"{text}{offset}, without a prefix and quotes"
    if prefix == "guid":
        return f"{text}, without a prefix and quotes"
    if prefix == "time":
        return f"duration'{text}', or a time of day such as 08:00:00"
    if prefix == "x":
        return "binary'…', and no property of this service is binary"
    return None


def _sentence(earlier: str, current: str) -> str:
    return f"{earlier[:100]} is the form of OData 2 and 3. OData 4 writes {current[:100]}"
