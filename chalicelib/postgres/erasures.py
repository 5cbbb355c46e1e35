"""Leave out of new records what has been erased.

    replicator ── reads a page ──────────────────────── adds it, without evidence
    erasure ───────────────────── registers, erases ──▶

An exclusive lock on a register waits for each transaction that has read it, and keeps others from
reading it. So each record is either added before the erasure, which then erases it, or its adder
sees the register.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pg8000.native import Connection

from chalicelib.instant import read_canonical
from chalicelib.postgres.documents import Document

LOCK = "LOCK TABLE erasure IN ACCESS EXCLUSIVE MODE"
LOCK_ERASED = "LOCK TABLE erased_record IN ACCESS EXCLUSIVE MODE"

# The erasures of persons whose records may still be on their way, and whether punches were erased.
# Both tables are empty, or small.
_ERASURES = """
SELECT
    ARRAY(
        SELECT concat_ws(' ', employer_id, employee_id, extract(epoch FROM until))
        FROM erasure WHERE until > now() - interval '40 days'
    ),
    EXISTS (SELECT FROM erased_record)
"""
_ERASED = "SELECT CAST(id AS text) FROM erased_record WHERE id = ANY (CAST(:ids AS uuid[]))"

# The evidence of a punch: by which device it was made, where, and whose token posted it.
EVIDENCE = ("deviceId", "latitude", "longitude", "accuracyMeters", "postedBy")


def without_erased(connection: Connection, documents: Sequence[Document]) -> Sequence[Document]:
    """Return the documents without erased punches, and without erased evidence."""
    if not documents:
        return documents
    ((persons, has_erased),) = connection.run(_ERASURES)
    if has_erased:
        rows = connection.run(_ERASED, ids=[each.id for each in documents])
        gone = {record_id for (record_id,) in rows}
        documents = [each for each in documents if each.id not in gone]
    if persons:
        until = {
            (int(employer), int(employee)): float(instant)
            for employer, employee, instant in (each.split(" ") for each in persons)
        }
        documents = [_without_evidence(each, until) for each in documents]
    return documents


def _without_evidence(document: Document, until: dict[tuple[int, int], float]) -> Document:
    record = json.loads(document.text)
    erased_until = until.get((record["employerId"], record["employeeId"]))
    if erased_until is None or _epoch(record["createdAt"]) >= erased_until:
        return document
    kept = {name: value for name, value in record.items() if name not in EVIDENCE}
    return replace(document, text=json.dumps(kept, separators=(",", ":")))


def _epoch(text: str) -> float:
    instant: datetime = read_canonical(text)
    return instant.timestamp()
