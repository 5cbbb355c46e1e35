"""Read and erase what Postgres has of one person: an employee of an employer.

Invariants:

- An erasure is idempotent. A record that is added later, and was accepted before the erasure, is
  added without its evidence (``erasures``).
- An erased punch that is added again later is left out (``erasures``).
- A punch is erased only when it has been settled for an hour: no run can still write about it. An
  operator may replay it at any time, so the erasure looks again, under a lock.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pg8000.native import Connection

from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from chalicelib.postgres.erasures import LOCK, LOCK_ERASED
from chalicelib.postgres.leases import ERASURE
from chalicelib.postgres.locks import BRIEF, retry_on_lock

_REGISTER = """
INSERT INTO erasure (employer_id, employee_id, until)
VALUES (CAST(:employer AS bigint), CAST(:employee AS bigint), CAST(:until AS timestamptz))
ON CONFLICT (employer_id, employee_id) DO UPDATE SET until = GREATEST(erasure.until, EXCLUDED.until)
"""
# Remove device, position and poster. A log row keeps what happened and when; its text may quote a
# response of the legacy, which may repeat what it was sent, or other evidence.
_ERASE_EVIDENCE = """
WITH person AS (
    SELECT id FROM point_record
    WHERE employer_id = CAST(:employer AS bigint) AND employee_id = CAST(:employee AS bigint)
      AND created_at < CAST(:until AS timestamptz)
), logs AS (
    UPDATE integration_log SET log = :note
    WHERE point_id IN (SELECT id FROM person) AND log IS NOT NULL AND log <> :note
    RETURNING 1
), records AS (
    UPDATE point_record
    SET device_id = NULL, latitude = NULL, longitude = NULL, accuracy_meters = NULL,
        posted_by = NULL
    WHERE id IN (SELECT id FROM person)
      AND num_nonnulls(device_id, latitude, longitude, accuracy_meters, posted_by) > 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM logs)
"""
_IS_SETTLED = "status IN ('INTEGRATED', 'REJECTED') AND updated_at < now() - interval '1 hour'"
_SETTLED = f"""
SELECT CAST(id AS text) FROM point_record
WHERE employer_id = CAST(:employer AS bigint) AND employee_id = CAST(:employee AS bigint)
  AND created_at < CAST(:until AS timestamptz) AND {_IS_SETTLED}
ORDER BY id
"""
_LOCK_SETTLED = f"""
SELECT CAST(id AS text) FROM point_record
WHERE id = ANY (CAST(:ids AS uuid[])) AND {_IS_SETTLED}
ORDER BY id
FOR UPDATE
"""
# Lock the records before their logs are deleted: no log row can be added to them meanwhile.
_LOCK_RECORDS = """
SELECT FROM point_record WHERE id = ANY (CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
"""
_COUNT = """
SELECT count(*) FROM point_record
WHERE employer_id = CAST(:employer AS bigint) AND employee_id = CAST(:employee AS bigint)
  AND created_at < CAST(:until AS timestamptz)
"""
_REMEMBER_ERASED = """
INSERT INTO erased_record (id)
SELECT id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
ON CONFLICT DO NOTHING
"""
_DELETE_LOGS = "DELETE FROM integration_log WHERE point_id = ANY (CAST(:ids AS uuid[]))"
_DELETE_RECORDS = "DELETE FROM point_record WHERE id = ANY (CAST(:ids AS uuid[]))"
_ERASED = "SELECT CAST(id AS text) FROM erased_record WHERE id = ANY (CAST(:ids AS uuid[]))"

# Items come and go, and two of one text would break a unique index: nobody else writes meanwhile.
_LOCK_QUARANTINE = "LOCK TABLE quarantine IN SHARE ROW EXCLUSIVE MODE"
_QUARANTINED = "SELECT id, item FROM quarantine WHERE position(:employee IN item) > 0"
_REPLACE_QUARANTINED = """
UPDATE quarantine SET item = :item WHERE id = CAST(:id AS bigint)
  AND NOT EXISTS (
      SELECT FROM quarantine AS other
      WHERE md5(other.item) = md5(:item) AND other.item_id = quarantine.item_id
  )
"""
_DELETE_QUARANTINED = "DELETE FROM quarantine WHERE id = CAST(:id AS bigint)"

# One page of a person's records, each with its log, in the order of their ids.
_READ = """
SELECT CAST(coalesce(json_agg(record), '[]') AS text)
FROM (
    SELECT id, employer_id AS "employerId", employee_id AS "employeeId",
        included_at AS "includedAt", utc_offset_minutes AS "utcOffsetMinutes",
        device_id AS "deviceId", latitude, longitude, accuracy_meters AS "accuracyMeters",
        posted_by AS "postedBy", posted_as AS "postedAs",
        status, attempts, created_at AS "createdAt", replicated_at AS "replicatedAt",
        integrated_at AS "integratedAt",
        (
            SELECT coalesce(json_agg(json_build_object(
                'attempt', attempt, 'status', status, 'log', log, 'httpStatus', http_status,
                'latencyMs', latency_ms, 'createdAt', created_at
            ) ORDER BY number), '[]')
            FROM integration_log WHERE point_id = point_record.id
        ) AS logs
    FROM point_record
    WHERE employer_id = CAST(:employer AS bigint) AND employee_id = CAST(:employee AS bigint)
      AND id > CAST(:after AS uuid)
    ORDER BY id
    LIMIT CAST(:max_records AS integer)
) AS record
"""

NOTE = "The text was erased at the person's request."


class PersonalRecords:
    """What a database has of persons."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def only_erasure(self, lease_s: float) -> Iterator[None]:
        """Keep other erasures away: two that rewrite one file would bring back what one erased.

        Args:
            lease_s: how long others wait if this process dies. Longer than an erasure may take.

        Raises:
            UnavailableError: another erasure is running, or Postgres cannot be reached.
        """
        holder = str(uuid.uuid4())
        with self._database.transaction() as connection:
            is_first = ERASURE.take(connection, holder, lease_s)
        if not is_first:
            raise UnavailableError(
                "Another erasure is running, or was killed within the last quarter of an hour. Try"
                " again when it has ended."
            )
        try:
            yield
        finally:
            with self._database.transaction() as connection:
                ERASURE.end(connection, holder)

    def erase_evidence(self, employer: int, employee: int, until: datetime) -> tuple[int, int]:
        """Erase device, position and the texts of logs of the records accepted before ``until``.

        Returns:
            How many records and how many log rows have changed.

        Raises:
            UnavailableError: a part of the erasure may be committed; a second call is safe.
        """
        person = {"employer": employer, "employee": employee, "until": until}

        def register() -> None:
            with self._database.transaction(settings=BRIEF) as connection:
                connection.run(LOCK)
                connection.run(_REGISTER, **person)

        def erase() -> tuple[int, int]:
            with self._database.transaction() as connection:
                ((records, logs),) = connection.run(_ERASE_EVIDENCE, note=NOTE, **person)
            return records, logs

        retry_on_lock(register)
        return retry_on_lock(erase)

    def settled_ids(self, employer: int, employee: int, until: datetime) -> tuple[list[str], int]:
        """Return the ids of the punches that may be erased, and how many others there are."""
        person = {"employer": employer, "employee": employee, "until": until}
        with self._database.transaction() as connection:
            ids = [record_id for (record_id,) in connection.run(_SETTLED, **person)]
            ((count,),) = connection.run(_COUNT, **person)
        return ids, count - len(ids)

    def erase_settled(self, ids: Sequence[str], register: Callable[[list[str]], object]) -> int:
        """Erase those of the punches that are still settled; return how many.

        Args:
            ids: what ``settled_ids`` returned.
            register: takes the ids to erase before they are, while nobody can replay them. It may
                be called again.

        Raises:
            UnavailableError: nothing is committed, or everything is; a second call is safe.
        """

        def erase() -> int:
            with self._database.transaction(settings=BRIEF) as connection:
                rows = connection.run(_LOCK_SETTLED, ids=list(ids))
                settled = [record_id for (record_id,) in rows]
                register(settled)
                return _erase(connection, settled)

        return retry_on_lock(erase)

    def erase_punches(self, ids: Sequence[str]) -> int:
        """Erase punches again, settled or not, whose erasure is registered. Return how many.

        Raises:
            UnavailableError: nothing is committed, or everything is; a second call is safe.
        """

        def erase() -> int:
            with self._database.transaction(settings=BRIEF) as connection:
                connection.run(_LOCK_RECORDS, ids=list(ids))
                return _erase(connection, ids)

        return retry_on_lock(erase)

    def erased(self, ids: Collection[str]) -> set[str]:
        """Return which of the ids are of erased punches."""
        with self._database.transaction() as connection:
            return {record_id for (record_id,) in connection.run(_ERASED, ids=list(ids))}

    def edit_quarantine(self, employee: int, edit: Callable[[str], str | None]) -> int:
        """Edit the quarantined items that contain an employee's number; return how many changed.

        Args:
            employee: the number.
            edit: takes the text of an item, and returns another one, or None to leave it.

        Raises:
            UnavailableError: nothing is committed, or everything is; a second call is safe.
        """

        def edit_all() -> int:
            changed = 0
            with self._database.transaction(settings=BRIEF) as connection:
                connection.run(_LOCK_QUARANTINE)
                for quarantine_id, item in connection.run(_QUARANTINED, employee=str(employee)):
                    edited = edit(item)
                    if edited is None:
                        continue
                    connection.run(_REPLACE_QUARANTINED, id=quarantine_id, item=edited)
                    if not connection.row_count:  # the same item is there once more
                        connection.run(_DELETE_QUARANTINED, id=quarantine_id)
                    changed += 1
            return changed

        return retry_on_lock(edit_all)

    def quarantined(self, employee: int) -> list[str]:
        """Return the texts of the quarantined items that contain an employee's number."""
        with self._database.transaction() as connection:
            return [item for _, item in connection.run(_QUARANTINED, employee=str(employee))]

    def read(
        self, employer: int, employee: int, after: str, max_records: int
    ) -> list[dict[str, Any]]:
        """Return one page of a person's records whose ids come after one, each with its log."""
        with self._database.transaction() as connection:
            ((text,),) = connection.run(
                _READ, employer=employer, employee=employee, after=after, max_records=max_records
            )
        records: list[dict[str, Any]] = json.loads(text)
        return records


def _erase(connection: Connection, ids: Sequence[str]) -> int:
    """Delete locked records with their logs, and remember their ids. Return how many there were.

    The lock waits for each transaction that has looked for erased punches: none adds one again.
    """
    connection.run(LOCK_ERASED)
    connection.run(_REMEMBER_ERASED, ids=list(ids))
    connection.run(_DELETE_LOGS, ids=list(ids))
    connection.run(_DELETE_RECORDS, ids=list(ids))
    count: int = connection.row_count
    return count
