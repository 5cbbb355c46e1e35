"""Store point records in Postgres, and quarantine invalid items.

Invariants:

- What Postgres rejects goes to the quarantine, in the transaction of the others (``documents``).
- The evidence of a record never changes. Other evidence of the same punch is in its log.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document, Poison, insert_documents, log_posts
from chalicelib.postgres.erasures import without_erased
from chalicelib.postgres.other_evidence import NO_OTHER_EVIDENCE, OtherEvidence
from chalicelib.postgres.stage_counts import count_stages
from chalicelib.postgres.stage_flow import describe_flow

# Insert the poison items that are not in quarantine yet.
_QUARANTINE = """
INSERT INTO quarantine (item_id, item, reason)
SELECT "item_id", "item", "reason"
FROM jsonb_to_recordset(CAST(:poison AS jsonb))
    AS poison ("item_id" text, "item" text, "reason" text)
ORDER BY md5("item_id"), md5("item")
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

        On return, every document and poison item is committed, as a record or in quarantine. If the
        record exists and its evidence differs, the document's evidence is logged in the record's
        log, up to a bound (``other_evidence``). What has been erased (``erasures``) is left out.

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

    def flow(self, max_count: int, timeout_s: float) -> dict[str, Any]:
        """Return what passed in the last minute, and why something does not pass.

        See ``stage_flow.describe_flow``. Arguments and errors are those of ``stages``.
        """
        with self._database.transaction(statement_timeout_s=timeout_s) as connection:
            return describe_flow(connection, max_count)


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
