"""Fixtures: the service in this process, with a database and a table for each test."""

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
    """The addresses to which a service without stores tries to connect. Each attempt fails."""
    attempts: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        attempts.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with wired(UNREACHABLE):
        yield attempts


@pytest.fixture
def service(variables: dict[str, str], database: Database, tmp_path: Path) -> Iterator[Service]:
    """The service, newly configured with ``variables``."""
    with wired(variables):
        yield Service.of(database, tmp_path)
