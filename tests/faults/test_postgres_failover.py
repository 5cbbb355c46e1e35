"""Failovers: the pool gives up sessions of a server that has become read-only.

A server that was the writer accepts connections and rejects writes. The tests make the database
read-only for new sessions, and end the old ones. As after a failover, a session that began
read-only stays so after the database has become writable.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import app
from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from tests.conftest import SimulatedLegacy
from tests.support.lambda_events import context
from tests.support.record_counts import assert_integrated
from tests.support.service import Service
from tests.support.tokens import operator_event
from tests.support.waiting import wait_until

UNAVAILABLE = "the database is unavailable"


class Server:
    """A database that can become read-only, and writable again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def demote(self) -> None:
        """Reject writes of new sessions, and end all other sessions."""
        self._run("ALTER DATABASE {name} SET default_transaction_read_only = on")
        self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )

    def promote(self) -> None:
        """Accept writes of new sessions."""
        self._run("ALTER DATABASE {name} RESET default_transaction_read_only")

    def _run(self, statement: str) -> None:
        with self._database.transaction() as session:
            ((name,),) = session.run("SELECT current_database()")
            session.run(statement.format(name=name))


@pytest.fixture
def server(database: Database) -> Iterator[Server]:
    server = Server(database)
    server.promote()  # opens the session of the test, which stays writable
    yield server
    server.promote()


def test_schedules_and_commands_of_a_process_go_on_after_a_failover(
    service: Service, server: Server, legacy: SimulatedLegacy
) -> None:
    """One process runs all of them, so they share a pool of connections."""
    ids = service.accept(range(1, 21))
    service.replicate()
    ids += service.accept(range(21, 41))
    server.demote()
    for run in (
        service.replicate,
        service.integrate,
        lambda: app.replay(operator_event(filter="true"), context()),
        lambda: app.release(operator_event(quarantineId=1), context()),
        service.replicate,
    ):
        with pytest.raises(UnavailableError) as raised:
            run()
        assert "Request less" not in raised.value.message
    # Reads go on: of records in either store, of collections, and of the counts.
    # Their session begins read-only, and no write uses it afterwards.
    for path in (
        f"/point-record/{ids[0]}",
        f"/point-record/{ids[-1]}",
        "/odata/PointRecords?$count=true",
        "/health",
    ):
        assert service.get(path).status_code == 200, path
    ids += service.accept(range(41, 51))
    server.promote()
    service.replicate()
    service.integrate()
    assert_integrated(service, legacy, ids)


def test_a_run_of_the_integrator_goes_on_after_a_failover(
    service: Service,
    server: Server,
    legacy: SimulatedLegacy,
    capsys: pytest.CaptureFixture[str],
) -> None:
    legacy.set(latency_ms=20)
    ids = service.accept(range(1, 101))
    service.replicate()
    capsys.readouterr()

    def failures() -> int:
        lines.extend(capsys.readouterr().out.splitlines())
        return sum(json.loads(line)["message"] == UNAVAILABLE for line in lines)

    lines: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(service.integrate)
        wait_until(lambda: legacy.report()["accepted"] > 20)
        server.demote()
        wait_until(lambda: failures() >= 2)  # the session ended, and a new one is read-only
        server.promote()
        run.result()
    assert_integrated(service, legacy, ids)
    assert legacy.report()["duplicates"] == 0
