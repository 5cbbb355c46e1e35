"""Build SQL expressions that format values and properties as OData JSON.

Names from the model are part of the statement. Text from the client (the name of a computed
property, the options of a link) is always a bound parameter. JSON 4.01, sections 4.5, 4.6, 7, 8.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.odata.ast import ComputedProperty
from chalicelib.odata.edm import FRACTIONS, Edm
from chalicelib.odata.expressions.functions import DATE_AS_TEXT, INSTANT_AS_TEXT
from chalicelib.odata.model import EntityType, Navigation, Property

# Types that a client recognizes without a type annotation, but for INF and NaN, which JSON writes
# as strings. JSON 4.01, section 4.6.3.
TYPES_OF_JSON = (Edm.STRING, Edm.BOOLEAN, Edm.DOUBLE)
_INSTANT = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# An ISO 8601 duration in days, hours, minutes and seconds.
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
# JSON has no numbers for infinity and NaN: OData writes them as strings.
_FRACTION = (
    "CASE WHEN {0} IN ('Infinity', '-Infinity', 'NaN')"
    " THEN to_json(replace(CAST({0} AS text), 'Infinity', 'INF')) ELSE to_json({1}) END"
)


@dataclass(frozen=True, slots=True)
class JsonStyle:
    """The JSON format of a response, and its limits.

    Attributes:
        service_root: the start of each URL.
        metadata: the metadata level: none, minimal or full.
        numbers_as_text: write Int64 and Decimal as strings.
        expand_page: the maximum number of entities on a page of an expansion.
        max_bytes: the maximum size of the response.
        format_option: the request's ``$format``, repeated in links.
        omit_nulls: omit properties that are null, with their annotations.
    """

    service_root: str
    metadata: str
    numbers_as_text: bool
    expand_page: int
    max_bytes: int
    format_option: str | None = None
    omit_nulls: bool = False

    @property
    def is_full(self) -> bool:
        return self.metadata == "full"

    def number(self, sql: str) -> str:
        """Return the SQL of an Int64 as JSON text."""
        return f"'\"' || {sql} || '\"'" if self.numbers_as_text else f"CAST({sql} AS text)"


def property_fields(prop: Property, row: str, style: JsonStyle) -> list[str]:
    """Return the select list for a property: the input of row_to_json."""
    fields = []
    if style.is_full and prop.type not in TYPES_OF_JSON:
        annotation = f"'#{type_name(prop.type)}'"
        if style.omit_nulls and prop.nullable:
            annotation = f"CASE WHEN {row}.{prop.column} IS NOT NULL THEN {annotation} END"
        fields.append(f'{annotation} AS "{prop.name}@odata.type"')
    value = json_value(f"{row}.{prop.column}", prop.type, style)
    return [*fields, f'{value} AS "{prop.name}"']


def json_value(sql: str, of: Edm, style: JsonStyle) -> str:
    """Return the SQL of a value in the form that row_to_json and to_json format correctly."""
    if of is Edm.DATE_TIME_OFFSET:
        return _INSTANT.format(sql)
    if style.numbers_as_text and of in (Edm.INT64, Edm.DECIMAL):
        return f"CAST({sql} AS text)"
    return sql


def value_text(sql: str, of: Edm, style: JsonStyle) -> str:
    """Return the SQL of a value of any type as JSON text; null for null."""
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
    """Return the JSON text before the value of a computed property: its name and type annotation.

    ``$metadata`` does not declare its type, so each response does, unless JSON implies the type.
    """
    of = computed.value.type
    is_inferred = of in (*TYPES_OF_JSON, Edm.NULL) and not computed.value.may_be_nan
    named = style.metadata != "none" and not is_inferred
    name = json.dumps(computed.name, ensure_ascii=False)
    annotation = f',"{computed.name}@odata.type":"#{type_name(of)}"' if named else ""
    return f"{annotation},{name}:"


def link_fields(navigation: Navigation, url: str) -> list[str]:
    """Return the select list for the links of a navigation property: input of row_to_json."""
    return [
        f"{url} || '/{navigation.name}/$ref' AS \"{navigation.name}@odata.associationLink\"",
        f"{url} || '/{navigation.name}' AS \"{navigation.name}@odata.navigationLink\"",
    ]


def entity_url(entity: EntityType, row: str, service_root: str, bind: Callable[[str], str]) -> str:
    """Return the SQL of an entity's URL, from the columns of its key in ``row``.

    URL Conventions 4.01, section 4.3.1: a key of several properties has their names.

    Args:
        bind: binds a text, and returns its placeholder.
    """
    url, before = "", f"{service_root}/{entity.entity_set}("
    for each in entity.key:
        name = f"{each.name}=" if entity.key_size > 1 else ""
        url += f"{bind(before + name)} || {row}.{each.column} || "
        before = ","
    return f"{url}')'"


def type_name(edm: Edm) -> str:
    """Return the name of a type as JSON annotations write it."""
    return str(edm).removeprefix("Edm.")
