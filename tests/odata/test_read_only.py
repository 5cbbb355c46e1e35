"""Whatever SQL a query came to be, it changes nothing, ends in time and leaves no trace."""

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
        "DELETE FROM integration_log RETURNING id",
        "WITH gone AS (DELETE FROM integration_log RETURNING id) SELECT count(*) FROM gone",
        "UPDATE point_record SET status = 'ERROR'",
        "INSERT INTO quarantine (item_id, item, reason) VALUES ('x', 'x', 'x')",
        "SELECT nextval('integration_log_id_seq')",
        "SELECT id FROM point_record FOR UPDATE",
        "CREATE TABLE x (y integer)",
        "TRUNCATE integration_log",
    ],
)
def test_nothing_can_be_written(statement: str, filled: Database) -> None:
    reader = ReadSession(filled, 10)
    with pytest.raises((UnavailableError, DatabaseError)) as refused:
        reader.row(statement, QueryParameters(INTEGRATION))
    told = f"{refused.value} {refused.value.__cause__}"
    assert "read-only transaction" in told or "permission denied for sequence" in told
    # The connection is as it was: others can write.
    with filled.transaction() as connection:
        connection.run("CREATE TEMPORARY TABLE scratch (x integer) ON COMMIT DROP")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT 1; COMMIT; DELETE FROM integration_log",
    ],
)
def test_a_query_cannot_free_itself_to_write(
    statement: str, filled: Database, data: DataSet
) -> None:
    with pytest.raises(DatabaseError):
        ReadSession(filled, 10).row(statement, QueryParameters(INTEGRATION))
    counted = ReadSession(filled, 10).row(
        "SELECT count(*) FROM integration_log", QueryParameters(INTEGRATION)
    )
    assert counted == [len(data.logs)]


def test_a_slow_query_is_ended_in_time_and_leaves_no_bounds(filled: Database) -> None:
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="Ask for less"):
        ReadSession(filled, 0.05).row("SELECT pg_sleep(20)", QueryParameters(INTEGRATION))
    assert time.monotonic() - started < 5
    for _ in range(8):  # whichever connection it was
        with filled.transaction() as connection:
            assert connection.run("SHOW statement_timeout") == [["30s"]]
            assert connection.run("SHOW transaction_read_only") == [["off"]]
