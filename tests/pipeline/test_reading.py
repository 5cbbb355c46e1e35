"""Queries may use a database connection of their own, such as one of a read-only role."""

from pathlib import Path

from chalicelib.postgres.connection import Database
from local.postgres import Postgres
from tests.conftest import create_database
from tests.support.service import Service, wired


def test_queries_use_the_odata_database_if_it_is_set(
    variables: dict[str, str], database: Database, postgres_server: Postgres, tmp_path: Path
) -> None:
    empty_url = create_database(postgres_server, "elsewhere")
    elsewhere = {**variables, "ODATA_DATABASE_URL": empty_url}
    for environment, count in ((variables, b"1"), (elsewhere, b"0")):
        with wired(environment):
            service = Service.of(database, tmp_path)
            service.accept([7])
            service.replicate()
            response = service.get("/odata/PointRecords/$count")
            assert (response.status_code, response.body) == (200, count)
    assert service.statuses() == {"AWAITING": 1}
