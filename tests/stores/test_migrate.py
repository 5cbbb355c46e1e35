"""Migrations on a real PostgreSQL."""

import threading
from pathlib import Path

import pytest
from pg8000.native import Connection

from chalicelib.errors import UnavailableError
from chalicelib.postgres import locks
from chalicelib.postgres import migrate as migrate_module
from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import MIGRATIONS, migrate

BOUNDS = """
CREATE TABLE bounds AS
SELECT current_setting('statement_timeout') AS statement_timeout,
    current_setting('client_connection_check_interval') AS check_interval,
    current_setting('lock_timeout') AS lock_timeout
"""


def test_a_migration_has_time_to_build_an_index_and_ends_with_its_process(
    database: Database, tmp_path: Path
) -> None:
    add_migration(tmp_path, "9999_bounds", BOUNDS)
    assert migrate(database, tmp_path) == ["9999_bounds"]
    with database.transaction() as session:
        ((timeout, check, lock_timeout),) = session.run("SELECT * FROM bounds")
        ((is_long,),) = session.run(
            "SELECT CAST(:it AS interval) BETWEEN '13min' AND '14min'", it=timeout
        )
    assert (is_long, check, lock_timeout) == (True, "2s", "500ms")


def add_migration(directory: Path, name: str, sql: str) -> None:
    """Put all migrations and one more into a directory."""
    for path in MIGRATIONS.glob("*.sql"):
        (directory / path.name).write_bytes(path.read_bytes())
    (directory / f"{name}.sql").write_text(sql)


def test_a_migration_that_waits_for_a_long_reader_does_not_stop_others_for_longer(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_PAUSE_S", 0.5)
    add_migration(tmp_path, "9999_column", "ALTER TABLE point_record ADD COLUMN more integer")
    applied: list[str] = []
    with database.transaction() as reader:
        reader.run("SELECT count(*) FROM point_record")
        migration = threading.Thread(target=lambda: applied.extend(migrate(database, tmp_path)))
        migration.start()
        wait_for_a_lock(reader)
        with database.transaction(statement_timeout_s=10) as other:
            other.run("SELECT count(*) FROM point_record")
        wait_for_a_lock(reader)  # the migration is repeated
        assert applied == []
    migration.join()
    assert applied == ["9999_column"]


def wait_for_a_lock(session: Connection) -> None:
    """Wait until a statement waits for a lock."""
    while not session.run("SELECT FROM pg_locks WHERE NOT granted AND database IS NOT NULL"):
        session.run("SELECT pg_sleep(0.02)")


def test_a_migration_that_never_gets_its_lock_applies_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_module, "_PATIENCE_S", 0.0)
    add_migration(tmp_path, "9999_column", "ALTER TABLE point_record ADD COLUMN more integer")
    with database.transaction() as reader:
        reader.run("SELECT count(*) FROM point_record")
        with pytest.raises(UnavailableError):
            migrate(database, tmp_path)
    assert migrate(database, tmp_path) == ["9999_column"]
