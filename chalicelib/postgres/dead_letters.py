"""The parked records: those that are REJECTED, and stay so until somebody has them go again.

Promises that a record goes again only if it is parked at that moment, and that its log says why.
"""

from collections.abc import Sequence

from pg8000.exceptions import DatabaseError

from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import as_client_error

# Parked records in the order of their parking, which is that of the index point_record_parked; the
# next batch begins where this one has ended. What is parked after ``until`` was sent again since.
# Names in braces are SQL of our own, and numbers of parameters.
_REPLAY = """
WITH chosen AS (
    SELECT {alias}.id, {alias}.updated_at
    FROM {source}
    WHERE {alias}.status = 'REJECTED'
      AND {alias}.updated_at >= CAST({since} AS timestamptz)
      AND {alias}.updated_at <= CAST({until} AS timestamptz)
      AND {condition}
    ORDER BY {alias}.updated_at
    LIMIT CAST({most} AS integer)
    FOR NO KEY UPDATE OF {alias} SKIP LOCKED
), replayed AS (
    UPDATE point_record AS record
    SET status = 'AWAITING', attempts = 0, overloads = 0, next_attempt_at = now(),
        updated_at = now()
    WHERE record.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING record.id
), logged AS (
    INSERT INTO integration_log (point_id, attempt, status, log)
    SELECT id, 0, 'AWAITING', CAST({log} AS text) FROM replayed
)
SELECT (SELECT count(*) FROM replayed), CAST(max(updated_at) AS text) FROM chosen
"""


class DeadLetters:
    """Has parked records go again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> str:
        """Return the database's time, as it writes it."""
        with self._database.transaction() as connection:
            ((instant,),) = connection.run("SELECT CAST(now() AS text)")
        return str(instant)

    def replay(
        self,
        source: str,
        alias: str,
        condition: str,
        parameters: Sequence[str],
        *,
        since: str,
        until: str,
        most: int,
        log: str,
    ) -> tuple[int, str | None]:
        """Make up to ``most`` parked records due as if never attempted, those parked longest first.

        Args:
            source: point_record, and whatever else the condition speaks of, as FROM has it.
            alias: of point_record in it.
            condition: SQL with ``$1``, ``$2`` … for the ``parameters``.
            since: the instant from which on they were parked, as Postgres reads it.
            until: the last such instant.
            most: bounds what one transaction does.
            log: what the log says of each.

        Returns:
            How many, and the instant at which the last of them was parked.

        Raises:
            InvalidError: a value of the condition cannot be computed with.
            UnavailableError: nothing, or possibly everything, was done; doing it again is safe.
        """
        values = [*parameters, since, until, str(most), log]
        numbers = (f"${number}" for number in range(len(parameters) + 1, len(values) + 1))
        names = dict(zip(("since", "until", "most", "log"), numbers, strict=True))
        sql = _REPLAY.format(source=source, alias=alias, condition=condition, **names)
        try:
            with self._database.transaction() as connection:
                ((count, last),) = connection.execute_unnamed(sql, values).rows
        except DatabaseError as error:
            raise as_client_error(error) from error
        return count, last
