"""The replica: where point records arrive in Postgres, and what is known of how many are where.

Promises that adding a record twice is adding it once, with one AWAITING log row, and that a record
Postgres will not take keeps no other out.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from chalicelib.errors import NotFoundError
from chalicelib.postgres.connection import Database, sqlstate


@dataclass(frozen=True, slots=True)
class Document:
    """A record as the buffer holds it: the text that ``point_record.to_json`` became."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Poison:
    """An item that is not a point record: its key, the whole item as JSON text, and the reason."""

    item_id: str
    item: str
    reason: str


# The documents go in as one JSON parameter: some 50,000 rows a second, and nothing that pins a
# session. They go in in the order of their ids, so that two runs with the same cannot deadlock.
# Each is due since it was accepted, so that the first accepted goes to the legacy first.
_ADD = """
WITH document AS (
    SELECT *
    FROM jsonb_to_recordset(CAST(:documents AS jsonb)) AS document (
        "id" uuid, "employeeId" bigint, "employerId" bigint, "includedAt" timestamptz,
        "utcOffsetMinutes" smallint, "deviceId" text, "latitude" double precision,
        "longitude" double precision, "accuracyMeters" double precision, "createdAt" timestamptz
    )
), added AS (
    INSERT INTO point_record (
        id, employee_id, employer_id, included_at, utc_offset_minutes, device_id, latitude,
        longitude, accuracy_meters, created_at, next_attempt_at
    )
    SELECT
        "id", "employeeId", "employerId", "includedAt", "utcOffsetMinutes", "deviceId", "latitude",
        "longitude", "accuracyMeters", "createdAt", LEAST("createdAt", now())
    FROM document
    ORDER BY "id"
    ON CONFLICT (id) DO NOTHING
    RETURNING id, status, replicated_at
)
INSERT INTO integration_log (point_id, attempt, status, created_at)
SELECT id, 0, status, replicated_at FROM added
"""

_QUARANTINE = """
INSERT INTO quarantine (item_id, item, reason)
SELECT "item_id", "item", "reason"
FROM jsonb_to_recordset(CAST(:poison AS jsonb))
    AS poison ("item_id" text, "item" text, "reason" text)
ON CONFLICT DO NOTHING
"""


# One snapshot, in which each record is in exactly one place. Waiting is what is not yet settled:
# AWAITING, INTEGRATING and ERROR. Each count reads an index of its own up to a
# bound: it costs no more however many records there are.
_STAGES = """
WITH waiting AS (
    SELECT status, created_at FROM point_record
    WHERE next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT CAST(:most AS integer)
)
SELECT CAST(json_build_object(
    'accepted', (SELECT count(*) FROM
        (SELECT FROM point_record LIMIT CAST(:most AS integer)) AS accepted),
    'delivered', (SELECT count(*) FROM
        (SELECT FROM point_record WHERE status = 'INTEGRATED'
         ORDER BY integrated_at LIMIT CAST(:most AS integer)) AS delivered),
    'waiting', (SELECT coalesce(json_object_agg(status, depth), '{}') FROM
        (SELECT status, count(*) AS depth FROM waiting GROUP BY status) AS counted),
    'parked', (SELECT count(*) FROM
        (SELECT FROM point_record WHERE status = 'REJECTED'
         ORDER BY updated_at LIMIT CAST(:most AS integer)) AS parked),
    'quarantined', (SELECT count(*) FROM
        (SELECT FROM quarantine LIMIT CAST(:most AS integer)) AS quarantined),
    'oldestAgeSeconds', (SELECT round(extract(epoch FROM now() - min(created_at)), 1) FROM waiting)
) AS text)
"""


# Of some ids: which are records, which of these have not exactly one log row of their arrival, and
# which are in quarantine.
_LOCATE = """
WITH wanted AS (
    SELECT id FROM unnest(CAST(:ids AS text[])) AS id
), record AS (
    SELECT wanted.id,
        (SELECT count(*) FROM integration_log AS log
         WHERE log.point_id = point_record.id AND log.status = 'AWAITING' AND log.log IS NULL)
        AS arrivals
    FROM wanted JOIN point_record ON point_record.id = CAST(wanted.id AS uuid)
)
SELECT
    ARRAY(SELECT id FROM record),
    ARRAY(SELECT id FROM record WHERE arrivals <> 1),
    ARRAY(SELECT id FROM wanted
          WHERE EXISTS (SELECT FROM quarantine WHERE md5(item_id) = md5(wanted.id)))
"""

# The latest first, as many as a person looks through.
_QUARANTINE_LIST = """
SELECT CAST(coalesce(json_agg(listed), '[]') AS text)
FROM (
    SELECT id, item_id, reason, item, quarantined_at
    FROM quarantine ORDER BY id DESC LIMIT 100
) AS listed
"""
_QUARANTINED = "SELECT item FROM quarantine WHERE id = CAST(:id AS bigint) FOR UPDATE"
_UNQUARANTINE = "DELETE FROM quarantine WHERE id = CAST(:id AS bigint)"


@dataclass(frozen=True, slots=True)
class Locations:
    """Which of some ids are where. ``unlogged`` are records, but not once in the log."""

    records: frozenset[str]
    unlogged: frozenset[str]
    quarantined: frozenset[str]


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch: rows written, and documents that Postgres refused."""

    written: int
    refused: tuple[Poison, ...]


class PointRecordStore:
    """The tables that the replicator fills."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, documents: Sequence[Document], poison: Sequence[Poison] = ()) -> Added:
        """Add the records that are not there yet and quarantine the poison, in one transaction.

        When it returns, everything given is committed: as a record or in the quarantine.

        Raises:
            UnavailableError: nothing, or possibly everything, is committed; adding again is safe.
        """
        with self._database.transaction() as connection:
            written, refused = _add(connection, documents)
            quarantined = [*poison, *refused]
            if quarantined:
                connection.run(_QUARANTINE, poison=_poison_json(quarantined))
        return Added(written, tuple(refused))

    def locate(self, ids: Collection[str]) -> Locations:
        """Say which of the ids, UUIDs as text, are records or in quarantine.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        with self._database.transaction() as connection:
            ((records, unlogged, quarantined),) = connection.run(_LOCATE, ids=list(ids))
        return Locations(frozenset(records), frozenset(unlogged), frozenset(quarantined))

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the last hundred items of the quarantine, the latest first.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        with self._database.transaction() as connection:
            ((rows,),) = connection.run(_QUARANTINE_LIST)
        found: list[dict[str, Any]] = json.loads(rows)
        return found

    def release(self, quarantine_id: int, repair: Callable[[str], Document]) -> Added:
        """Take one item out of quarantine and add it as a record, in one transaction.

        Args:
            quarantine_id: of the row.
            repair: makes a document of the raw item; what it raises leaves all as it was.

        Returns:
            What became of it: written, already there, or refused again, when it stays.

        Raises:
            NotFoundError: there is no such row.
            UnavailableError: nothing, or possibly everything, is committed; it may be repeated.
        """
        with self._database.transaction() as connection:
            rows = connection.run(_QUARANTINED, id=quarantine_id)
            if not rows:
                raise NotFoundError(f"There is nothing in quarantine under {quarantine_id}.")
            written, refused = _add(connection, [repair(rows[0][0])])
            if not refused:
                connection.run(_UNQUARANTINE, id=quarantine_id)
        return Added(written, tuple(refused))

    def stages(self, most: int) -> dict[str, Any]:
        """Count where the records are, and tell how long ago the oldest that waits was accepted.

        While nothing is cut, accepted = delivered + waiting + parked. A count that reaches ``most``
        stops there and is named in ``cut``; ``more`` says it of those that wait.

        Raises:
            UnavailableError: Postgres does not answer.
        """
        with self._database.transaction() as connection:
            ((text,),) = connection.run(_STAGES, most=most)
        found: dict[str, Any] = json.loads(text)
        totals = {**found, "waiting": sum(found["waiting"].values())}
        counts = ("accepted", "delivered", "waiting", "parked", "quarantined")
        return {
            **found,
            "more": totals["waiting"] >= most,
            "cut": [each for each in counts if totals[each] >= most],
        }


def _add(connection: Connection, documents: Sequence[Document]) -> tuple[int, list[Poison]]:
    """Add the documents, parting them until each that Postgres refuses stands alone."""
    if not documents:
        return 0, []
    connection.run("SAVEPOINT batch")
    try:
        connection.run(_ADD, documents=f"[{','.join(each.text for each in documents)}]")
    except DatabaseError as error:
        # 22: data exception, 23: integrity constraint violation, 54: program limit exceeded, as by
        # JSON nested too deeply. All else is not the data's fault.
        if not sqlstate(error).startswith(("22", "23", "54")):
            raise
        connection.run("ROLLBACK TO SAVEPOINT batch")
        if len(documents) == 1:
            reason = f"Postgres refuses it: {error.args[0].get('M', '')}"
            item = {"id": {"S": documents[0].id}, "record": {"S": documents[0].text}}
            return 0, [Poison(documents[0].id, json.dumps(item), reason)]
        half = len(documents) // 2
        left, left_refused = _add(connection, documents[:half])
        right, right_refused = _add(connection, documents[half:])
        return left + right, left_refused + right_refused
    written: int = connection.row_count
    connection.run("RELEASE SAVEPOINT batch")
    return written, []


def _poison_json(poison: Sequence[Poison]) -> str:
    rows: list[dict[str, Any]] = [
        {
            "item_id": each.item_id.replace("\0", "\ufffd"),
            "item": each.item,
            "reason": each.reason.replace("\0", "\ufffd"),
        }
        for each in poison
    ]
    return json.dumps(rows)
