"""Bring the database to the newest schema: numbered SQL files, each applied once, in order.

Two migrations at once are safe: the second waits for the first under an advisory lock and finds
nothing left to do. Each file is applied in one transaction together with the note that it was.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pg8000.native import Connection

from chalicelib.postgres.connection import Database

MIGRATIONS = Path(__file__).parent / "migrations"

# Any number that no other user of the database locks on.
_LOCK = 7_304_126


class MigrationError(Exception):
    """A file that was applied has changed since, or is gone."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: ``NNNN_name.sql``."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


def migrate(database: Database, directory: Path = MIGRATIONS) -> list[str]:
    """Apply what is not yet applied and return the names of those files, in order.

    Raises:
        MigrationError: an applied file differs from what is here now.
    """
    with database.transaction() as connection:
        connection.run("SELECT pg_advisory_xact_lock(CAST(:lock AS bigint))", lock=_LOCK)
        connection.run(
            "CREATE TABLE IF NOT EXISTS schema_migration ("
            " version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = dict(connection.run("SELECT version, checksum FROM schema_migration"))
        done = []
        for migration in read_migrations(directory):
            checksum = applied.pop(migration.version, None)
            if checksum is None:
                _apply(connection, migration)
                done.append(migration.name)
            elif checksum != migration.checksum:
                raise MigrationError(f"{migration.name} has changed since it was applied.")
        if applied:
            raise MigrationError(f"Applied, but not among the files: versions {sorted(applied)}.")
    return done


def read_migrations(directory: Path) -> list[Migration]:
    """Read the files of a directory in the order of their numbers."""
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
