"""The service in this process, on engines of the test's own."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.postgres.connection import Database
from tests.conftest import SimulatedLegacy
from tests.support.service import UNREACHABLE, Service, environment, wired


@pytest.fixture
def variables(
    dynamodb_url: str, table: str, database_url: str, legacy: SimulatedLegacy
) -> dict[str, str]:
    """The environment of the service."""
    return environment(dynamodb=dynamodb_url, table=table, postgres=database_url, legacy=legacy.url)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A service that reaches no store: whatever it tries to connect to is noted."""
    tried: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with wired(UNREACHABLE):
        yield tried


@pytest.fixture
def service(variables: dict[str, str], database: Database, tmp_path: Path) -> Iterator[Service]:
    """The service, wired anew."""
    with wired(variables):
        yield Service.of(database, tmp_path)
