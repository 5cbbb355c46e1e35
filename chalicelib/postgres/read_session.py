"""Run the statements of queries: one at a time, read-only, and under a timeout.

Invariant: an error that the values of a query cause becomes a client error with a message of ours.
Postgres' own message never reaches the client. The caller decides what a statement selects.
"""

import time
from contextlib import AbstractContextManager
from typing import Any

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from chalicelib.errors import InvalidError, UnavailableError
from chalicelib.postgres import sqlstate
from chalicelib.postgres.connection import Database
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.principal import Principal

# The errors that values of a query can cause, by SQLSTATE:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CLIENT_ERRORS = {
    "22003": "A number is out of range for its type.",
    "22008": "A date, an instant or a duration is out of range.",
    "22012": "The query divides by zero.",
    "22015": "A duration is out of range.",
    "22011": "The length of a substring is negative.",
    "2201B": "A pattern is not a valid regular expression.",
    "54001": "The query is too complex.",
    "54000": "The query is too complex.",
}
# The class of all other data exceptions, such as text that cannot be parsed or a value that is too
# large. The values of the query are at fault in each.
_DATA_EXCEPTION = "22"


class ReadSession:
    """Runs read-only statements, each as the database role of its principal.

    Row security shows that role only the principal's rows, even if the statement selects others:
    docs/decisions/0013-row-security.md.

    Args:
        database: the connections to use.
        timeout_s: Postgres cancels a statement that runs longer.
    """

    def __init__(self, database: Database, timeout_s: float) -> None:
        self._database = database
        self._timeout_s = timeout_s

    def row(
        self, sql: str, parameters: QueryParameters, until: float | None = None
    ) -> list[Any] | None:
        """Run one statement and return its first row; None if it has no rows.

        Args:
            sql: the statement, with parameters ``$1``, ``$2`` …, each within a CAST.
            parameters: the values in Postgres' text format, and the principal to read for.
            until: the deadline on ``time.monotonic()``, if it is earlier than the timeout.

        Raises:
            InvalidError: a value made the statement fail: out of range, division by zero, an
                invalid regular expression.
            UnavailableError: Postgres cannot be reached, or the statement timed out.
        """
        left_s = self._timeout_s
        if until is not None:
            left_s = min(left_s, until - time.monotonic())
        if left_s <= 0:
            raise UnavailableError(
                "The time limit passed before the query could run. Request less."
            )
        try:
            with self._transaction(parameters.principal, left_s) as connection:
                # run() would search every character of the statement for :names, which takes
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
    """Return an InvalidError for an error that the values caused; else the error itself."""
    state = sqlstate.of(error)
    if state in _CLIENT_ERRORS:
        return InvalidError(_CLIENT_ERRORS[state])
    if state.startswith(_DATA_EXCEPTION):
        return InvalidError("A value of the query is invalid for the operation that uses it.")
    return error
