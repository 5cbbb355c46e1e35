"""The engines a bench runs on: the same as those of the tests and of ``make run``."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib import container
from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import migrate
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
def engines() -> Iterator[Engines]:
    """Start the engines and stop them at the end; their data go with them."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL has an account of its own
        server = postgres.start(home)
        try:
            database = Database(server.url(), pool=8, connect_timeout_s=5, statement_timeout_s=900)
            migrate(database)
            child, url = dynamodb_server.start(home)
            try:
                client = dynamodb_server.connect(url)
                dynamodb_server.create_table(client, TABLE)
                yield Engines(home, server.url(), database, url, client)
            finally:
                child.stop()
        finally:
            server.child.stop()


@contextmanager
def service_on(found: Engines, **variables: str) -> Iterator[None]:
    """Let the service in this process use the engines; what it logs goes to a file beside them."""
    os.environ |= dynamodb_server.CREDENTIALS | {
        "AWS_ENDPOINT_URL_DYNAMODB": found.dynamodb_url,
        "POINT_RECORD_TABLE": TABLE,
        **variables,
    }
    with (found.home / "service.log").open("w") as log:
        with redirect_stdout(log):
            container.settings()  # which says where the log goes
        yield
