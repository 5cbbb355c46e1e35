"""Return parked records to the queue: the dead letters, whose status is REJECTED.

Invariant: a record is replayed only if it is parked at that moment, and each replay has a log row.
"""

from collections.abc import Sequence

from pg8000.exceptions import DatabaseError

from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import as_client_error

# Replay one batch of the parked records that match a condition.
#
# ``chosen`` goes through the parked records in the order of their parking, which is the order of
# the index point_record_parked. The next batch starts where this one ended. A record parked after
# ``until`` has been sent again since the command began, so it is not replayed a second time.
#
# ``replayed`` sets both counts to 0: the record has all MAX_ATTEMPTS attempts before it again.
# ``logged`` writes an AWAITING row with attempt 0 and a text. The row of the record's arrival has
# attempt 0 too, and no text.
#
# The names in braces are SQL that this project writes, and placeholders of parameters.
_REPLAY = """
WITH chosen AS (
    SELECT {alias}.id, {alias}.updated_at
    FROM {source}
    WHERE {alias}.status = 'REJECTED'
      AND {alias}.updated_at >= CAST({since} AS timestamptz)
      AND {alias}.updated_at <= CAST({until} AS timestamptz)
      AND {condition}
    ORDER BY {alias}.updated_at
    LIMIT CAST({max_records} AS integer)
    FOR NO KEY UPDATE OF {alias} SKIP LOCKED
), replayed AS (
    UPDATE point_record AS record
    SET status = 'AWAITING', attempts = 0, overloads = 0, next_attempt_at = now(),
        updated_at = now(), log_count = log_count + 1
    WHERE record.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING record.id, record.employer_id, record.employee_id, record.log_count
), logged AS (
    INSERT INTO integration_log (
        point_id, employer_id, employee_id, number, attempt, status, log
    )
    SELECT id, employer_id, employee_id, log_count, 0, 'AWAITING', CAST({log} AS text) FROM replayed
)
SELECT (SELECT count(*) FROM replayed), CAST(max(updated_at) AS text) FROM chosen
"""


class DeadLetters:
    """The parked records of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> str:
        """Return the database's time, in Postgres' text format."""
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
        max_records: int,
        log: str,
    ) -> tuple[int, str | None]:
        """Make up to ``max_records`` parked records due at once, those parked longest first.

        A replayed record is AWAITING, and its attempts count from 0 again.

        Args:
            source: the FROM clause: point_record, and what the condition joins to it.
            alias: the alias of point_record in ``source``.
            condition: an SQL condition with ``$1``, ``$2`` … for the ``parameters``.
            parameters: the values of the condition in Postgres' text format.
            since: replay records parked at or after this instant, in Postgres' text format.
            until: replay records parked at or before this instant.
            max_records: most records of one transaction.
            log: the text of each record's log row.

        Returns:
            How many records were replayed, and the instant at which the last of them was parked.

        Raises:
            InvalidError: a value of the condition is invalid for the operation that uses it.
            UnavailableError: nothing is committed, or everything is; a second call is safe.
        """
        values = [*parameters, since, until, str(max_records), log]
        placeholders = (f"${number}" for number in range(len(parameters) + 1, len(values) + 1))
        names = dict(zip(("since", "until", "max_records", "log"), placeholders, strict=True))
        sql = _REPLAY.format(source=source, alias=alias, condition=condition, **names)
        try:
            with self._database.transaction() as connection:
                ((count, last),) = connection.execute_unnamed(sql, values).rows
        except DatabaseError as error:
            raise as_client_error(error) from error
        return count, last
