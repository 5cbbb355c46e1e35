"""What Postgres itself shows a principal: its own, though a statement asks for everything."""

import json

import pytest
from pg8000.exceptions import DatabaseError

from chalicelib.postgres.connection import Database, sqlstate
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from tests.support.tokens import INTEGRATION

# Of three employers with two employees each, one record with a log of each; and one run.
SETUP = """
INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes, created_at)
SELECT gen_random_uuid(), employee, employer, now(), 0, now()
FROM generate_series(1, 3) AS employer, generate_series(1, 2) AS employee;
INSERT INTO integration_log (point_id, attempt, status) SELECT id, 0, 'AWAITING' FROM point_record;
INSERT INTO integration_run (run_id, max_open_requests, open_requests, delivered, failed, rejected,
    policy)
VALUES (gen_random_uuid(), 1, 1, 1, 1, 1, 'x');
"""
# As a bug would have it: without a word of whose.
EVERYTHING = """
SELECT (SELECT count(*) FROM point_record), (SELECT count(*) FROM integration_log),
       (SELECT count(*) FROM integration_run),
       (SELECT json_agg(DISTINCT employer_id) FROM point_record)
"""


@pytest.fixture
def reader(database: Database) -> ReadSession:
    with database.transaction() as connection:
        connection.run(SETUP)
    return ReadSession(database, 10)


@pytest.mark.parametrize(
    ("principal", "seen"),
    [
        (INTEGRATION, [6, 6, 1, [1, 2, 3]]),
        (Principal(Role.EMPLOYER, 2), [2, 2, 0, [2]]),
        (Principal(Role.EMPLOYEE, 2, 1), [1, 1, 0, [2]]),
        (Principal(Role.EMPLOYER, 9), [0, 0, 0, None]),
        (Principal(Role.EMPLOYEE, 9, 1), [0, 0, 0, None]),
    ],
)
def test_a_statement_without_any_bound_shows_a_principal_its_own(
    reader: ReadSession, principal: Principal, seen: list[object]
) -> None:
    assert reader.row(EVERYTHING, QueryParameters(principal)) == seen
    # Whoever comes next on the same connection is shown nothing of it.
    assert reader.row(EVERYTHING, QueryParameters(Principal(Role.EMPLOYER, 9))) == [0, 0, 0, None]


@pytest.mark.parametrize("table", ["quarantine", "integrator_state", "schema_migration"])
@pytest.mark.parametrize("principal", [INTEGRATION, Principal(Role.EMPLOYER, 2)], ids=str)
def test_no_query_may_read_what_it_never_needs(
    reader: ReadSession, principal: Principal, table: str
) -> None:
    with pytest.raises(DatabaseError) as refused:
        reader.row(f"SELECT count(*) FROM {table}", QueryParameters(principal))
    assert sqlstate(refused.value) == "42501"


def test_a_role_without_its_settings_sees_nothing(reader: ReadSession, database: Database) -> None:
    for role in ("employee", "employer"):
        with database.transaction(role=f"punch_clock_{role}") as connection:
            assert connection.run(EVERYTHING) == [[0, 0, 0, None]]


def test_a_principals_values_are_not_the_ones_of_another(reader: ReadSession) -> None:
    """Values that a function leaks by failing are not looked at before the policy."""
    leak = (
        "SELECT count(*) FROM point_record"
        " WHERE 1 / (CASE WHEN employer_id = 3 THEN 0 ELSE 1 END) = 1"
    )
    assert reader.row(leak, QueryParameters(Principal(Role.EMPLOYER, 2))) == [2]


def test_the_tables_are_the_operators_to_write(database: Database) -> None:
    with database.transaction() as connection:
        ((flags,),) = connection.run(
            "SELECT CAST(json_object_agg(relname, relrowsecurity) AS text) FROM pg_class"
            " WHERE relkind = 'r' AND relname IN ('point_record', 'integration_log',"
            " 'integration_run')"
        )
        may_log_in = connection.run(
            "SELECT bool_or(rolcanlogin OR rolbypassrls OR rolsuper) FROM pg_roles"
            " WHERE rolname LIKE 'punch_clock_%'"
        )
    assert set(json.loads(flags).values()) == {True}
    assert may_log_in == [[False]]
