"""Fixtures: a service with records, in a process of its own, that real clients use over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

import app
from local.child_process import PROJECT
from local.dynamodb import server as dynamodb_server
from local.postgres import Postgres
from local.services import start_api
from tests.conftest import create_database
from tests.support.http_server import serving
from tests.support.lambda_events import context, schedule_event
from tests.support.service import environment, punch, wired
from tests.support.tokens import OPERATOR

RECORDS = 25
PAGE = 10
JAVASCRIPT = PROJECT / "clients/javascript"


@dataclass(frozen=True)
class Stack:
    """A service over HTTP.

    Attributes:
        url: the URL of the API.
        ids: the ids of the records that exist from the start, by employee id (1 to ``RECORDS``).
        variables: the environment of the service.
    """

    url: str
    ids: dict[int, str]
    variables: dict[str, str]

    @property
    def root(self) -> str:
        """The OData service root."""
        return f"{self.url}/odata"

    def replicate(self) -> None:
        with wired(self.variables):
            app.replicate(schedule_event(), context(60))


class _PageHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="session")
def page_origin() -> Iterator[str]:
    """The origin of a web server that has the files of ``clients/javascript``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_PageHandler, directory=JAVASCRIPT))
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(scope="session")
def stack(
    postgres_server: Postgres,
    dynamodb_url: str,
    dynamodb: Any,
    tmp_path_factory: Any,
    page_origin: str,
) -> Iterator[Stack]:
    """A service with replicated records of one employer; every second record has a device."""
    home: Path = tmp_path_factory.mktemp("clients")
    database_url = create_database(postgres_server, "clients")
    dynamodb_server.create_table(dynamodb, "clients")
    variables = _environment(dynamodb_url, "clients", database_url) | {"CORS_ORIGINS": page_origin}
    child, url = start_api(home, 0, variables)
    try:
        bodies = [
            punch(n, latitude=n / 2, **({"deviceId": f"phone {n}'s"} if n % 2 else {}))
            for n in range(1, RECORDS + 1)
        ]
        response = requests.post(f"{url}/point-record", json=bodies, headers=OPERATOR, timeout=30)
        records = [each["record"] for each in response.json()]
        stack = Stack(url, {each["employeeId"]: each["id"] for each in records}, variables)
        stack.replicate()
        yield stack
    finally:
        child.stop()


@pytest.fixture(scope="session")
def empty_stack(
    postgres_server: Postgres, dynamodb_url: str, dynamodb: Any, tmp_path_factory: Any
) -> Iterator[Stack]:
    """A service without records, whose tests may post any: they have ids of their own."""
    home: Path = tmp_path_factory.mktemp("posted")
    log = home / "accepted.log"
    log.touch()
    database_url = create_database(postgres_server, "posted")
    dynamodb_server.create_table(dynamodb, "posted")
    variables = _environment(dynamodb_url, "posted", database_url) | {"ACCEPTED_LOG": f"file:{log}"}
    child, url = start_api(home, 0, variables)
    yield Stack(url, {}, variables)
    child.stop()


def _environment(dynamodb_url: str, table: str, database_url: str) -> dict[str, str]:
    return environment(
        dynamodb=dynamodb_url, table=table, postgres=database_url, legacy="http://127.0.0.1:9"
    ) | {"ODATA_PAGE": str(PAGE), "CLOCK_SKEW_S": "1"}
