"""Read accepted records that are not yet in Postgres: a client can read a record it just created.

The replicator may take a while to copy an accepted record from the buffer to Postgres. Until then,
the usual statements read it: a common table expression with this one record shadows the table.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chalicelib.odata.edm import Edm
from chalicelib.odata.model import NAMESPACE, POINT_RECORD
from chalicelib.odata.query.selection import Selection
from chalicelib.odata.response import ResponseBuilder
from chalicelib.odata.sql.json_functions import TYPES_OF_JSON, type_name
from chalicelib.odata.sql.select_statements import RowReader
from chalicelib.point_record import PointRecord
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.principal import Principal

# An annotation of a record that was posted again with other evidence: docs/phones.md.
_EVIDENCE = f"@{NAMESPACE}.evidence"

# The JSON values of a record by property name.
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PendingRecords:
    """Access to the buffer, as three functions that raise the errors of intake and buffer.

    Attributes:
        read: validates a decoded JSON object on behalf of a principal.
        store: stores all records or none; returns each record and whether it is new.
        find: returns the record with an id that a principal may read, or None.
    """

    read: Callable[[object, Principal], PointRecord]
    store: Callable[[Sequence[PointRecord]], Sequence[tuple[Values, bool]]]
    find: Callable[[str, Principal], Values | None]


class PendingRecordReader:
    """Runs statements as if one pending record were the only row of its table."""

    def __init__(self, reader: RowReader, values: Values) -> None:
        self._reader = reader
        columns = {each.column: values[each.name] for each in POINT_RECORD.properties}
        self._record = json.dumps(columns)

    def row(
        self, sql: str, parameters: QueryParameters, until: float | None = None
    ) -> list[Any] | None:
        """Run a statement: see ``sql.select_statements.RowReader``."""
        table = POINT_RECORD.table
        bound = parameters.bind(self._record)
        record = f"jsonb_populate_record(CAST(NULL AS {table}), CAST({bound} AS jsonb))"
        with_record = f"WITH {table} AS (SELECT * FROM {record})"
        return self._reader.row(f"{with_record} {sql}", parameters, until)


def evidence_annotation(kept: str | None) -> dict[str, str]:
    """Return the annotation that says what became of the evidence of a post, among the values."""
    return {_EVIDENCE: kept} if kept else {}


def pending_record_members(values: Values, selection: Selection, builder: ResponseBuilder) -> str:
    """Return a pending record as JSON without braces, as Postgres will write it later."""
    json_format = builder.format
    members: dict[str, Any] = {}
    url = builder.entity_url(POINT_RECORD, values["id"])
    if json_format.metadata == "full":
        members["@odata.type"] = f"#{POINT_RECORD.qualified_name}"
        members["@odata.id"] = members["@odata.editLink"] = url
        for navigation in selection.navigations:
            members[f"{navigation.name}@odata.associationLink"] = f"{url}/{navigation.name}/$ref"
            members[f"{navigation.name}@odata.navigationLink"] = f"{url}/{navigation.name}"
    elif json_format.metadata == "minimal" and POINT_RECORD.key[0] not in selection.properties:
        members["@odata.id"] = url
    for each in selection.properties:
        if json_format.omit_nulls and values[each.name] is None:
            continue
        if json_format.metadata == "full" and each.type not in TYPES_OF_JSON:
            members[f"{each.name}@odata.type"] = f"#{type_name(each.type)}"
        value = values[each.name]
        as_text = json_format.numbers_as_text and each.type is Edm.INT64 and value is not None
        members[each.name] = str(value) if as_text else value
    if _EVIDENCE in values and json_format.metadata != "none":
        members[_EVIDENCE] = values[_EVIDENCE]
    return ",".join(f"{json.dumps(name)}:{_json_text(value)}" for name, value in members.items())


def _json_text(value: object) -> str:
    if isinstance(value, float):
        return double_text(value)
    return json.dumps(value, ensure_ascii=False)


def double_text(number: float) -> str:
    """Return a finite number as Postgres writes the Double that it stores.

    It has no fraction of zero and no negative zero, and an exponent if its first digit stands for
    less than 0.0001, or for 10^15 or more. Both write the fewest digits that identify the number;
    they differ in numbers halfway between two Doubles, the least of which exceeds 2^53.
    """
    if number == 0:
        return "0"
    shortest = Decimal(repr(number)).normalize()
    exponent = shortest.adjusted()
    if -4 <= exponent < 15:
        return f"{shortest:f}"
    return f"{shortest.scaleb(-exponent):f}e{exponent:+03}"
