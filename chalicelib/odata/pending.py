"""Records that are accepted and not yet in the replica: an entity is there once it is created.

Whoever creates a record may read it at its URL at once, though the replicator has yet to come by.
It is read by the same statements as all others: they find, in the place of the table, the one
record that the buffer has.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.odata.edm import Edm
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.query.selection import Selection
from chalicelib.odata.response import Answer
from chalicelib.odata.sql.json_functions import TYPES_OF_JSON, type_name
from chalicelib.odata.sql.select_statements import RowReader
from chalicelib.point_record import PointRecord
from chalicelib.postgres.query_parameters import Parameters
from chalicelib.principal import Principal

# The properties of a record by their names, as JSON values.
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PendingRecords:
    """The way to the buffer.

    ``read`` returns the record of a decoded JSON object for a principal; ``store`` stores all of
    some records or none, and returns each and whether it is new; ``find`` returns the record of an
    id, or None, for a principal. They raise what intake and the buffer raise.
    """

    read: Callable[[object, Principal], PointRecord]
    store: Callable[[Sequence[PointRecord]], Sequence[tuple[Values, bool]]]
    find: Callable[[str, Principal], Values | None]


class PendingRecordReader:
    """A reader to whom one waiting record is all that the table of records holds."""

    def __init__(self, reader: RowReader, values: Values) -> None:
        self._reader = reader
        columns = {each.column: values[each.name] for each in POINT_RECORD.properties}
        self._record = json.dumps(columns)

    def row(self, sql: str, parameters: Parameters, until: float | None = None) -> list[Any] | None:
        """Run a statement; see ``statements.RowReader``."""
        table = POINT_RECORD.table
        bound = parameters.bind(self._record)
        record = f"jsonb_populate_record(CAST(NULL AS {table}), CAST({bound} AS jsonb))"
        with_record = f"WITH {table} AS (SELECT * FROM {record})"
        return self._reader.row(f"{with_record} {sql}", parameters, until)


def pending_record_members(values: Values, selection: Selection, answer: Answer) -> str:
    """Write a waiting record as Postgres will write it once it is replicated, without braces."""
    form = answer.form
    written: dict[str, Any] = {}
    url = answer.url_of(POINT_RECORD, values["id"])
    if form.metadata == "full":
        written["@odata.type"] = f"#{POINT_RECORD.qualified_name}"
        written["@odata.id"] = written["@odata.editLink"] = url
        for navigation in selection.navigations:
            written[f"{navigation.name}@odata.associationLink"] = f"{url}/{navigation.name}/$ref"
            written[f"{navigation.name}@odata.navigationLink"] = f"{url}/{navigation.name}"
    elif form.metadata == "minimal" and POINT_RECORD.key not in selection.properties:
        written["@odata.id"] = url
    for each in selection.properties:
        if form.metadata == "full" and each.type not in TYPES_OF_JSON:
            written[f"{each.name}@odata.type"] = f"#{type_name(each.type)}"
        value = values[each.name]
        as_text = form.numbers_as_text and each.type is Edm.INT64 and value is not None
        written[each.name] = str(value) if as_text else value
    return json.dumps(written, separators=(",", ":"), ensure_ascii=False)[1:-1]
