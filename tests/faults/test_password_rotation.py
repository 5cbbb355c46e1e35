"""The passwords of the database are rotated under load, as docs/operations.md says.

One process accepts, replicates, integrates and serves queries without a break. Its logins are
locked out, ended by force and dropped. Nothing is lost, and no tick fails twice in a row.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib import container
from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database
from local.postgres import Postgres
from tests.conftest import SimulatedLegacy
from tests.support.database_roles import (
    READER,
    READER_B,
    WRITER,
    WRITER_B,
    Master,
    roles_removed,
)
from tests.support.record_counts import assert_integrated, fill
from tests.support.service import Service, error_of
from tests.support.waiting import wait_until

LOGIN_CHANGED = "the login of the database has changed"
# Longer than every lease of the default settings.
LEASES_S = 200.0


@pytest.fixture
def database_url(postgres_server: Postgres, database_url: str) -> Iterator[str]:
    """A database with the documented roles. The tests read and change it as the master user."""
    with roles_removed(postgres_server):
        Master(postgres_server, urlsplit(database_url).path[1:]).make_roles()
        yield database_url
        # The database owns nothing of the master user any more, who drops it as its owner's member.
        Master(postgres_server, "punchclock").psql(
            f"DROP DATABASE {urlsplit(database_url).path[1:]} WITH (FORCE);"
            f"CREATE DATABASE {urlsplit(database_url).path[1:]}"
        )


class Secrets:
    """The two secrets of the service, as files in the form of RDS."""

    def __init__(self, master: Master, directory: Path) -> None:
        self._master = master
        self.writer, self.reader = directory / "writer.json", directory / "reader.json"

    def put(self, secret: Path, login: str) -> None:
        url = urlsplit(self._master.url(login))
        members = {
            "username": url.username,
            "password": url.password,
            "engine": "postgres",
            "host": url.hostname,
            "port": url.port,
            "dbname": url.path.lstrip("/"),
        }
        new = secret.with_suffix(".new")
        new.write_text(json.dumps(members))
        new.rename(secret)


@pytest.fixture
def master(postgres_server: Postgres, database_url: str) -> Master:
    return Master(postgres_server, urlsplit(database_url).path[1:])


@pytest.fixture
def secrets(master: Master, tmp_path: Path) -> Secrets:
    secrets = Secrets(master, tmp_path)
    secrets.put(secrets.writer, WRITER)
    secrets.put(secrets.reader, READER)
    return secrets


@pytest.fixture
def variables(variables: dict[str, str], secrets: Secrets) -> dict[str, str]:
    return variables | {
        "DATABASE_URL": f"file:{secrets.writer}",
        "ODATA_DATABASE_URL": f"file:{secrets.reader}",
        "REPLICATION_MARGIN_S": "0.5",
        # A run whose last statement was interrupted leaves its lease.
        "RUN_LEASE_S": "3",
    }


class Stream:
    """Calls a function again and again in a thread, and keeps whether each call succeeded."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._ended = threading.Event()
        self.succeeded: list[bool] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._call()
            except UnavailableError:
                self.succeeded.append(False)
            except BaseException as error:  # noqa: BLE001 - ``end`` raises it
                self.error = error
                return
            else:
                self.succeeded.append(True)
            time.sleep(0.02)

    def wait_for_more(self, calls: int = 3) -> None:
        """Wait until further calls have succeeded."""
        before = sum(self.succeeded)
        wait_until(lambda: self.error or sum(self.succeeded) >= before + calls)

    def end(self) -> None:
        """End the thread; check that no two calls in a row failed."""
        self._ended.set()
        self._thread.join()
        if self.error:
            raise self.error
        pairs = zip(self.succeeded, self.succeeded[1:], strict=False)
        assert all(first or second for first, second in pairs), self.succeeded


def test_passwords_are_rotated_under_load_and_nothing_is_lost(
    service: Service,
    database: Database,
    master: Master,
    secrets: Secrets,
    legacy: SimulatedLegacy,
    dynamodb: Any,
    table: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    legacy.set(latency_ms=5)
    employees = count(1)
    ids: list[str] = []

    def punch() -> None:
        ids.extend(fill(dynamodb, table, [next(employees) for _ in range(3)]))

    def query() -> None:
        response = service.get("/odata/PointRecords?$top=1&$orderby=id")
        if response.status_code == 503:
            assert "Request less" not in error_of(response)["message"]
            assert int(response.headers["Retry-After"]) >= 1
            raise UnavailableError("503")
        assert response.status_code == 200

    def replicate() -> None:
        service.replicate(seconds=0.7)  # while punches come, it would not end

    # Threads that build a pool at the same time would build two.
    container.database()
    container.queried_database()
    # While punches come, a run of the integrator goes on, so its deliveries are counted.
    streams = [Stream(each) for each in (punch, service.integrate, replicate, query)]

    def wait_for_more() -> None:
        for stream in streams[2:]:
            stream.wait_for_more()
        delivered = legacy.report()["accepted"]
        wait_until(lambda: legacy.report()["accepted"] >= delivered + 5)

    try:
        wait_for_more()
        for secret, old, new in (
            (secrets.writer, WRITER, WRITER_B),
            (secrets.reader, READER, READER_B),
        ):
            master.let_in(new)
            secrets.put(secret, new)
            master.lock_out(old)
            assert master.sessions(old) == 0
        wait_for_more()
        for secret, old, new in (
            (secrets.writer, WRITER_B, WRITER),
            (secrets.reader, READER_B, READER),
        ):
            master.let_in(new)
            secrets.put(secret, new)
            wait_for_more()  # the old login is still in use
            assert master.sessions(old) > 0
            master.lock_out(old, by_force=True)
            master.psql(f"DROP ROLE {old}")
        wait_for_more()
    finally:
        for stream in streams:
            stream.end()
    service.advance_time(LEASES_S)
    service.replicate()
    service.integrate()
    assert_integrated(service, legacy, ids)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    changes = [each["user"] for each in lines if each["message"] == LOGIN_CHANGED]
    assert sorted(changes) == sorted([WRITER_B, WRITER, READER_B, READER])
    assert "secret-" not in json.dumps(lines)


def test_sessions_of_a_dropped_login_are_replaced(
    service: Service, master: Master, secrets: Secrets, dynamodb: Any, table: str
) -> None:
    """The documents say to end its sessions first. Here an operator forgets it."""
    fill(dynamodb, table, [1])
    service.replicate()
    fill(dynamodb, table, [2])
    master.let_in(WRITER_B)
    secrets.put(secrets.writer, WRITER_B)
    master.psql(f"DROP ROLE {WRITER}")
    with pytest.raises(UnavailableError):
        service.replicate()
    service.replicate()
    assert service.statuses() == {"AWAITING": 2}
