"""Postgres that breaks off, falls silent or refuses: nothing is lost, doubled or logged twice."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pg8000.native
import pytest

from chalicelib import container
from chalicelib.errors import UnavailableError
from chalicelib.postgres import connection
from chalicelib.postgres.connection import Database
from tests.conftest import Legacy, connect
from tests.support.postgres_proxy import Moment, PostgresProxy, running
from tests.support.record_counts import assert_integrated, assert_replicated, buffered_ids, fill
from tests.support.service import Service, wired
from tests.support.waiting import wait_until

RECORDS = range(1, 101)
# More than any lease of the default settings.
LEASES_S = 200.0

ADD = "WITH document"
BEGIN = "INSERT INTO integrator_state"
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
    """The environment of a service that has Postgres behind the proxy, and takes small steps."""
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
    """No transition of a record stands in the log twice."""
    doubled = service.rows(
        "SELECT point_id, attempt, status FROM integration_log"
        " GROUP BY point_id, attempt, status HAVING count(*) > 1"
    )
    assert doubled == []


@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize("moment", Moment)
def test_a_replication_that_is_cut_off_says_so_and_the_next_makes_it_whole(
    service: Service,
    proxy: PostgresProxy,
    dynamodb: Any,
    table: str,
    moment: Moment,
    call: int,
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    proxy.break_off(ADD, moment, call=call)
    with pytest.raises(UnavailableError):
        service.replicate()
    assert proxy.is_spent
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_replication_whose_commit_is_never_answered_ends_in_time(
    service: Service,
    proxy: PostgresProxy,
    dynamodb: Any,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_SOCKET_MARGIN_S", 0.5)
    accepted = fill(dynamodb, table, RECORDS)
    proxy.break_off(ADD, Moment.AFTER_COMMIT, hang=True)
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        service.replicate()
    # The statement's timeout, and the time that its answer may take.
    assert time.monotonic() - started < 0.5 + 0.5 + 2
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_postgres_that_nobody_can_reach_leaves_all_in_the_buffer(
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
    ("statement", "call"), [(BEGIN, 1), (CLAIM, 2), (FLUSH, 1), (FLUSH, 2), (RELEASE, 1), (END, 1)]
)
def test_an_integration_that_is_cut_off_ends_exact(
    service: Service,
    proxy: PostgresProxy,
    legacy: Legacy,
    dynamodb: Any,
    table: str,
    statement: str,
    call: int,
    moment: Moment,
) -> None:
    ids = fill(dynamodb, table, range(1, 201))
    service.replicate()
    # Some fail at first, so that there is more than one kind of row to write twice.
    legacy.set(latency_ms=50, answer={"status": 500, "times": 5})
    proxy.break_off(statement, moment, call=call)
    with suppress(UnavailableError):
        service.integrate()
    assert proxy.is_spent
    for _ in range(2):
        service.let_pass(LEASES_S)
        service.integrate()
    assert_integrated(service, legacy, ids)
    assert_logged_once(service)
    assert legacy.report()["duplicates"] == 0


def raising(sqlstate: str, table: str) -> tuple[str, str]:
    """Statements after which inserting into a table raises this error, and that end it."""
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
        raising("25006", "point_record"),  # read only: a standby, after a failover
        raising("08006", "point_record"),  # connection failure, as a pooler tells it
    ],
    ids=lambda value: value.partition("ERRCODE = ")[2][1:6] or None,
)
def test_what_postgres_cannot_do_now_is_left_for_the_next_run(
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


def test_a_pool_that_is_exhausted_is_an_outage(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    with wired(variables | {"DATABASE_POOL": "1"}):
        with container.database().transaction(), pytest.raises(UnavailableError):
            service.replicate()
        service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_row_that_breaks_a_constraint_is_quarantined_and_its_neighbours_arrive(
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
    """A session that begins a transaction, and is in the way of others until it is rolled back."""
    pool = connect(database_url)
    with suppress(RollBackError), pool.transaction() as session:
        yield session
        raise RollBackError
    pool.close()


class RollBackError(Exception):
    """Ends a transaction that was never to be committed."""


def insert(session: pg8000.native.Connection, record_id: str) -> None:
    session.run(
        "INSERT INTO point_record (id, employee_id, employer_id, included_at, utc_offset_minutes,"
        " created_at) VALUES (CAST(:id AS uuid), 1, 1, now(), 0, now())",
        id=record_id,
    )


def is_waiting(service: Service) -> bool:
    """Say whether a session waits for another's transaction to end."""
    waiting = "SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
    return bool(service.rows(waiting))


def test_a_lock_that_another_holds_too_long_is_an_outage(
    service: Service,
    dynamodb: Any,
    table: str,
    other: pg8000.native.Connection,
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    insert(other, accepted[0])
    with pytest.raises(UnavailableError):
        service.replicate()  # as long as a statement may take, and no longer
    other.run("ROLLBACK")
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_deadlock_is_an_outage(
    service: Service,
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    other: pg8000.native.Connection,
) -> None:
    accepted: list[str] = []
    with (
        wired(variables | {"STATEMENT_TIMEOUT_S": "10", "REPLICATION_SEGMENTS": "1"}),
        ThreadPoolExecutor(1) as pool,
    ):
        for number in range(1, 11, 2):
            first, second = sorted(fill(dynamodb, table, range(number, number + 2)))
            accepted += first, second
            # The replicator goes by the order of the ids; this one does not.
            insert(other, second)
            run = pool.submit(service.replicate)
            wait_until(lambda: is_waiting(service))
            try:
                insert(other, first)
                break
            except pg8000.exceptions.DatabaseError:
                # It came to wait too late for the replicator to find out, so it did itself.
                other.run("ROLLBACK")
                run.result()
                other.run("BEGIN")
        with pytest.raises(UnavailableError) as caught:
            run.result()
        assert "deadlock" in str(caught.value.__cause__)
        other.run("ROLLBACK")
        service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_an_integration_keeps_what_it_cannot_write_while_another_holds_a_lock(
    service: Service,
    legacy: Legacy,
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
        wait_until(lambda: not is_waiting(service))  # a statement may take no longer
        other.run("ROLLBACK")
        run.result()
    assert_integrated(service, legacy, ids)
    assert_logged_once(service)
    assert legacy.report()["duplicates"] == 0
