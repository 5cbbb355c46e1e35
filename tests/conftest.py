"""Fixtures of every test: real engines, started once, and a database and table for each test."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import settings as hypothesis_settings

from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import migrate
from chalicelib.postgres.partitions import keep_partitions
from local import postgres
from local.dynamodb import server as dynamodb_server
from local.legacy.settings import LegacySettings
from local.loopback import PORTS_VARIABLE, bypass_proxies, share_of_ports
from local.postgres import Postgres
from local.services import start_legacy
from tests.support.issuer import Issuer
from tests.support.reused_database import empty, schema_of

_numbers = count(1)

_TESTS = Path(__file__).parent
# Fixtures that start an engine. Every other fixture with an engine depends on one of these.
_ENGINE_FIXTURES = {"engines", "packaged", "process"}
# Directories whose tests start processes or install packages without such a fixture.
_ENGINE_DIRECTORIES = [
    _TESTS / name for name in ("aws", "chaos", "clients", "local_stack", "stores/simulated_legacy")
]

bypass_proxies()
# Workers of pytest-xdist start servers at the same time: each has its own ports.
os.environ[PORTS_VARIABLE] = share_of_ports(
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")),
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
)
# The time of an example depends on what else the machine does.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test that needs an engine, directly or through its fixtures, as ``engines``.

    Tests marked ``soak`` run only if the variable SOAK is set.
    """
    if not os.environ.get("SOAK"):
        config.hook.pytest_deselected(items=[each for each in items if _is_soak(each)])
        items[:] = [each for each in items if not _is_soak(each)]
    for item in items:
        fixtures = _ENGINE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if fixtures or any(item.path.is_relative_to(each) for each in _ENGINE_DIRECTORIES):
            item.add_marker(pytest.mark.engines)


def _is_soak(item: pytest.Item) -> bool:
    return item.get_closest_marker("soak") is not None


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of this session's engines. Their logs are in ``log``."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def postgres_server(engines: Path) -> Iterator[Postgres]:
    """A PostgreSQL server with one migrated database, ``template``."""
    server = postgres.start(engines, settings=postgres.FAST)
    try:
        run_statement(server, "CREATE DATABASE template")
        template = connect(server.url("template"))
        migrate(template)
        keep_partitions(template, datetime.now(UTC), 62)
        template.close()  # Postgres cannot copy a database that is in use
        yield server
    finally:
        server.child.stop()


@dataclass
class Databases:
    """The databases of past tests that are as good as new, and the schema of a new one."""

    names: list[str] = field(default_factory=list)
    schema: str = ""


@pytest.fixture(scope="session")
def databases() -> Databases:
    """The databases that tests hand on."""
    return Databases()


@pytest.fixture
def database_url(postgres_server: Postgres, databases: Databases) -> Iterator[str]:
    """The URI of a migrated, empty database for this test only."""
    if databases.names:
        name = databases.names.pop()
    else:
        name = f"test_{next(_numbers)}"
        create_database(postgres_server, name)
        databases.schema = databases.schema or schema_of(postgres_server, name)
    yield postgres_server.url(name)
    if empty(postgres_server, name, databases.schema):
        databases.names.append(name)
    else:
        run_statement(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool of connections to ``database_url``."""
    database = connect(database_url)
    yield database
    database.close()


def create_database(server: Postgres, name: str) -> str:
    """Create a migrated, empty database, and return its URI; first drop one of the same name.

    A pytest worker may create the database of a module twice, because tests move between workers.
    """
    run_statement(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    run_statement(server, f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
    return server.url(name)


def connect(url: str) -> Database:
    """Connect to a database. A test may hold a transaction open while it waits for others."""
    return Database(url, pool=8, connect_timeout_s=5, statement_timeout_s=30, idle_timeout_s=60)


@pytest.fixture(scope="session")
def dynamodb_url(engines: Path) -> Iterator[str]:
    """The URL of a DynamoDB endpoint that keeps its tables in memory."""
    child, url = dynamodb_server.start(engines, keep=False)
    yield url
    child.stop()


@pytest.fixture(scope="session")
def dynamodb(dynamodb_url: str) -> Iterator[Any]:
    """A boto3 client of the DynamoDB endpoint."""
    client = dynamodb_server.connect(dynamodb_url)
    yield client
    client.close()


@pytest.fixture
def table(dynamodb: Any) -> Iterator[str]:
    """The name of an empty table for this test only, with the schema of the buffer."""
    name = f"point_record_{next(_numbers)}"
    dynamodb_server.create_table(dynamodb, name)
    yield name
    dynamodb.delete_table(TableName=name)


@pytest.fixture(scope="session")
def key_table(dynamodb: Any) -> str:
    """The name of the table of issuers' keys. Each test has an issuer with a URL of its own."""
    name = "issuer_keys"
    dynamodb_server.create_table(dynamodb, name, key="url")
    return name


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A token issuer that publishes the key ``a``."""
    with Issuer("a").running() as issuer:
        yield issuer


class SimulatedLegacy:
    """A process of the simulated legacy.

    Attributes:
        base_url: the URL of its settings and reports.
        url: the URL to which point records are POSTed.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._start()

    def _start(self) -> None:
        self._child, self.base_url = start_legacy(self._home, keep=False)
        self.url = f"{self.base_url}/point-records"

    def set(self, **settings: object) -> None:
        """Change the given settings (see ``local.legacy.settings``) and keep the others."""
        requests.put(f"{self.base_url}/settings", json=settings, timeout=10).raise_for_status()

    def report(self) -> dict[str, Any]:
        """Return the counts since the test began."""
        response = requests.get(f"{self.base_url}/report", timeout=10)
        response.raise_for_status()
        return response.json()

    def accepted_ids(self) -> list[str]:
        """Return the ids of the accepted records."""
        response = requests.get(f"{self.base_url}/report/keys", timeout=10)
        response.raise_for_status()
        return response.text.split()

    def reset(self) -> None:
        """Return to the state of a new process; start one if calls are in flight."""
        try:
            self.set(**asdict(LegacySettings()))
            requests.post(f"{self.base_url}/reset", timeout=10).raise_for_status()
            is_idle = self.report()["in_flight"] == 0
        except requests.ConnectionError:  # an outage still refuses connections
            is_idle = False
        if not is_idle:
            self.stop()
            self._start()

    def stop(self) -> None:
        self._child.stop(timeout_s=1)


@pytest.fixture(scope="session")
def _legacy(engines: Path) -> Iterator[SimulatedLegacy]:
    legacy = SimulatedLegacy(engines)
    yield legacy
    legacy.stop()


@pytest.fixture
def legacy(_legacy: SimulatedLegacy) -> SimulatedLegacy:
    """A simulated legacy with default settings and nothing accepted."""
    _legacy.reset()
    return _legacy


def run_statement(server: Postgres, statement: str) -> None:
    """Run a statement that Postgres does not allow in a transaction."""
    connection = server.connect()
    try:
        connection.run(statement)
    finally:
        connection.close()
