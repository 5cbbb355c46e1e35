"""What belongs to a person in an item of the buffer or the quarantine, or in a journal's line."""

import json
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import InvalidError
from chalicelib.point_record import MAX_INT64
from chalicelib.postgres.erasures import EVIDENCE


@dataclass(frozen=True, slots=True)
class Person:
    """An employee of an employer."""

    employer: int
    employee: int

    def owns(self, record: Any) -> bool:
        """Return whether a decoded record, valid or not, is of this person."""
        return isinstance(record, dict) and (
            (str(record.get("employerId")), str(record.get("employeeId")))
            == (str(self.employer), str(self.employee))
        )


def read_person(employer: object, employee: object) -> Person:
    """Read a person from the members of a command.

    Raises:
        InvalidError: one of them is not the id of an employer or employee.
    """
    return Person(_read_id("employer", employer), _read_id("employee", employee))


def _read_id(name: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= MAX_INT64:
        raise InvalidError(
            f"{name} must be the id of an {name}: an integer from 1 to {MAX_INT64}.", target=name
        )
    return value


def decode(text: object) -> Any:
    """Return decoded JSON; None if the text is not JSON."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def record_of(item_text: str) -> Any:
    """Return the decoded record of a quarantined item, valid or not; None if there is none."""
    item = decode(item_text)
    try:
        return decode(item["record"]["S"])
    except (LookupError, TypeError):
        return None


def without_evidence(record: dict[str, Any]) -> str | None:
    """Return a record's text without its evidence; None if it has none."""
    if not any(name in record for name in EVIDENCE):
        return None
    kept = {name: value for name, value in record.items() if name not in EVIDENCE}
    return json.dumps(kept, separators=(",", ":"))


def quarantined_without_evidence(item_text: str, person: Person) -> str | None:
    """Return a quarantined item's text without the evidence of a person; None to leave it."""
    record = record_of(item_text)
    text = without_evidence(record) if person.owns(record) else None
    if text is None:
        return None
    item = json.loads(item_text)
    item["record"]["S"] = text
    return json.dumps(item)
