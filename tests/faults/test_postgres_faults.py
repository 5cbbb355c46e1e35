"""Faults of Postgres: closed, hanging and refused connections, and errors of statements.

After each fault, no record is lost or duplicated, and no transition is logged twice.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pg8000.native
import pytest

from chalicelib import container
from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.replication_shares import ReplicationShares
from chalicelib.replicator.replication import Replicator
from tests.conftest import SimulatedLegacy, connect
from tests.support.postgres_proxy import Moment, PostgresProxy, running
from tests.support.record_counts import assert_integrated, assert_replicated, buffered_ids, fill
from tests.support.service import Service, wired
from tests.support.waiting import wait_until

RECORDS = range(1, 101)
# Longer than any lease of the default settings.
LEASES_S = 200.0

# How the statements of each transaction begin.
ADD = "WITH document"
BEGIN = "INSERT INTO integrator_state"
DUE = "SELECT id\nFROM point_record"
CLAIM = "WITH claimed"
FLUSH = "WITH renewed"
RELEASE = "UPDATE point_record"
END = "UPDATE integrator_state SET"


@pytest.fixture
def proxy(database_url: str) -> Iterator[PostgresProxy]:
    with running(database_url) as proxy:
        yield proxy


@pytest.fixture
def variables(variables: dict[str, str], proxy: PostgresProxy) -> dict[str, str]:
    """A service with Postgres behind the proxy, short timeouts and small pages."""
    return variables | {
        "DATABASE_URL": proxy.url,
        "DATABASE_CONNECT_TIMEOUT_S": "1",
        "STATEMENT_TIMEOUT_S": "0.5",
        "REPLICATION_PAGE": "25",
    }


def execute(database: Database, statement: str) -> None:
    with database.transaction() as session:
        session.run(statement)


def assert_logged_once(service: Service) -> None:
    """Assert that the log has no transition of a record twice."""
    duplicated = service.rows(
        "SELECT point_id, attempt, status FROM integration_log"
        " GROUP BY point_id, attempt, status HAVING count(*) > 1"
    )
    assert duplicated == []


@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize("moment", Moment)
def test_an_interrupted_replication_fails_and_the_next_run_completes_it(
    service: Service,
    proxy: PostgresProxy,
    dynamodb: Any,
    table: str,
    moment: Moment,
    call: int,
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    proxy.interrupt(ADD, moment, call=call)
    with pytest.raises(UnavailableError):
        service.replicate()
    assert proxy.has_interrupted
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_replication_whose_commit_hangs_ends_at_the_socket_timeout(
    service: Service, proxy: PostgresProxy, dynamodb: Any, table: str
) -> None:
    impatient = Database(
        proxy.url, pool=1, connect_timeout_s=1, statement_timeout_s=0.5, socket_margin_s=0.5
    )
    replicator = Replicator(
        container.buffered_items(),
        PointRecordStore(impatient),
        segments=1,
        page=25,
        deleters=1,
        margin_s=1,
        shares=ReplicationShares(impatient, 30),
        share_size=1_000,
    )
    accepted = fill(dynamodb, table, RECORDS)
    proxy.interrupt(ADD, Moment.AFTER_COMMIT, hang=True)
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        replicator.run(lambda: 60)
    # The statement timeout and the socket margin, plus two seconds for a busy machine.
    assert time.monotonic() - started < 0.5 + 0.5 + 2
    impatient.close()
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_refused_connection_leaves_all_records_in_the_buffer(
    service: Service, proxy: PostgresProxy, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    proxy.refuse()
    with pytest.raises(UnavailableError):
        service.replicate()
    assert buffered_ids(dynamodb, table) == set(accepted)
    proxy.repair()
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize("moment", [Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT])
@pytest.mark.parametrize(
    ("statement", "call"),
    [(BEGIN, 1), (DUE, 2), (CLAIM, 1), (FLUSH, 1), (FLUSH, 2), (RELEASE, 1), (END, 1)],
)
def test_an_interrupted_integration_sends_and_logs_each_outcome_once(
    service: Service,
    proxy: PostgresProxy,
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    statement: str,
    call: int,
    moment: Moment,
) -> None:
    ids = fill(dynamodb, table, range(1, 201))
    service.replicate()
    # Some attempts fail at first, so a flush writes more than one kind of row.
    legacy.set(latency_ms=50, answer={"status": 500, "times": 5})
    proxy.interrupt(statement, moment, call=call)
    with suppress(UnavailableError):
        service.integrate()
    assert proxy.has_interrupted
    for _ in range(2):
        service.advance_time(LEASES_S)
        service.integrate()
    assert_integrated(service, legacy, ids)
    assert_logged_once(service)
    assert legacy.report()["duplicates"] == 0


def raising(sqlstate: str, table: str) -> tuple[str, str]:
    """Return a statement that makes every INSERT into a table fail, and one that undoes it."""
    begin = (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$;"
        f" CREATE TRIGGER refuse BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()"
    )
    return begin, "DROP FUNCTION refuse CASCADE"


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("ALTER DATABASE {name} CONNECTION LIMIT 0", "ALTER DATABASE {name} CONNECTION LIMIT -1"),
        raising("53100", "point_record"),  # disk full
        raising("53100", "integration_log"),
        raising("58030", "point_record"),  # I/O error
        raising("25006", "point_record"),  # read-only: a standby, after a failover
        raising("08006", "point_record"),  # connection failure, as a pooler reports it
    ],
    ids=lambda value: value.partition("ERRCODE = ")[2][1:6] or None,
)
def test_a_transient_error_leaves_the_records_for_the_next_run(
    service: Service, dynamodb: Any, table: str, database: Database, begin: str, end: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    ((name,),) = service.rows("SELECT current_database()")
    execute(database, begin.format(name=name))
    with pytest.raises(UnavailableError):
        service.replicate()
    assert buffered_ids(dynamodb, table) == set(accepted)
    execute(database, end.format(name=name))
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_an_exhausted_pool_fails_the_run_as_unavailable(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    with wired(variables | {"DATABASE_POOL": "1", "DATABASE_CONNECT_TIMEOUT_S": "0.5"}):
        with container.database().transaction(), pytest.raises(UnavailableError):
            service.replicate()
        service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_row_that_violates_a_constraint_is_quarantined_and_the_others_are_written(
    service: Service, dynamodb: Any, table: str, database: Database
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    execute(
        database,
        "ALTER TABLE point_record"
        " ADD CONSTRAINT point_record_unlucky_check CHECK (employee_id <> 13)",
    )
    service.replicate()
    assert buffered_ids(dynamodb, table) == set()
    ((item_id, reason),) = service.rows("SELECT item_id, reason FROM quarantine")
    assert item_id == accepted[12]
    assert "point_record_unlucky_check" in reason
    assert service.statuses() == {"AWAITING": len(RECORDS) - 1}


@pytest.fixture
def other(database_url: str) -> Iterator[pg8000.native.Connection]:
    """A session in an open transaction, which keeps its locks until it is rolled back."""
    pool = connect(database_url)
    with suppress(RollBackError), pool.transaction() as session:
        yield session
        raise RollBackError
    pool.close()


class RollBackError(Exception):
    """Rolls back a transaction that the test never commits."""


def insert(session: pg8000.native.Connection, record_id: str) -> None:
    session.run(
        "INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes,"
        " created_at) VALUES (CAST(:id AS uuid), 1, 1, timestamptz '2026-11-22 11:00Z', 0, now())",
        id=record_id,
    )


def is_waiting(service: Service) -> bool:
    """Return whether a session waits for another session's transaction to end."""
    waiting = "SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
    return bool(service.rows(waiting))


def test_waiting_for_a_lock_beyond_the_timeout_fails_the_run_as_unavailable(
    service: Service,
    dynamodb: Any,
    table: str,
    other: pg8000.native.Connection,
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    insert(other, accepted[0])
    with pytest.raises(UnavailableError):
        service.replicate()  # waits until the statement timeout
    other.run("ROLLBACK")
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_deadlock_fails_the_run_as_unavailable(
    service: Service,
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    other: pg8000.native.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    accepted: list[str] = []
    with (
        wired(variables | {"STATEMENT_TIMEOUT_S": "10", "REPLICATION_SEGMENTS": "1"}),
        ThreadPoolExecutor(1) as pool,
    ):
        for number in range(1, 11, 2):
            first, second = sorted(fill(dynamodb, table, range(number, number + 2)))
            accepted += first, second
            # The replicator inserts in the order of the ids; this session does not.
            insert(other, second)
            run = pool.submit(service.replicate)
            wait_until(lambda: is_waiting(service))
            try:
                insert(other, first)
                break
            except pg8000.exceptions.DatabaseError:
                # Postgres chose this session as the deadlock's victim. Try again: the replicator
                # must be the victim.
                other.run("ROLLBACK")
                run.result()
                other.run("BEGIN")
        with pytest.raises(UnavailableError):
            run.result()
        assert "deadlock" in "".join(capsys.readouterr())
        other.run("ROLLBACK")
        service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_an_integration_keeps_its_outcomes_while_another_session_holds_a_lock(
    service: Service,
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    other: pg8000.native.Connection,
) -> None:
    legacy.set(latency_ms=20)
    ids = fill(dynamodb, table, range(1, 61))
    service.replicate()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(service.integrate)
        wait_until(lambda: legacy.report()["accepted"] > 0)
        other.run("SELECT FROM integrator_state FOR UPDATE")
        wait_until(lambda: is_waiting(service))
        wait_until(lambda: not is_waiting(service))  # the statement timed out
        other.run("ROLLBACK")
        run.result()
    assert_integrated(service, legacy, ids)
    assert_logged_once(service)
    assert legacy.report()["duplicates"] == 0
