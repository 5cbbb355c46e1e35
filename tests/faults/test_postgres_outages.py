"""Outages of Postgres during a run: no record is lost, duplicated or stuck."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib import container
from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from local.postgres import Postgres
from tests.conftest import SimulatedLegacy
from tests.support import killed_process
from tests.support.record_counts import assert_integrated, assert_replicated, fill
from tests.support.service import Service
from tests.support.waiting import wait_until

DEADLINE_S = 20


def stop(server: Postgres) -> None:
    """Stop the server: it aborts open transactions, writes everything and exits."""
    server.child.stop()


def crash(server: Postgres) -> None:
    """Shut the server down immediately (SIGQUIT): it must recover when it starts again."""
    os.kill(server.child.pid, signal.SIGQUIT)


@pytest.fixture
def server(postgres_server: Postgres, database: Database) -> Iterator[Postgres]:
    """The server of the test database, restarted after the test.

    Tests run with ``synchronous_commit = off`` for speed. Here it is on: commits survive a crash.
    """
    with database.transaction() as connection:
        ((name,),) = connection.run("SELECT current_database()")
        connection.run(f"ALTER DATABASE {name} SET synchronous_commit = on")
    database.close()
    yield postgres_server
    restart(postgres_server)


def restart(server: Postgres) -> None:
    server.child.stop()
    server.child.start()
    server.child.wait_ready()


@pytest.mark.parametrize("end", [stop, crash])
def test_a_replication_that_loses_postgres_fails_and_the_next_run_completes_it(
    server: Postgres,
    service: Service,
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    end: Callable[[Postgres], None],
) -> None:
    accepted = fill(dynamodb, table, range(1, 1_001))
    small = variables | {"REPLICATION_PAGE": "25", "REPLICATION_DELETERS": "2"}
    process = killed_process.start("replicate", small)
    wait_until(lambda: bool(service.statuses()))
    end(server)
    process.join(DEADLINE_S)
    # The run fails, so Lambda counts an error, and an alarm can watch that metric.
    assert process.exitcode == 1
    restart(server)
    assert 0 < service.statuses()["AWAITING"] < 1_000
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_a_standby_serves_reads_and_after_its_promotion_writes(
    server: Postgres, engines: Path, service: Service, dynamodb: Any, table: str
) -> None:
    """One process goes on while its server restarts as a standby, and is promoted."""
    data = engines / "postgres"

    def reading_backend() -> int:
        with container.database().transaction(read_only=True) as session:
            ((pid,),) = session.run("SELECT pg_backend_pid()")
        return int(pid)

    accepted = fill(dynamodb, table, range(1, 11))
    service.replicate()
    accepted += fill(dynamodb, table, range(11, 21))
    (data / "standby.signal").touch()
    restart(server)
    with pytest.raises(UnavailableError):
        service.replicate()
    read = "/odata/PointRecords?$count=true&$top=0"
    assert service.get(read).json_body["@odata.count"] == 10
    assert reading_backend() != reading_backend()  # no session with a standby is used twice
    (data / "promote").touch()
    os.kill(server.child.pid, signal.SIGUSR1)
    wait_until(lambda: not (data / "standby.signal").exists())
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)
    assert reading_backend() == reading_backend()


@pytest.mark.parametrize("end", [stop, crash])
def test_an_integration_survives_a_restart_of_postgres(
    server: Postgres,
    service: Service,
    variables: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    end: Callable[[Postgres], None],
) -> None:
    legacy.set(latency_ms=20)
    ids = fill(dynamodb, table, range(1, 301))
    service.replicate()
    process = killed_process.start("integrate", variables)
    wait_until(lambda: legacy.report()["accepted"] > 20)
    end(server)
    restart(server)
    process.join(60)
    assert process.exitcode == 0
    assert_integrated(service, legacy, ids)
    # The run kept the outcomes that it could not write, and sent no record twice.
    assert legacy.report()["duplicates"] == 0


def test_an_integration_without_postgres_ends_at_its_deadline_and_loses_nothing(
    server: Postgres,
    service: Service,
    variables: dict[str, str],
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
) -> None:
    legacy.set(latency_ms=20)
    ids = fill(dynamodb, table, range(1, 301))
    service.replicate()
    short = variables | {"LEGACY_CALL_TIMEOUT_S": "1", "DATABASE_CONNECT_TIMEOUT_S": "1"}
    started = time.monotonic()
    process = killed_process.start("integrate", short, seconds=6)
    wait_until(lambda: legacy.report()["accepted"] > 20)
    stop(server)
    process.join(DEADLINE_S)
    assert process.exitcode == 1
    assert time.monotonic() - started < 6 + 3  # the run's deadline, plus the start of the process
    restart(server)
    service.advance_time(200)
    service.integrate()
    assert_integrated(service, legacy, ids)
