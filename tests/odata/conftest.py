"""Fixtures: the data set in its own database, and clients of a service that reads it."""

from collections.abc import Callable, Iterator

import pytest

from chalicelib.odata.reads import ODataService
from chalicelib.postgres.connection import Database
from chalicelib.postgres.read_session import ReadSession
from chalicelib.settings import Settings
from local.postgres import Postgres
from tests.conftest import connect, create_database
from tests.support.odata import dataset
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet


@pytest.fixture(scope="session")
def data() -> DataSet:
    """The data set."""
    return DataSet(dataset.build())


@pytest.fixture(scope="session")
def filled(postgres_server: Postgres, data: DataSet) -> Iterator[Database]:
    """A database with the data set. Tests must not write to it."""
    database = connect(create_database(postgres_server, "odata"))
    dataset.store(data.records, database)
    with database.transaction() as connection:
        connection.run("ANALYZE")
    yield database
    database.close()


@pytest.fixture(scope="session")
def client(filled: Database) -> Client:
    """A client of a service with the default settings."""
    return Client(ODataService(ReadSession(filled, 10), Settings()))


@pytest.fixture(scope="session")
def client_of(filled: Database) -> Callable[[Settings], Client]:
    """Build a client of a service with given settings."""
    return lambda settings: Client(
        ODataService(ReadSession(filled, settings.odata_timeout_s), settings)
    )
