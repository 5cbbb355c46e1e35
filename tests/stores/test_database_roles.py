"""The roles of docs/database.md: no login owns anything, and each sees what it may see.

The statements run as a role like the master user of RDS, for a new database and for one that the
master user owns.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pg8000.exceptions import DatabaseError

from bench.punches import random_id
from chalicelib.errors import UnavailableError
from chalicelib.postgres import sqlstate
from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import MIGRATIONS, migrate
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from local import postgres
from local.postgres import Postgres
from tests.conftest import connect, create_database
from tests.support.database_roles import (
    LOGINS,
    OWNER,
    READER,
    READER_B,
    WRITER,
    WRITER_B,
    Master,
    roles_removed,
)

NAME = "roles"
RECORDS = f"""
INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes, created_at)
SELECT {random_id("now()")}, 1, employer, now(), 0, now() FROM generate_series(1, 3) AS employer
"""
LATER = "CREATE TABLE later (id bigint); ALTER TABLE point_record ADD extra text"
VISIBLE = "SELECT count(*) FROM point_record"


@pytest.fixture(params=["new", "existing"])
def master(postgres_server: Postgres, request: pytest.FixtureRequest) -> Iterator[Master]:
    """The master user of a database with the documented roles, and with the schema."""
    server = Master(postgres_server, postgres.NAME)
    with roles_removed(postgres_server):
        if request.param == "existing":
            create_database(postgres_server, NAME)  # the master user has migrated it
        else:
            server.psql(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            server.psql(f"CREATE DATABASE {NAME}")
        master = Master(postgres_server, NAME)
        master.make_roles()
        master.let_in(WRITER_B)
        master.let_in(READER_B)
        database = connect(master.url(WRITER))
        migrate(database)
        database.close()
        yield master
        server.psql(f"DROP DATABASE {NAME} WITH (FORCE)")


def test_documented_roles_can_write_read_and_migrate_and_own_nothing(
    master: Master, tmp_path: Path
) -> None:
    for path in MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "9999_later.sql").write_text(
        "CREATE TABLE later (id bigint); ALTER TABLE point_record ADD extra text"
    )
    master.make_roles()  # again
    for login in (WRITER, WRITER_B):
        database = connect(master.url(login))
        migrate(database, tmp_path)
        with database.transaction() as session:
            session.run(RECORDS)
        # As in Lambda without ODATA_DATABASE_URL: row security restricts this role, too.
        reads = ReadSession(database, 10)
        assert reads.row(VISIBLE, QueryParameters(Principal(Role.EMPLOYER, 9))) == [0]
        database.close()
    for login in (WRITER, WRITER_B, postgres.NAME):  # functions that were not moved yet
        database = connect(master.url(login))
        with database.transaction() as session:
            assert session.run(VISIBLE) == [[6]]
        database.close()
    for login in (READER, READER_B):
        database = connect(master.url(login))
        reads = ReadSession(database, 10)
        assert reads.row(VISIBLE, QueryParameters(Principal(Role.EMPLOYER, 2))) == [2]
        assert reads.row(VISIBLE, QueryParameters(Principal(Role.INTEGRATION))) == [6]
        for statement in (VISIBLE, RECORDS, "DELETE FROM point_record"):
            with pytest.raises(UnavailableError) as denied, database.transaction() as session:
                session.run(statement)
            assert isinstance(denied.value.__cause__, DatabaseError)
            assert sqlstate.of(denied.value.__cause__) == "42501"
        database.close()
    owners = master.psql(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
        " WHERE relnamespace = CAST('public' AS regnamespace) UNION"
        " SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    )
    assert owners.split() == [OWNER]
    logins = master.psql(
        "SELECT json_object_agg(rolname, rolcanlogin) FROM pg_roles"
        f" WHERE rolname IN ('{OWNER}', {', '.join(repr(each) for each in LOGINS)})"
        " AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)"
    )
    assert json.loads(logins) == {OWNER: False, **dict.fromkeys(LOGINS, True)}
    # So a login may be dropped at any time.
    master.lock_out(WRITER)
    master.psql(f"DROP ROLE {WRITER}")


def test_login_with_mere_grants_fails_and_does_not_see_an_empty_table(
    postgres_server: Postgres, database: Database, database_url: str
) -> None:
    """Row security hides all rows from such a login, so a claim would find nothing to do."""
    name = urlsplit(database_url).path[1:]
    master = Master(postgres_server, name)
    with database.transaction() as session:
        session.run(RECORDS)
        session.run(f"CREATE ROLE {WRITER} LOGIN PASSWORD 'secret-{WRITER}'")
        session.run(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {WRITER}")
    stranger = connect(master.url(WRITER))
    try:
        with pytest.raises(UnavailableError) as denied, stranger.transaction() as session:
            session.run(VISIBLE)
        assert "row-level security" in str(denied.value.__cause__)
    finally:
        stranger.close()
        master.psql(f"GRANT {WRITER} TO CURRENT_USER; DROP OWNED BY {WRITER}; DROP ROLE {WRITER}")
