"""The deliveries that are settled and not yet in the journal.

A flush of the integrator adds its deliveries in the transaction that settles them, if the stage has
a journal. Invariant: a settled delivery is in this table or in the journal, at every instant.
"""

from collections.abc import Sequence
from datetime import datetime

from chalicelib.postgres.connection import Database

# Read deliveries in the order of their ids, from one id on: a plain LIMIT would pass over the dead
# rows of all earlier batches again.
_NEXT = """
SELECT CAST(point_id AS text), delivered_at
FROM delivery_outbox
WHERE point_id > CAST(:after AS uuid)
ORDER BY point_id
LIMIT CAST(:max_records AS integer)
"""
_REMOVE = "DELETE FROM delivery_outbox WHERE point_id = ANY (CAST(:ids AS uuid[]))"


class DeliveryOutbox:
    """The table ``delivery_outbox``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, after: str, max_records: int) -> list[tuple[str, datetime]]:
        """Return up to ``max_records`` deliveries whose ids come after one, in that order.

        Raises:
            UnavailableError: Postgres cannot be reached.
        """
        with self._database.transaction() as connection:
            rows = connection.run(_NEXT, after=after, max_records=max_records)
        return [(record_id, delivered_at) for record_id, delivered_at in rows]

    def remove(self, ids: Sequence[str]) -> None:
        """Remove deliveries that the journal has. Idempotent.

        Raises:
            UnavailableError: nothing is removed, or everything is.
        """
        with self._database.transaction() as connection:
            connection.run(_REMOVE, ids=list(ids))
