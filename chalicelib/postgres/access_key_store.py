"""Keep access keys in the database: their digests, owners, expiry and revocation.

Queries find a key through the database function ``find_access_key``, which their login may call;
operators make, list and revoke keys with the login that owns the table.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.instant import to_text
from chalicelib.postgres.connection import Database
from chalicelib.principal import Principal, Role

# Any of the roles that may call the function; it has no rights of its own.
_ROLE = "punch_clock_employee"
_FIND = "SELECT * FROM find_access_key(CAST(:digest AS bytea))"
_ADD = """
INSERT INTO access_key (digest, name, employer_id, employee_id, created_by, expires_at)
VALUES (
    CAST(:digest AS bytea), CAST(:name AS text), CAST(:employer AS bigint),
    CAST(:employee AS bigint), CAST(:by AS text), CAST(:expires_at AS timestamptz)
)
RETURNING id
"""
# A second revocation changes nothing and succeeds.
_REVOKE = """
UPDATE access_key
SET revoked_at = coalesce(revoked_at, now()), revoked_by = coalesce(revoked_by, CAST(:by AS text))
WHERE id = CAST(:id AS bigint)
RETURNING id
"""
# The latest first.
_LIST = """
SELECT id, name, employer_id, employee_id,
    CASE WHEN employee_id IS NULL THEN 'employer' ELSE 'employee' END,
    created_at, created_by, expires_at, revoked_at, revoked_by,
    revoked_at IS NULL AND expires_at > now()
FROM access_key
WHERE id < CAST(:before AS bigint)
ORDER BY id DESC
LIMIT CAST(:most AS integer)
"""


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """What an operator says of a new key; ``employee_id`` narrows it to one employee."""

    name: str
    employer_id: int
    employee_id: int | None
    expires_at: datetime


class AccessKeyStore:
    """Reads and writes the access keys of a database."""

    def __init__(self, database: Database, timeout_s: float) -> None:
        self._database = database
        self._timeout_s = timeout_s

    def find(self, digest: bytes) -> Principal | None:
        """Return the principal of the valid key with a digest, None without one.

        Raises:
            UnavailableError: Postgres cannot be reached, or is too slow.
        """
        with self._database.transaction(
            read_only=True, statement_timeout_s=self._timeout_s, role=_ROLE
        ) as connection:
            rows = connection.run(_FIND, digest=digest)
        if not rows:
            return None
        [[key_id, employer_id, employee_id, name]] = rows
        role = Role.EMPLOYER if employee_id is None else Role.EMPLOYEE
        subject = f"access key {key_id}: {name}"
        return Principal(role, employer_id, employee_id, subject, read_only=True)

    def add(self, digest: bytes, key: NewAccessKey, by: str) -> int:
        """Store the digest of a new key, and return the key's id."""
        with self._database.transaction() as connection:
            [[key_id]] = connection.run(
                _ADD,
                digest=digest,
                name=key.name,
                employer=key.employer_id,
                employee=key.employee_id,
                by=by,
                expires_at=key.expires_at,
            )
        return int(key_id)

    def revoke(self, key_id: int, by: str) -> bool:
        """Revoke a key from now on; return whether there is one with this id."""
        with self._database.transaction() as connection:
            return bool(connection.run(_REVOKE, id=key_id, by=by))

    def listed(self, before: int, most: int) -> list[dict[str, Any]]:
        """Return keys as JSON objects, the latest first, without anything that gives access.

        Args:
            before: only keys with a smaller id.
            most: how many.
        """
        with self._database.transaction(read_only=True) as connection:
            rows = connection.run(_LIST, before=before, most=most)
        names = (
            "id", "name", "employerId", "employeeId", "role", "createdAt", "createdBy", "expiresAt",
            "revokedAt", "revokedBy", "isValid",
        )  # fmt: skip
        return [
            {
                name: to_text(value) if isinstance(value, datetime) else value
                for name, value in zip(names, row, strict=True)
            }
            for row in rows
        ]
