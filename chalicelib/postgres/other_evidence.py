"""Keep the evidence of posts whose punch is a record already, in the log of that record.

The first post of a punch makes the record, with its evidence: offset, device and position. Without
this log the first poster would own the evidence, without a trace. A row of the log has both the
evidence of a later post and that of the record, each with its poster: docs/decisions/0052.

Invariants: the same evidence of the same poster is logged once, even if it is posted often; a
record has at most ``MAX_POSTS`` such rows for each role.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pg8000.native import Connection

# A phone posts with one device and one position. More would be an attempt to fill the log.
MAX_POSTS = 16


def _quoted(name: str) -> str:
    return f'document."{name}"'


_COLUMNS = {
    "utcOffsetMinutes": "utc_offset_minutes",
    "deviceId": "device_id",
    "latitude": "latitude",
    "longitude": "longitude",
    "accuracyMeters": "accuracy_meters",
}
# Only what a post says of the punch counts, not who posted.
_DIFFERS = (
    f"({', '.join(f'record.{column}' for column in _COLUMNS.values())}) IS DISTINCT FROM"
    f" ({', '.join(_quoted(name) for name in _COLUMNS)})"
)


def _as_json(values: Mapping[str, str]) -> str:
    pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
    return f"jsonb_strip_nulls(jsonb_build_object({pairs}))"


_SHOWN = {**_COLUMNS, "postedBy": "posted_by", "postedAs": "posted_as"}
_POSTED = _as_json({name: _quoted(name) for name in _SHOWN})
_KEPT = _as_json({name: f"record.{column}" for name, column in _SHOWN.items()})

# Return the records that have other evidence than a document, and the documents without a record.
_COMPARE = f"""
SELECT
    ARRAY(SELECT CAST(record.id AS text)
          FROM document JOIN point_record AS record ON record.id = document."id"
          WHERE {_DIFFERS}),
    ARRAY(SELECT CAST(document."id" AS text) FROM document
          WHERE NOT EXISTS (SELECT FROM point_record AS record WHERE record.id = document."id"))
"""

# Two runs must not log the same evidence, nor a row whose status is not the last one.
_LOCK = """
SELECT FROM point_record WHERE id = ANY (CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
"""

# Log the posts that are not logged yet, up to the bound of each role, and return how many were
# logged, and how many were too many.
#
# ``text`` begins with the role, for which rows are counted, and has all but the instant, by which
# two posts of the same evidence differ. The status is that of the record: it does not change.
_LOG = f"""
, post AS (
    SELECT DISTINCT ON (record.id, text)
        record.id, record.status, opening, text, document."createdAt" AS posted_at
    FROM document
    JOIN point_record AS record ON record.id = document."id"
    CROSS JOIN LATERAL (
        SELECT 'Posted again as ' || coalesce("postedAs", 'unknown') || ' with other evidence: '
            AS opening
    ) AS b
    CROSS JOIN LATERAL (
        SELECT opening || CAST(jsonb_build_object('posted', {_POSTED}, 'kept', {_KEPT}) AS text)
            AS text
    ) AS t
    WHERE record.id = ANY (CAST(:ids AS uuid[])) AND {_DIFFERS}
    ORDER BY record.id, text, document."createdAt"
), numbered AS (
    SELECT post.*,
        row_number() OVER (PARTITION BY id, opening ORDER BY posted_at) + (
            SELECT count(*) FROM integration_log AS log
            WHERE log.point_id = post.id AND starts_with(log.log, opening)
        ) AS number
    FROM post
    WHERE NOT EXISTS (
        SELECT FROM integration_log AS log
        WHERE log.point_id = post.id AND starts_with(log.log, text)
    )
), chosen AS (
    SELECT id, status, text, posted_at,
        row_number() OVER (PARTITION BY id ORDER BY posted_at, text) AS position
    FROM numbered WHERE number <= {MAX_POSTS}
), counted AS (
    UPDATE point_record AS record SET log_count = record.log_count + more.rows
    FROM (SELECT id, count(*) AS rows FROM chosen GROUP BY id) AS more
    WHERE record.id = more.id
    RETURNING record.id, record.employer_id, record.employee_id, old.log_count AS logged_before
), logged AS (
    INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt, status, log)
    SELECT id, employer_id, employee_id, logged_before + position, 0, status,
        text || to_char(posted_at AT TIME ZONE 'UTC', '" at "YYYY-MM-DD"T"HH24:MI:SS.US"Z."')
    FROM chosen JOIN counted USING (id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM logged), (SELECT count(*) FROM numbered WHERE number > {MAX_POSTS})
"""


@dataclass(frozen=True, slots=True)
class OtherEvidence:
    """What became of posts of existing records.

    Attributes:
        logged: rows that were written.
        dropped: posts beyond the bound.
        without_record: the ids of posts that have no record.
    """

    logged: int = 0
    dropped: int = 0
    without_record: frozenset[str] = frozenset()

    def __add__(self, other: "OtherEvidence") -> "OtherEvidence":
        """Add what became of other posts."""
        return OtherEvidence(
            self.logged + other.logged,
            self.dropped + other.dropped,
            self.without_record | other.without_record,
        )


NO_OTHER_EVIDENCE = OtherEvidence()


def log_other_evidence(connection: Connection, documents: str, array: str) -> OtherEvidence:
    """Log the evidence of the posts that differs from that of their records. Idempotent.

    The caller owns the transaction.

    Args:
        connection: the connection.
        documents: a common table expression ``document`` over the parameter ``documents``.
        array: the posts: a JSON array of the texts of ``point_record.to_json``.

    Raises:
        DatabaseError: a data error, if Postgres rejects one of the posts.
    """
    ((differing, without_record),) = connection.run(f"{documents}{_COMPARE}", documents=array)
    if not differing:
        return OtherEvidence(without_record=frozenset(without_record))
    ids = sorted(set(differing))
    connection.run(_LOCK, ids=ids)
    ((logged, dropped),) = connection.run(f"{documents}{_LOG}", documents=array, ids=ids)
    return OtherEvidence(logged, dropped, frozenset(without_record))
