"""What reads may have a connection of its own, such as that of a role with no right to write."""

from pathlib import Path

from chalicelib.postgres.connection import Database
from local.postgres import Postgres
from tests.conftest import create_database
from tests.support.service import Service, wired


def test_queries_read_where_they_are_told_to(
    variables: dict[str, str], database: Database, postgres_server: Postgres, tmp_path: Path
) -> None:
    url = create_database(postgres_server, "elsewhere")
    elsewhere = {**variables, "ODATA_DATABASE_URL": url}
    for environment, count in ((variables, b"1"), (elsewhere, b"0")):
        with wired(environment):
            service = Service.of(database, tmp_path)
            service.accept([7])
            service.replicate()
            answer = service.get("/odata/PointRecords/$count")
            assert (answer.status_code, answer.body) == (200, count)
    assert service.statuses() == {"AWAITING": 1}
