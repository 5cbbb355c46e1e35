"""Read from the replica: one statement at a time, that can change nothing and takes a bounded time.

Promises that whatever Postgres refuses for the sake of the values becomes the client's error, with
a sentence of ours. What the statement asks for is the caller's business.
"""

import time
from contextlib import AbstractContextManager
from typing import Any

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from chalicelib.errors import InvalidError, UnavailableError
from chalicelib.postgres.connection import Database, sqlstate
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.principal import Principal

# What the values of a query can bring about, by SQLSTATE:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_FAULTS_OF_VALUES = {
    "22003": "A number goes out of the range of its type.",
    "22008": "A date or an instant goes out of its range.",
    "22012": "A number is divided by zero.",
    "22015": "A duration goes out of its range.",
    "22011": "A length is negative.",
    "2201B": "A pattern is not a regular expression.",
    "54001": "The query is too complex.",
    "54000": "The query is too complex.",
}
# Text that cannot be read as a value, data that is too large: in any case, the values are at fault.
_DATA_EXCEPTION = "22"


class ReadSession:
    """Runs read-only statements, each as the role of the principal that it is for.

    The policies of the tables let that role see nothing but the principal's own, whatever the
    statement asks for: docs/decisions/0013-row-security.md.

    Args:
        database: the connections to use.
        timeout_s: Postgres cancels a statement that runs longer.
    """

    def __init__(self, database: Database, timeout_s: float) -> None:
        self._database = database
        self._timeout_s = timeout_s

    def row(self, sql: str, parameters: QueryParameters, until: float | None = None) -> list[Any] | None:
        """Run one statement and return its first row, or None where it has none.

        Args:
            sql: names its parameters ``$1``, ``$2`` …, each within a CAST.
            parameters: their values, as Postgres reads them from text, and for whom it reads.
            until: the instant of ``time.monotonic()`` at which Postgres gives up, if that is before
                the timeout.

        Raises:
            InvalidError: the values made it fail: out of range, division by zero, no such pattern.
            UnavailableError: Postgres cannot be reached, or the statement takes too long.
        """
        left_s = self._timeout_s
        if until is not None:
            left_s = min(left_s, until - time.monotonic())
        if left_s <= 0:
            raise UnavailableError("There was no time left for the query. Ask for less.")
        try:
            with self._transaction(parameters.principal, left_s) as connection:
                # run() would look for :names in every character of the statement, which takes
                # longer than the statement itself.
                rows = connection.execute_unnamed(sql, parameters).rows
        except DatabaseError as error:
            raise as_client_error(error) from error
        return rows[0] if rows else None

    def _transaction(
        self, principal: Principal, timeout_s: float
    ) -> AbstractContextManager[Connection]:
        return self._database.transaction(
            read_only=True,
            statement_timeout_s=timeout_s,
            role=f"punch_clock_{principal.role}",
            settings={f"punch_clock.{name}": value for name, value in principal.bounds},
        )


def as_client_error(error: Exception) -> Exception:
    """Return our own error for one of Postgres, or the same where it is no fault of the query."""
    state = sqlstate(error)
    if state in _FAULTS_OF_VALUES:
        return InvalidError(_FAULTS_OF_VALUES[state])
    if state.startswith(_DATA_EXCEPTION):
        return InvalidError("A value of the query is not one that can be computed with.")
    return error
