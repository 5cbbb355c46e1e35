"""Export: what the service has of one person, as JSON or CSV, in pages."""

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from chalicelib.buffered_items import BufferedItems
from chalicelib.errors import InvalidCursorError, InvalidError
from chalicelib.operations.person import Person, decode, record_of
from chalicelib.postgres.personal_records import PersonalRecords
from chalicelib.record_id import BEFORE_ALL_IDS

_PAGE = 500
# Lambda answers with at most 6 MB, and may encode a character as six.
_MAX_BYTES = 2_000_000
_COLUMNS = (
    "id",
    "employerId",
    "employeeId",
    "includedAt",
    "utcOffsetMinutes",
    "deviceId",
    "latitude",
    "longitude",
    "accuracyMeters",
    "postedBy",
    "postedAs",
    "status",
    "attempts",
    "createdAt",
    "replicatedAt",
    "integratedAt",
)


@dataclass(slots=True)
class PersonalData:
    """One page of what the service has of a person.

    Attributes:
        records: the records in Postgres, each with its ``logs``.
        buffered: the records of the buffer; only on the first page.
        quarantined: the texts of quarantined items; only on the first page.
        csv: the records and those of the buffer as CSV; None if the format is JSON.
        cursor: where the next page begins; None on the last.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    buffered: list[Any] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    csv: str | None = None
    cursor: str | None = None

    def answer(self) -> dict[str, Any]:
        """Return the page for the operator; if it has CSV, without the same records as JSON."""
        return asdict(self) | ({} if self.csv is None else {"records": []})

    @property
    def counts(self) -> dict[str, int]:
        """How much there is, for the audit log."""
        return {
            "records": len(self.records),
            "buffered": len(self.buffered),
            "quarantined": len(self.quarantined),
        }


def export(
    person: Person, form: object, cursor: object, buffer: BufferedItems, records: PersonalRecords
) -> PersonalData:
    """Return one page of a person's data.

    Args:
        person: whose data.
        form: ``json`` or ``csv``; None for JSON.
        cursor: the ``cursor`` of the page before; None for the first.
        buffer: the buffer.
        records: what Postgres has of persons.

    Raises:
        InvalidError: the format is unknown, or the cursor is not one that an earlier call returned.
        UnavailableError: a store did not answer.
    """
    if form not in (None, "json", "csv"):
        raise InvalidError("format must be json or csv.", target="format")
    after = _cursor(cursor)
    data = PersonalData()
    if cursor is None:  # the buffer first: a record may move to Postgres meanwhile
        data.buffered = [
            record
            for page in buffer.pages(0, 1, 1_000, consistent=True)
            for item in page
            if person.owns(record := decode(item.get("record", {}).get("S")))
        ]
        data.quarantined = [
            item for item in records.quarantined(person.employee) if person.owns(record_of(item))
        ]
    size = 0
    page = records.read(person.employer, person.employee, after, _PAGE)
    for record in page:
        size += len(json.dumps(record))
        if data.records and size > _MAX_BYTES:
            break
        data.records.append(record)
    if len(page) == _PAGE or len(data.records) < len(page):
        data.cursor = data.records[-1]["id"]
    if form == "csv":
        data.csv = _csv([*data.buffered, *data.records], with_header=cursor is None)
    return data


def _csv(records: list[dict[str, Any]], *, with_header: bool) -> str:
    """Write records as RFC 4180 says. No cell begins like a formula of a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    if with_header:
        writer.writerow(_COLUMNS)
    for record in records:
        writer.writerow([_cell(record.get(name)) for name in _COLUMNS])
    return text.getvalue()


def _cell(value: object) -> object:
    """https://owasp.org/www-community/attacks/CSV_Injection."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _cursor(cursor: object) -> str:
    if cursor is None:
        return BEFORE_ALL_IDS
    try:
        return str(UUID(cursor if isinstance(cursor, str) else ""))
    except ValueError as error:
        raise InvalidCursorError from error
