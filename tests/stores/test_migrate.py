"""Migrations on a real PostgreSQL."""

from pathlib import Path

from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import MIGRATIONS, migrate

BOUNDS = """
CREATE TABLE bounds AS
SELECT current_setting('statement_timeout') AS statement_timeout,
    current_setting('client_connection_check_interval') AS check_interval
"""


def test_a_migration_has_time_to_build_an_index_and_ends_with_its_process(
    database: Database, tmp_path: Path
) -> None:
    for path in MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "9999_bounds.sql").write_text(BOUNDS)
    assert migrate(database, tmp_path) == ["9999_bounds"]
    with database.transaction() as session:
        assert session.run("SELECT * FROM bounds") == [["14min", "2s"]]
