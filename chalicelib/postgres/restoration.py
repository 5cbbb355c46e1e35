"""Mark the deliveries that a database has lost, and keep the integrator from claiming meanwhile.

Invariants:

- While a restore holds the integrator's lease, no run claims a record: none that is delivered is
  sent again before the restore has marked it.
- Marking a delivery is idempotent: it changes a record once, and adds one row to its log.
"""

import json
import uuid
from collections.abc import Sequence

from chalicelib.postgres.connection import Database
from chalicelib.postgres.leases import INTEGRATOR, RESTORE_PAUSE_S
from chalicelib.postgres.locks import retry_on_lock

# Mark records as delivered that the journal says are, each with its log row. A record that the
# database does not have, or that is delivered already, stays as it is. Rows are locked in the order
# of their ids, so that two restores cannot deadlock. A run that settles may lock in another order.
_MARK = """
WITH delivery AS (
    SELECT id, min(integrated_at) AS integrated_at
    FROM jsonb_to_recordset(CAST(:deliveries AS jsonb))
        AS delivery ("id" uuid, "integrated_at" timestamptz)
    GROUP BY id
), undelivered AS (
    SELECT record.id
    FROM point_record AS record
    WHERE record.id = ANY (ARRAY(SELECT id FROM delivery)) AND record.status <> 'INTEGRATED'
    ORDER BY record.id
    FOR NO KEY UPDATE
), marked AS (
    UPDATE point_record AS record
    SET status = 'INTEGRATED', next_attempt_at = NULL, claimed_by = NULL,
        integrated_at = delivery.integrated_at, updated_at = now(),
        log_count = record.log_count + 1
    FROM delivery
    WHERE record.id = delivery.id AND record.id = ANY (ARRAY(SELECT id FROM undelivered))
    RETURNING record.id, record.employer_id, record.employee_id, record.log_count, record.attempts
)
INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt, status, log)
SELECT id, employer_id, employee_id, log_count, attempts + 1, 'INTEGRATED',
    'The legacy has this record, as the journal says.'
FROM marked
"""


class Restoration:
    """The writes of one restore.

    Args:
        database: the database that is restored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder = str(uuid.uuid4())

    def pause_integration(self) -> None:
        """Keep every run of the integrator from claiming, for ``RESTORE_PAUSE_S`` at most.

        A run that has the lease stops claiming, and may only still confirm deliveries
        (``settlements``).

        Raises:
            UnavailableError: Postgres cannot be reached.
        """
        with self._database.transaction() as connection:
            INTEGRATOR.take(connection, self._holder, RESTORE_PAUSE_S, by_force=True)

    def resume_integration(self) -> None:
        """Let the next run of the integrator claim, unless another restore has begun.

        Raises:
            UnavailableError: Postgres cannot be reached.
        """
        with self._database.transaction() as connection:
            INTEGRATOR.end(connection, self._holder)

    def mark_delivered(self, deliveries: Sequence[dict[str, str]]) -> int:
        """Mark records as delivered, in one transaction, and return how many were not before.

        Args:
            deliveries: objects with ``id`` and ``integrated_at`` (RFC 3339).

        Raises:
            UnavailableError: nothing is committed, or everything is; a second call is safe.
        """

        def mark() -> int:
            with self._database.transaction() as connection:
                connection.run(_MARK, deliveries=json.dumps(deliveries))
                marked: int = connection.row_count
            return marked

        return retry_on_lock(mark)
