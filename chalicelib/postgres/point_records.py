"""Store point records in Postgres, and quarantine invalid items.

Invariants:

- Adding a record is idempotent: it makes one row, and one AWAITING row in its log.
- A document or post that Postgres rejects does not keep the others of its batch out.
- The evidence of a record never changes. Other evidence of the same punch is in its log.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from chalicelib.postgres import sqlstate
from chalicelib.postgres.connection import Database
from chalicelib.postgres.erasures import without_erased
from chalicelib.postgres.other_evidence import (
    NO_OTHER_EVIDENCE,
    OtherEvidence,
    log_other_evidence,
)
from chalicelib.postgres.stage_counts import count_stages
from chalicelib.postgres.stage_flow import describe_flow


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

# Insert the poison items that are not in quarantine yet.
_QUARANTINE = """
INSERT INTO quarantine (item_id, item, reason)
SELECT "item_id", "item", "reason"
FROM jsonb_to_recordset(CAST(:poison AS jsonb))
    AS poison ("item_id" text, "item" text, "reason" text)
ON CONFLICT DO NOTHING
"""

# Return which ids are records, which of those do not have exactly one log row of their arrival, and
# which are in quarantine. The log row of an arrival has no text; the row of a replay has one.
_LOCATE = """
WITH requested AS (
    SELECT id FROM unnest(CAST(:ids AS text[])) AS id
), record AS (
    SELECT requested.id,
        (SELECT count(*) FROM integration_log AS log
         WHERE log.point_id = point_record.id AND log.status = 'AWAITING' AND log.log IS NULL)
        AS arrivals
    FROM requested JOIN point_record ON point_record.id = CAST(requested.id AS uuid)
    -- The bounds are values, so that the planner takes only the months between them.
    WHERE point_record.id BETWEEN CAST(:first_id AS uuid) AND CAST(:last_id AS uuid)
)
SELECT
    ARRAY(
        SELECT id FROM record
        UNION ALL
        SELECT requested.id
        FROM requested JOIN erased_record ON erased_record.id = CAST(requested.id AS uuid)
    ),
    ARRAY(SELECT id FROM record WHERE arrivals <> 1),
    ARRAY(SELECT id FROM requested
          WHERE EXISTS (SELECT FROM quarantine WHERE md5(item_id) = md5(requested.id)))
"""


@dataclass(frozen=True, slots=True)
class Locations:
    """Where ids are. ``unlogged`` are records without exactly one log row of their arrival."""

    records: frozenset[str]
    unlogged: frozenset[str]
    quarantined: frozenset[str]


@dataclass(frozen=True, slots=True)
class Added:
    """The result of adding a batch.

    Attributes:
        written: how many records were written.
        rejected: what Postgres rejected.
        evidence: what became of other evidence of records that existed.
        documents: the other documents, as they were added: without what has been erased.
        posts: the further posts, in the same way.
    """

    written: int
    rejected: tuple[Poison, ...]
    evidence: OtherEvidence = NO_OTHER_EVIDENCE
    documents: Sequence[Document] = field(default=(), compare=False)
    posts: Sequence[Document] = field(default=(), compare=False)


class PointRecordStore:
    """The tables ``point_record`` and ``quarantine``, which the replicator fills.

    ``quarantined_items`` lists and releases what is in quarantine.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        documents: Sequence[Document],
        poison: Sequence[Poison] = (),
        posts: Sequence[Document] = (),
    ) -> Added:
        """Add the records that have no row yet and quarantine the poison, in one transaction.

        On return, every document and poison item is committed, as a record or in quarantine. A
        document whose record has a row with other evidence is in the log of that record, up to
        a bound (``other_evidence``). What has been erased (``erasures``) is left out.

        Args:
            documents: the records.
            poison: the items that are not records.
            posts: further posts of records. They are logged, and add no record:
                ``evidence.without_record`` has the ids of those that have no row.

        Raises:
            UnavailableError: nothing is committed, or everything is; adding again is safe.
        """
        with self._database.transaction() as connection:
            documents = without_erased(connection, documents)
            posts = without_erased(connection, posts)
            written, rejected = insert_documents(connection, documents)
            documents = _without(documents, rejected)
            evidence = NO_OTHER_EVIDENCE
            if posts or written < len(documents):
                evidence, rejected_posts = log_posts(connection, [*documents, *posts])
                posts = _without(posts, rejected_posts)
                rejected += rejected_posts
            quarantined = [*poison, *rejected]
            if quarantined:
                connection.run(_QUARANTINE, poison=_poison_json(quarantined))
        return Added(written, tuple(rejected), evidence, documents, posts)

    def locate(self, ids: Collection[str]) -> Locations:
        """Find out which of the ids, UUIDs as text, are records and which are in quarantine.

        Raises:
            UnavailableError: Postgres cannot be reached.
        """
        with self._database.transaction() as connection:
            ((records, unlogged, quarantined),) = connection.run(
                _LOCATE,
                ids=list(ids),
                first_id=min(ids, default=None),
                last_id=max(ids, default=None),
            )
        return Locations(frozenset(records), frozenset(unlogged), frozenset(quarantined))

    def stages(self, max_count: int, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the number of records of each stage; see ``stage_counts.count_stages``.

        Args:
            max_count: up to which number to count.
            timeout_s: the timeout of each statement; None for the default.

        Raises:
            UnavailableError: Postgres cannot be reached.
        """
        with self._database.transaction(statement_timeout_s=timeout_s) as connection:
            return count_stages(connection, max_count)

    def flow(self, max_count: int, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what passed in the last minute, and why not; see ``stage_flow.describe_flow``.

        Arguments and errors are those of ``stages``.
        """
        with self._database.transaction(statement_timeout_s=timeout_s) as connection:
            return describe_flow(connection, max_count)


def insert_documents(
    connection: Connection, documents: Sequence[Document]
) -> tuple[int, list[Poison]]:
    """Insert the documents that have no row yet. The caller owns the transaction.

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
    """Log the evidence of posts; see ``log_other_evidence``. The caller owns the transaction.

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


def _without(documents: Sequence[Document], rejected: Sequence[Poison]) -> Sequence[Document]:
    """Return the documents but those that Postgres rejects."""
    if not rejected:
        return documents
    keys = {each.item_id for each in rejected}
    return [each for each in documents if each.key not in keys]


def _poison_json(poison: Sequence[Poison]) -> str:
    """Serialise poison for ``_QUARANTINE``, without NUL characters: a text column takes none."""
    rows: list[dict[str, Any]] = [
        {
            "item_id": each.item_id.replace("\0", "\ufffd"),
            "item": each.item,
            "reason": each.reason.replace("\0", "\ufffd"),
        }
        for each in poison
    ]
    return json.dumps(rows)
