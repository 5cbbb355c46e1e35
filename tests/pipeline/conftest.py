"""The service in this process, on engines of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.postgres.connection import Database
from tests.conftest import Legacy
from tests.pipeline.service import Service, environment, wired


@pytest.fixture
def variables(dynamodb_url: str, table: str, database_url: str, legacy: Legacy) -> dict[str, str]:
    """The environment of the service."""
    return environment(dynamodb=dynamodb_url, table=table, postgres=database_url, legacy=legacy.url)


@pytest.fixture
def service(variables: dict[str, str], database: Database, tmp_path: Path) -> Iterator[Service]:
    """The service, wired anew."""
    with wired(variables):
        yield Service.of(database, tmp_path)
