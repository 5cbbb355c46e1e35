"""Take a test's database back to an earlier state, as a restore of RDS to a point in time does."""

from local.postgres import Postgres
from tests.conftest import run_statement
from tests.support.service import Service, reset_container


class Backup:
    """A copy of a database, as it was when the copy was made.

    Args:
        server: the server of the database.
        service: the service that uses it. Its connections are closed, since Postgres copies no
            database that is in use.
    """

    def __init__(self, server: Postgres, service: Service) -> None:
        self._server, self._service = server, service
        ((self._name,),) = service.rows("SELECT current_database()")
        self._copy(self._name, f"{self._name}_backup")

    def restore(self) -> None:
        """Replace the database by the copy."""
        self._copy(f"{self._name}_backup", self._name)

    def remove(self) -> None:
        """Delete the copy."""
        run_statement(self._server, f"DROP DATABASE IF EXISTS {self._name}_backup WITH (FORCE)")

    def _copy(self, source: str, target: str) -> None:
        reset_container()
        self._service.database.close()
        run_statement(self._server, f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        run_statement(
            self._server, f"CREATE DATABASE {target} TEMPLATE {source} STRATEGY file_copy"
        )
