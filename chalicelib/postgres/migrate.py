"""Migrate the database to the newest schema: apply numbered SQL files once each, in order.

The new objects belong to the owner of the database. One transaction applies all pending files and
records them. It is repeated for up to five minutes if it meets locks. Concurrent migrations are
safe: the second one meets the advisory lock of the first, and has nothing left to apply once that
has ended.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pg8000.native import Connection

from chalicelib.postgres.connection import Database
from chalicelib.postgres.locks import BRIEF, retry_on_lock

MIGRATIONS = Path(__file__).parent / "migrations"

# A migration may build an index for as long as its function runs, which is 900 s. If the process
# dies, Postgres notices within two seconds, and the locks do not outlive it.
_STATEMENT_TIMEOUT_S = 840.0
_SETTINGS = BRIEF | {"client_connection_check_interval": 2_000}
# A reader may have its lock for as long as its transaction lasts.
_PATIENCE_S = 300.0

_OWNER = """
SELECT quote_ident(pg_get_userbyid(datdba))
FROM pg_database
WHERE datname = current_database()
  AND pg_get_userbyid(datdba) <> current_user
  AND pg_has_role(current_user, datdba, 'SET')
"""

# The key of the advisory lock: arbitrary, and used by no other program in this database.
_LOCK = 7_304_126


class MigrationError(Exception):
    """An applied file has changed since, or is missing."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, ``NNNN_name.sql``."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


def migrate(database: Database, directory: Path = MIGRATIONS) -> list[str]:
    """Apply the pending files and return their names, in order.

    Raises:
        MigrationError: an applied file has changed since, or is missing.
        UnavailableError: tables were in use for too long, or Postgres cannot be reached. Nothing is
            applied.
    """
    end = time.monotonic() + _STATEMENT_TIMEOUT_S
    return retry_on_lock(lambda: _migrate(database, directory, end - time.monotonic()), _PATIENCE_S)


def _migrate(database: Database, directory: Path, timeout_s: float) -> list[str]:
    """Apply the pending files in one transaction; see ``migrate``."""
    with database.transaction(statement_timeout_s=timeout_s, settings=_SETTINGS) as connection:
        become_owner(connection)
        connection.run("SELECT pg_advisory_xact_lock(CAST(:lock AS bigint))", lock=_LOCK)
        connection.run(
            "CREATE TABLE IF NOT EXISTS schema_migration ("
            " version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = dict(connection.run("SELECT version, checksum FROM schema_migration"))
        newly_applied = []
        for migration in read_migrations(directory):
            checksum = applied.pop(migration.version, None)
            if checksum is None:
                _apply(connection, migration)
                newly_applied.append(migration.name)
            elif checksum != migration.checksum:
                raise MigrationError(f"{migration.name} has changed since it was applied.")
        if applied:
            raise MigrationError(f"The files of applied versions {sorted(applied)} are missing.")
    return newly_applied


def become_owner(connection: Connection) -> None:
    """Go on as the owner of the database, until the transaction ends, if the login role may.

    A login role that is replaced by another one must own nothing.
    """
    for (role,) in connection.run(_OWNER):
        connection.run(f"SET LOCAL ROLE {role}")


def read_migrations(directory: Path) -> list[Migration]:
    """Read the migration files of a directory, in the order of their numbers."""
    return [
        Migration(int(path.name[:4]), path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]


def _apply(connection: Connection, migration: Migration) -> None:
    connection.run(migration.sql)
    connection.run(
        "INSERT INTO schema_migration (version, name, checksum)"
        " VALUES (CAST(:version AS integer), CAST(:name AS text), CAST(:checksum AS text))",
        version=migration.version,
        name=migration.name,
        checksum=migration.checksum,
    )
