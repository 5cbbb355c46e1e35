"""Write documents, which are records or further posts of one, as rows of records and logs.

Invariants:

- Inserting a record is idempotent: it makes one row, and one AWAITING row in its log.
- A document that Postgres rejects does not keep the others of its batch out.

The caller owns each transaction.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from chalicelib.postgres import sqlstate
from chalicelib.postgres.other_evidence import (
    NO_OTHER_EVIDENCE,
    OtherEvidence,
    log_other_evidence,
)


@dataclass(frozen=True, slots=True)
class Document:
    """A record or a further post of one, as the buffer stores it.

    Attributes:
        id: the id of the record.
        text: the JSON text of ``point_record.to_json``.
        post_key: the key of a further post's item; empty for a record, whose key is its id.
    """

    id: str
    text: str
    post_key: str = ""

    @property
    def key(self) -> str:
        """The key of the item."""
        return self.post_key or self.id


@dataclass(frozen=True, slots=True)
class Poison:
    """A poison item, which is not a point record: its key, the item as JSON text, and a reason."""

    item_id: str
    item: str
    reason: str


# Insert the documents that have no row yet, each with its AWAITING log row.
#
# One JSON parameter carries all documents. That inserts some 50,000 rows a second, and pins no
# session of a pooler.
#
# Rows are inserted in the order of their ids, so two runs with the same documents cannot deadlock.
# Of two documents of one record, the one accepted first makes it.
# A record is due from the instant at which it was accepted, so records are sent in that order.
_DOCUMENTS = """
WITH document AS (
    SELECT *
    FROM jsonb_to_recordset(CAST(:documents AS jsonb)) AS document (
        "id" uuid, "employeeId" bigint, "employerId" bigint, "includedAt" timestamptz,
        "utcOffsetMinutes" smallint, "deviceId" text, "latitude" double precision,
        "longitude" double precision, "accuracyMeters" double precision, "createdAt" timestamptz,
        "postedBy" text, "postedAs" text
    )
)"""
_ADD = f"""{_DOCUMENTS}, added AS (
    INSERT INTO point_record (
        id, employee_id, employer_id, included_at, utc_offset_minutes, device_id, latitude,
        longitude, accuracy_meters, created_at, posted_by, posted_as, next_attempt_at, log_count
    )
    SELECT
        "id", "employeeId", "employerId", "includedAt", "utcOffsetMinutes", "deviceId", "latitude",
        "longitude", "accuracyMeters", "createdAt", "postedBy", "postedAs",
        LEAST("createdAt", now()), 1
    FROM document
    ORDER BY "id", "createdAt"
    ON CONFLICT (id) DO NOTHING
    RETURNING id, employer_id, employee_id, status, replicated_at
)
INSERT INTO integration_log (
    point_id, employer_id, employee_id, number, attempt, status, created_at
)
SELECT id, employer_id, employee_id, 1, 0, status, replicated_at FROM added
"""


def insert_documents(
    connection: Connection, documents: Sequence[Document]
) -> tuple[int, list[Poison]]:
    """Insert the documents that have no row yet; isolate each that Postgres rejects (``_write``).

    Returns:
        How many rows were written, and the documents that Postgres rejects.
    """

    def insert(array: str) -> int:
        connection.run(_ADD, documents=array)
        count: int = connection.row_count
        return count

    counts, rejected = _write(connection, documents, insert)
    return sum(counts), rejected


def log_posts(
    connection: Connection, posts: Sequence[Document]
) -> tuple[OtherEvidence, list[Poison]]:
    """Log the evidence of posts; see ``log_other_evidence``. Isolate each that Postgres rejects.

    Returns:
        What became of the posts, and those that Postgres rejects.
    """

    def log(array: str) -> OtherEvidence:
        return log_other_evidence(connection, _DOCUMENTS, array)

    parts, rejected = _write(connection, posts, log)
    return sum(parts, NO_OTHER_EVIDENCE), rejected


_Written = TypeVar("_Written")


def _write(
    connection: Connection, documents: Sequence[Document], write: Callable[[str], _Written]
) -> tuple[list[_Written], list[Poison]]:
    """Write the documents; on a data error, bisect the batch to isolate each rejected document.

    Args:
        connection: the connection.
        documents: what to write.
        write: writes a JSON array of documents.

    Returns:
        The results of ``write`` that took effect, and the documents that Postgres rejects.
    """
    if not documents:
        return [], []
    connection.run("SAVEPOINT batch")
    try:
        written = write(f"[{','.join(each.text for each in documents)}]")
    except DatabaseError as error:
        # Classes of data errors: 22 data exception, 23 integrity constraint violation, 54 program
        # limit exceeded (JSON that is nested too deeply). Other errors say nothing about the data.
        if not sqlstate.of(error).startswith(("22", "23", "54")):
            raise
        connection.run("ROLLBACK TO SAVEPOINT batch")
        if len(documents) == 1:
            (document,) = documents
            reason = f"Postgres rejects the record: {error.args[0].get('M', '')}"
            item = {"id": {"S": document.key}, "record": {"S": document.text}}
            return [], [Poison(document.key, json.dumps(item), reason)]
        half = len(documents) // 2
        left, left_rejected = _write(connection, documents[:half], write)
        right, right_rejected = _write(connection, documents[half:], write)
        return left + right, left_rejected + right_rejected
    connection.run("RELEASE SAVEPOINT batch")
    return [written], []
