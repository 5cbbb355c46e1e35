"""Define principals: the callers of the service, each with a role and the records it owns.

Intake, the queries and the row-level security of Postgres all follow ``Principal.bounds``.
"""

from dataclasses import dataclass
from enum import StrEnum

from chalicelib.point_record import PointRecord


class Role(StrEnum):
    """The role of a principal: who punches, who employs, or who operates the service."""

    EMPLOYEE = "employee"
    EMPLOYER = "employer"
    INTEGRATION = "integration"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller whom a token identifies.

    Attributes:
        role: decides which of the ids the principal has.
        employer_id: of an employer and of an employee.
        employee_id: of an employee.
        subject: the caller's name in the log.
        read_only: the principal may read, and post nothing. So are those of access keys.
    """

    role: Role
    employer_id: int | None = None
    employee_id: int | None = None
    subject: str = ""
    read_only: bool = False

    @property
    def bounds(self) -> tuple[tuple[str, int], ...]:
        """The attributes that a record must have for this principal to own it; none for operators.

        Raises:
            ValueError: the principal lacks an id that its role requires, so it owns nothing.
        """
        ids = {"employer_id": self.employer_id, "employee_id": self.employee_id}
        bounds = []
        for name in _BOUNDS[self.role]:
            value = ids[name]
            if value is None:
                raise ValueError(f"an {self.role} must have an {name}")
            bounds.append((name, value))
        return tuple(bounds)

    def __str__(self) -> str:
        ids = [f"{name.removesuffix('_id')} {value}" for name, value in self.bounds]
        return " of ".join(reversed(ids)) or "any employer"

    def owns(self, record: PointRecord) -> bool:
        """Return whether this principal may post and read the record."""
        return all(getattr(record, name) == value for name, value in self.bounds)


_BOUNDS = {
    Role.EMPLOYEE: ("employer_id", "employee_id"),
    Role.EMPLOYER: ("employer_id",),
    Role.INTEGRATION: (),
}
