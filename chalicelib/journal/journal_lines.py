"""What a line of the journal says: a record, a quarantined item, a delivery or an erasure.

A record's line is the text that the buffer had (``point_record.to_json``). That of a further post
of a record has one more member, ``postKey``, the key of the item. Revisions after release 0.2.0,
but no release, wrote it like that of a record. A quarantined item's line is an object with the one
member ``quarantined``. A delivery's line has the id of the record, and the instant from which
Postgres had the delivery. An erasure's line names the person, the instant until which evidence was
erased, and the ids of erased punches.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.instant import read_canonical, to_text
from chalicelib.point_record import from_json
from chalicelib.postgres.documents import Document, Poison

QUARANTINED = "quarantined"
_POST_KEY = "postKey"


@dataclass(slots=True)
class RecordLines:
    """The lines of a file of records, parsed: records, further posts of records, quarantined items.

    ``faults`` counts lines that are none of these.
    """

    documents: list[Document] = field(default_factory=list)
    posts: list[Document] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)
    faults: int = 0


def page_lines(documents: Iterable[Document], poison: Iterable[Poison]) -> list[str]:
    """Return the lines for a page that is committed to Postgres."""
    lines = [_document_line(each) for each in documents]
    for each in poison:
        item = {"itemId": each.item_id, "item": each.item, "reason": each.reason}
        lines.append(json.dumps({QUARANTINED: item}))
    return lines


def _document_line(document: Document) -> str:
    if document.post_key:
        return json.dumps(json.loads(document.text) | {_POST_KEY: document.post_key})
    # JSON has line breaks only between its tokens, where a space is the same.
    return document.text.replace("\n", " ")


def parse_records(lines: Iterable[str]) -> RecordLines:
    """Parse the lines of ``page_lines``. A record that is not exactly valid is a fault."""
    parsed = RecordLines()
    for line in lines:
        try:
            value = json.loads(line)
            if isinstance(value, dict) and QUARANTINED in value:
                item = value[QUARANTINED]
                poison = Poison(str(item["itemId"]), str(item["item"]), str(item["reason"]))
                parsed.poison.append(poison)
            elif isinstance(value, dict) and _POST_KEY in value:
                key = str(value.pop(_POST_KEY))
                text = json.dumps(value, separators=(",", ":"))
                parsed.posts.append(Document(str(from_json(text).id), text, key))
            else:
                parsed.documents.append(Document(str(from_json(line).id), line))
        except (ValueError, LookupError, TypeError, RecursionError):
            parsed.faults += 1
    return parsed


def delivery_lines(deliveries: Sequence[tuple[str, datetime]]) -> list[str]:
    """Return the lines for deliveries: ids, and the instants at which they were settled."""
    return [json.dumps({"id": each, "integratedAt": to_text(at)}) for each, at in deliveries]


def parse_deliveries(lines: Iterable[str]) -> tuple[list[dict[str, str]], int]:
    """Parse the lines of ``delivery_lines``; return deliveries, and the number of other lines."""
    deliveries, faults = [], 0
    for line in lines:
        try:
            value = json.loads(line)
            read_canonical(value["integratedAt"])
            deliveries.append(
                {"id": str(uuid.UUID(value["id"])), "integrated_at": value["integratedAt"]}
            )
        except (ValueError, LookupError, TypeError, RecursionError, AttributeError):
            faults += 1
    return deliveries, faults


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure: of whose evidence, in records accepted before when, and of which punches."""

    employer: int
    employee: int
    until: datetime
    ids: tuple[str, ...] = ()


def erasure_line(erasure: Erasure) -> str:
    """Return the line for an erasure."""
    person = {"employerId": erasure.employer, "employeeId": erasure.employee}
    return json.dumps({**person, "until": to_text(erasure.until), "ids": list(erasure.ids)})


def parse_erasures(lines: Iterable[str]) -> tuple[list[Erasure], int]:
    """Parse the lines of ``erasure_line``; return erasures, and the number of other lines."""
    erasures, faults = [], 0
    for line in lines:
        try:
            value = json.loads(line)
            erasures.append(
                Erasure(
                    int(value["employerId"]),
                    int(value["employeeId"]),
                    read_canonical(value["until"]),
                    tuple(str(uuid.UUID(each)) for each in value["ids"]),
                )
            )
        except (ValueError, LookupError, TypeError, RecursionError, AttributeError):
            faults += 1
    return erasures, faults
