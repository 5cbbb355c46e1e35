"""No SQL statement of the reader can write, exceed its timeout, or change the session."""

import time

import pytest
from pg8000.exceptions import DatabaseError

from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.postgres.read_session import ReadSession
from tests.support.odata.dataset import DataSet
from tests.support.tokens import INTEGRATION


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM integration_log RETURNING number",
        "WITH gone AS (DELETE FROM integration_log RETURNING number) SELECT count(*) FROM gone",
        "UPDATE point_record SET status = 'ERROR'",
        "INSERT INTO quarantine (item_id, item, reason) VALUES ('x', 'x', 'x')",
        "SELECT nextval('integration_run_id_seq')",
        "SELECT id FROM point_record FOR UPDATE",
        "CREATE TABLE x (y integer)",
        "TRUNCATE integration_log",
    ],
)
def test_reader_cannot_write(statement: str, filled: Database) -> None:
    reader = ReadSession(filled, 10)
    with pytest.raises((UnavailableError, DatabaseError)) as rejection:
        reader.row(statement, QueryParameters(INTEGRATION))
    message = f"{rejection.value} {rejection.value.__cause__}"
    assert "read-only transaction" in message or "permission denied for sequence" in message
    # The session is unchanged: other transactions can write.
    with filled.transaction() as connection:
        connection.run("CREATE TEMPORARY TABLE scratch (x integer) ON COMMIT DROP")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT 1; COMMIT; DELETE FROM integration_log",
    ],
)
def test_query_cannot_leave_the_read_only_transaction(
    statement: str, filled: Database, data: DataSet
) -> None:
    with pytest.raises(DatabaseError):
        ReadSession(filled, 10).row(statement, QueryParameters(INTEGRATION))
    row = ReadSession(filled, 10).row(
        "SELECT count(*) FROM integration_log", QueryParameters(INTEGRATION)
    )
    assert row == [len(data.logs)]


def test_slow_query_times_out_and_leaves_the_session_unchanged(filled: Database) -> None:
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="Request less"):
        ReadSession(filled, 0.05).row("SELECT pg_sleep(20)", QueryParameters(INTEGRATION))
    assert time.monotonic() - started < 5
    for _ in range(8):  # any connection of the pool
        with filled.transaction() as connection:
            assert connection.run("SHOW statement_timeout") == [["30s"]]
            assert connection.run("SHOW transaction_read_only") == [["off"]]
