"""The SQL that writes entities as JSON text, with what is expanded into them.

Names of the model are in the statement as they are; a word of the client's (the name of a computed
property, the options of a link) is bound. JSON 4.01, sections 4.5, 4.6, 7 and 8.
"""

import json
from dataclasses import dataclass

from chalicelib.odata.ast import ComputedProperty
from chalicelib.odata.edm import FRACTIONS, Edm
from chalicelib.odata.expressions.functions import DATE_AS_TEXT, INSTANT_AS_TEXT
from chalicelib.odata.model import Navigation, Property

# What a client knows from JSON alone. JSON 4.01, section 4.6.3.
TYPES_OF_JSON = (Edm.STRING, Edm.BOOLEAN, Edm.DOUBLE)
_INSTANT = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# ISO 8601 in days, hours, minutes and seconds.
_DURATION = (
    "(SELECT CASE WHEN s IS NULL THEN NULL WHEN s = 0 THEN 'PT0S'"
    " ELSE CASE WHEN s < 0 THEN '-' ELSE '' END || 'P'"
    " || CASE WHEN d > 0 THEN d || 'D' ELSE '' END || CASE WHEN t > 0 THEN 'T' ELSE '' END"
    " || CASE WHEN t >= 3600 THEN div(t, 3600) || 'H' ELSE '' END"
    " || CASE WHEN mod(t, 3600) >= 60 THEN div(mod(t, 3600), 60) || 'M' ELSE '' END"
    " || CASE WHEN mod(t, 60) > 0 THEN trim_scale(mod(t, 60)) || 'S' ELSE '' END END"
    " FROM (SELECT s, div(abs(s), 86400) AS d, mod(abs(s), 86400) AS t"
    " FROM (SELECT extract(epoch FROM {}) AS s OFFSET 0) AS i OFFSET 0) AS i)"
)
# Numbers that JSON has none for.
_FRACTION = (
    "CASE WHEN {0} IN ('Infinity', '-Infinity', 'NaN')"
    " THEN to_json(replace(CAST({0} AS text), 'Infinity', 'INF')) ELSE to_json({1}) END"
)


@dataclass(frozen=True, slots=True)
class JsonStyle:
    """How entities are written: the level of metadata, and Int64 and Decimal as text or not.

    ``service_root`` begins each URL. ``expand_page`` is the most entities of one expansion,
    ``most_bytes`` the longest text of all that is answered. ``format_option`` is ``$format``, for
    links to answers of the same style.
    """

    service_root: str
    metadata: str
    numbers_as_text: bool
    expand_page: int
    most_bytes: int
    format_option: str | None = None

    @property
    def is_full(self) -> bool:
        return self.metadata == "full"

    def number(self, sql: str) -> str:
        """Return the SQL of an Int64 as JSON text."""
        return f"'\"' || {sql} || '\"'" if self.numbers_as_text else f"CAST({sql} AS text)"


def property_fields(prop: Property, row: str, style: JsonStyle) -> list[str]:
    """Return what row_to_json makes a property of."""
    fields = []
    if style.is_full and prop.type not in TYPES_OF_JSON:
        fields.append(f"'#{type_name(prop.type)}' AS \"{prop.name}@odata.type\"")
    value = json_value(f"{row}.{prop.column}", prop.type, style)
    return [*fields, f'{value} AS "{prop.name}"']


def json_value(sql: str, of: Edm, style: JsonStyle) -> str:
    """Return a value as row_to_json or to_json is to write it."""
    if of is Edm.DATE_TIME_OFFSET:
        return _INSTANT.format(sql)
    if style.numbers_as_text and of in (Edm.INT64, Edm.DECIMAL):
        return f"CAST({sql} AS text)"
    return sql


def value_text(sql: str, of: Edm, style: JsonStyle) -> str:
    """Return the SQL of a value of any type as JSON text; null where it is null."""
    if of is Edm.DATE_TIME_OFFSET:
        value = f"to_json({INSTANT_AS_TEXT.format(sql)})"
    elif of is Edm.DATE:
        value = f"to_json({DATE_AS_TEXT.format(sql)})"
    elif of is Edm.DURATION:
        value = f"to_json({_DURATION.format(sql)})"
    elif of in FRACTIONS:
        exact = f"trim_scale({sql})" if of is Edm.DECIMAL else sql
        value = _FRACTION.format(sql, json_value(exact, of, style))
    else:
        value = f"to_json({json_value(sql, of, style)})"
    return f"CAST({value} AS text)"


def computed_name(computed: ComputedProperty, style: JsonStyle) -> str:
    """Return what stands before a computed value.

    Its type is in no metadata document, and so is named wherever JSON does not tell it.
    """
    of = computed.value.type
    named = style.metadata != "none" and of not in (*TYPES_OF_JSON, Edm.NULL)
    name = json.dumps(computed.name, ensure_ascii=False)
    annotation = f',"{computed.name}@odata.type":"#{type_name(of)}"' if named else ""
    return f"{annotation},{name}:"


def link_fields(navigation: Navigation, url: str) -> list[str]:
    """Return what row_to_json makes the links of a navigation of."""
    return [
        f"{url} || '/{navigation.name}/$ref' AS \"{navigation.name}@odata.associationLink\"",
        f"{url} || '/{navigation.name}' AS \"{navigation.name}@odata.navigationLink\"",
    ]


def type_name(edm: Edm) -> str:
    """Return the name of a type as JSON has it."""
    return str(edm).removeprefix("Edm.")
