"""Row security: Postgres shows a principal only its own rows, whatever a statement selects."""

import json
from datetime import UTC, datetime

import pytest
from pg8000.exceptions import DatabaseError

from bench.punches import random_id
from chalicelib.postgres import sqlstate
from chalicelib.postgres.connection import Database
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from tests.support.tokens import INTEGRATION

# Three employers with two employees each. Each employee has one record with one log row. One run.
PARTITION = f"integration_log_{datetime.now(UTC):%Y_%m}"
SETUP = f"""
INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes, created_at)
SELECT {random_id("now()")}, employee, employer, now(), 0, now()
FROM generate_series(1, 3) AS employer, generate_series(1, 2) AS employee;
INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt, status)
SELECT id, employer_id, employee_id, 1, 0, 'AWAITING' FROM point_record;
INSERT INTO integration_run (run_id, max_open_requests, open_requests, delivered, failed, rejected,
    policy)
VALUES (gen_random_uuid(), 1, 1, 1, 1, 1, 'x');
"""
# A statement without any condition on the principal, as a bug would write it.
EVERYTHING = """
SELECT (SELECT count(*) FROM point_record), (SELECT count(*) FROM integration_log),
       (SELECT count(*) FROM integration_run),
       (SELECT json_agg(DISTINCT employer_id) FROM point_record)
"""


@pytest.fixture
def session(database: Database) -> ReadSession:
    with database.transaction() as connection:
        connection.run(SETUP)
    return ReadSession(database, 10)


@pytest.mark.parametrize(
    ("principal", "visible"),
    [
        (INTEGRATION, [6, 6, 1, [1, 2, 3]]),
        (Principal(Role.EMPLOYER, 2), [2, 2, 0, [2]]),
        (Principal(Role.EMPLOYEE, 2, 1), [1, 1, 0, [2]]),
        (Principal(Role.EMPLOYER, 9), [0, 0, 0, None]),
        (Principal(Role.EMPLOYEE, 9, 1), [0, 0, 0, None]),
    ],
)
def test_a_statement_without_conditions_sees_only_the_rows_of_its_principal(
    session: ReadSession, principal: Principal, visible: list[object]
) -> None:
    assert session.row(EVERYTHING, QueryParameters(principal)) == visible
    # The next principal on the same connection sees none of these rows.
    assert session.row(EVERYTHING, QueryParameters(Principal(Role.EMPLOYER, 9))) == [0, 0, 0, None]


@pytest.mark.parametrize(
    "table",
    ["quarantine", "integrator_state", "schema_migration", "point_record_default", PARTITION],
)
@pytest.mark.parametrize("principal", [INTEGRATION, Principal(Role.EMPLOYER, 2)], ids=str)
def test_a_query_may_not_read_the_internal_tables(
    session: ReadSession, principal: Principal, table: str
) -> None:
    with pytest.raises(DatabaseError) as denied:
        session.row(f"SELECT count(*) FROM {table}", QueryParameters(principal))
    assert sqlstate.of(denied.value) == "42501"


def test_a_role_without_its_settings_sees_no_rows(session: ReadSession, database: Database) -> None:
    for role in ("employee", "employer"):
        with database.transaction(role=f"punch_clock_{role}") as connection:
            assert connection.run(EVERYTHING) == [[0, 0, 0, None]]


def test_a_condition_is_not_evaluated_on_rows_that_the_policy_hides(session: ReadSession) -> None:
    """A condition that fails on some values would reveal them if it ran before the policy."""
    leak = (
        "SELECT count(*) FROM point_record"
        " WHERE 1 / (CASE WHEN employer_id = 3 THEN 0 ELSE 1 END) = 1"
    )
    assert session.row(leak, QueryParameters(Principal(Role.EMPLOYER, 2))) == [2]


def test_the_tables_have_row_security_and_the_roles_no_privilege_to_bypass_it(
    database: Database,
) -> None:
    with database.transaction() as connection:
        ((flags,),) = connection.run(
            "SELECT CAST(json_object_agg(relname, relrowsecurity) AS text) FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND relname IN ('point_record', 'integration_log',"
            " 'integration_run')"
        )
        privileged = connection.run(
            "SELECT bool_or(rolcanlogin OR rolbypassrls OR rolsuper) FROM pg_roles"
            " WHERE rolname LIKE 'punch_clock_%'"
        )
    assert set(json.loads(flags).values()) == {True}
    assert privileged == [[False]]
