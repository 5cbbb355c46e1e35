"""Who asks: a role, and the records that are that principal's to post and to read.

Intake, the queries and the policies of Postgres all follow from ``Principal.bounds``.
"""

from dataclasses import dataclass
from enum import StrEnum

from chalicelib.point_record import PointRecord


class Role(StrEnum):
    """What a principal is to the records: who punched, who employs, or the operator of it all."""

    EMPLOYEE = "employee"
    EMPLOYER = "employer"
    INTEGRATION = "integration"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a token speaks for.

    An employer has its own id, an employee both, ``integration`` none. ``subject`` is its name in
    the log.
    """

    role: Role
    employer_id: int | None = None
    employee_id: int | None = None
    subject: str = ""

    @property
    def bounds(self) -> tuple[tuple[str, int], ...]:
        """Return what a record must have to be this principal's: nothing where all are.

        Raises:
            ValueError: the principal lacks an id that its role has: it may see nothing.
        """
        ids = {"employer_id": self.employer_id, "employee_id": self.employee_id}
        found = []
        for name in _BOUNDS[self.role]:
            value = ids[name]
            if value is None:
                raise ValueError(f"an {self.role} has an {name}")
            found.append((name, value))
        return tuple(found)

    def __str__(self) -> str:
        ids = (f"{name.removesuffix('_id')} {value}" for name, value in self.bounds)
        return ", ".join(ids) or "everybody"

    def owns(self, record: PointRecord) -> bool:
        """Say whether a record is this principal's to post and to read."""
        return all(getattr(record, name) == value for name, value in self.bounds)


_BOUNDS = {
    Role.EMPLOYEE: ("employer_id", "employee_id"),
    Role.EMPLOYER: ("employer_id",),
    Role.INTEGRATION: (),
}
