"""Migrate the database to the newest schema: apply numbered SQL files once each, in order.

The new objects belong to the owner of the database. One transaction applies all pending files and
records them. It waits only briefly for a lock, since every other statement on the table queues
behind it, and is repeated then, for up to five minutes. Concurrent migrations are safe: the second
one meets the advisory lock of the first, and has nothing left to apply once that has ended.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from chalicelib.errors import UnavailableError
from chalicelib.postgres import sqlstate
from chalicelib.postgres.connection import Database

MIGRATIONS = Path(__file__).parent / "migrations"

# A migration may build an index for as long as its function runs, which is 900 s. If the process
# dies, Postgres notices within two seconds, and the locks do not outlive it.
_STATEMENT_TIMEOUT_S = 840.0
# Other statements wait no longer than this behind a lock that a change of the schema waits for.
LOCK_TIMEOUT_MS = 2_000
_SETTINGS = {"client_connection_check_interval": 2_000, "lock_timeout": LOCK_TIMEOUT_MS}
# A migration that gets no lock is repeated for so long. In the pauses the statements that queue
# behind it go on. A reader may have its lock for as long as its transaction lasts.
_LOCK_PATIENCE_S = 300.0
_LOCK_PAUSE_S = 2.0

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
    started = time.monotonic()
    while True:
        elapsed_s = time.monotonic() - started
        try:
            return _migrate(database, directory, _STATEMENT_TIMEOUT_S - elapsed_s)
        except UnavailableError as error:
            if not _met_a_lock(error) or elapsed_s > _LOCK_PATIENCE_S:
                raise
        time.sleep(_LOCK_PAUSE_S)


def _met_a_lock(error: UnavailableError) -> bool:
    cause = error.__cause__
    met = (sqlstate.LOCK_NOT_AVAILABLE, sqlstate.DEADLOCK_DETECTED)
    return isinstance(cause, DatabaseError) and sqlstate.of(cause) in met


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
