"""Start the engines of a benchmark: those of the tests and of ``make run``."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chalicelib import container
from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import migrate
from chalicelib.postgres.partitions import keep_partitions
from chalicelib.settings import Settings
from local import postgres
from local.dynamodb import server as dynamodb_server

TABLE = "point_record"


@dataclass(frozen=True, slots=True)
class Engines:
    """A migrated PostgreSQL and a DynamoDB endpoint with an empty table, both on disk."""

    home: Path
    database_url: str
    database: Database
    dynamodb_url: str
    dynamodb: Any


@contextmanager
def postgres_with_tables(home: Path) -> Iterator[tuple[str, Database]]:
    """Start PostgreSQL in a directory; yield the URL of its database, and the migrated database."""
    home.chmod(0o755)  # PostgreSQL runs under its own account
    server = postgres.start(home)
    try:
        database = Database(server.url(), pool=8, connect_timeout_s=5, statement_timeout_s=900)
        migrate(database)
        keep_partitions(database, datetime.now(UTC), Settings().retention_months)
        yield server.url(), database
    finally:
        server.child.stop()


@contextmanager
def engines() -> Iterator[Engines]:
    """Start the engines; stop them and delete their data at the end."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        with postgres_with_tables(home) as (database_url, database):
            child, url = dynamodb_server.start(home)
            try:
                client = dynamodb_server.connect(url)
                dynamodb_server.create_table(client, TABLE)
                yield Engines(home, database_url, database, url, client)
            finally:
                child.stop()


@contextmanager
def service_on(stores: Engines, **variables: str) -> Iterator[None]:
    """Connect the service in this process to the engines; send its log to a file."""
    os.environ |= dynamodb_server.CREDENTIALS | {
        "AWS_ENDPOINT_URL_DYNAMODB": stores.dynamodb_url,
        "POINT_RECORD_TABLE": TABLE,
        **variables,
    }
    with (stores.home / "service.log").open("w") as log:
        with redirect_stdout(log):
            container.settings()  # configures logging
        yield
