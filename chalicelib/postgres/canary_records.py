"""Read the latest records of the reserved employee, whose punches measure the whole way."""

from dataclasses import dataclass
from datetime import datetime

from chalicelib.postgres.connection import Database

# As many as one index scan finds at once. Only the latest matter.
_RECENT = """
SELECT included_at, created_at, replicated_at, integrated_at, status FROM point_record
WHERE employer_id = CAST(:employer AS bigint) AND employee_id = CAST(:employee AS bigint)
ORDER BY employee_id, included_at DESC, id DESC LIMIT 100
"""


@dataclass(frozen=True, slots=True)
class CanaryRecord:
    """When a record passed each stage; ``integrated_at`` is None before it is delivered."""

    included_at: datetime
    created_at: datetime
    replicated_at: datetime
    integrated_at: datetime | None
    status: str

    @property
    def is_waiting(self) -> bool:
        """Whether the record is on its way to the legacy: neither delivered nor parked."""
        return self.status not in ("INTEGRATED", "REJECTED")


def recent(
    database: Database, employer_id: int, employee_id: int, timeout_s: float
) -> list[CanaryRecord]:
    """Return the latest records of an employee of an employer, the latest first.

    Raises:
        UnavailableError: Postgres cannot be reached, or takes longer than ``timeout_s``.
    """
    with database.transaction(read_only=True, statement_timeout_s=timeout_s) as connection:
        rows = connection.run(_RECENT, employer=employer_id, employee=employee_id)
    return [CanaryRecord(*row) for row in rows]
