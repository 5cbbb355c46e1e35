"""Pool connections to Postgres, and run transactions under a statement timeout.

Connections are opened on first use, kept for reuse, and closed when broken. Callers decide what a
transaction contains; this module begins and ends it.

Invariants:

- One thread at a time uses a connection.
- Every session runs in UTC.
- Every wait has a timeout: for a free connection, for connecting, and on the socket.
- The server ends every transaction in time, even if this process stops inside it.
- A connection that the server may have ended or demoted is not used again, nor one of which a
  response may be unread: every later statement would get the response of the one before.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pg8000.core import IDLE
from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from chalicelib.errors import UnavailableError
from chalicelib.postgres import sqlstate
from chalicelib.postgres.login import Login, is_refused

# Added to the statement timeout, so that the server's error arrives before the socket times out.
_SOCKET_MARGIN_S = 5.0
# The time of a whole transaction, in statement timeouts. Most transactions have one statement. Only
# a page with many invalid records needs more than a few seconds.
_TRANSACTION_STATEMENTS = 4
# PostgreSQL on macOS has no such option of TCP, and logs each attempt to set it.
_HAS_TCP_USER_TIMEOUT = sys.platform == "linux"

_NO_SETTINGS: Mapping[str, int] = {}


class Database:
    """A bounded pool of connections to one database.

    Args:
        url: libpq URI, or a JSON object in the form of RDS; see ``database_url``.
        pool: the size of the pool. If all connections are in use, a caller waits for one.
        connect_timeout_s: longest wait, both for a free connection and for opening a new one.
        statement_timeout_s: Postgres cancels a statement that runs longer.
        idle_timeout_s: Postgres ends a session that is idle inside a transaction for longer, and
            one whose client does not receive for longer.
        socket_margin_s: time that the socket waits for a response beyond the statement timeout.
        setting: the name of the setting that has the URL, for error messages.
        reread: reads the URL again after the server has refused the login; None if it is fixed.

    Raises:
        MisconfiguredError: the URL is malformed, or its certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        pool: int,
        connect_timeout_s: float,
        statement_timeout_s: float,
        idle_timeout_s: float = 10.0,
        socket_margin_s: float = _SOCKET_MARGIN_S,
        setting: str = "DATABASE_URL",
        reread: Callable[[], str] | None = None,
    ) -> None:
        self._login = Login(url, setting, reread)
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._socket_margin_s = socket_margin_s
        self._free = threading.BoundedSemaphore(pool)
        self._idle: list[Connection] = []
        # Counts how often the connections were discarded. One in use is then closed at its end.
        self._generation = 0

    @contextmanager
    def transaction(
        self,
        *,
        read_only: bool = False,
        statement_timeout_s: float | None = None,
        role: str = "",
        settings: Mapping[str, int] = _NO_SETTINGS,
    ) -> Iterator[Connection]:
        """Yield a connection in a transaction: commit at the end, roll back on an exception.

        If the connection breaks during the commit, the caller cannot know whether Postgres
        committed. Every transaction must therefore be idempotent.

        Args:
            read_only: Postgres rejects every statement that would change the database.
            statement_timeout_s: replaces the pool's statement timeout. The whole transaction may
                take four times as long.
            role: the role that the transaction runs as; the login role, if empty.
            settings: Postgres settings for this transaction, by name.

        Raises:
            UnavailableError: Postgres cannot be reached, closed the connection, is too busy or too
                slow, or all connections of the pool are in use.
            DatabaseError: Postgres rejected a statement; ``sqlstate`` has the reason.
        """
        if not self._free.acquire(timeout=self._connect_timeout_s):
            raise UnavailableError("All database connections are in use. Try again soon.")
        try:
            generation = self._generation
            timeout_s = statement_timeout_s or self._statement_timeout_s
            begin = self._begin_statement(read_only, timeout_s, role, settings)
            connection = self._begin(begin, timeout_s, read_only=read_only)
            try:
                yield connection
                connection.run("COMMIT")
            except (InterfaceError, OSError) as error:
                self._discard(connection)
                raise UnavailableError("The database connection broke. Try again soon.") from error
            except DatabaseError as error:
                state = sqlstate.of(error)
                is_unfit = sqlstate.ends_session(state, writes=not (read_only or role))
                if is_unfit:
                    self._discard(connection)
                else:
                    self._roll_back(connection, generation)
                if is_unfit or sqlstate.is_transient(state):
                    raise UnavailableError(
                        f"The database cannot serve this request now. {sqlstate.advice(state)}."
                    ) from error
                raise
            except BaseException:
                self._roll_back(connection, generation)
                raise
            self._keep(connection, generation)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the idle connections."""
        while connection := self._take_idle():
            _close(connection)

    def _take_idle(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:  # another thread may take the last one at any time
            return None

    def _begin(self, begin: str, timeout_s: float, *, read_only: bool) -> Connection:
        """Begin a transaction on an idle connection that still responds, or on a new one."""
        while connection := self._take_idle():
            if _is_demoted(connection, read_only=read_only):
                _close(connection)
                continue
            try:
                # An idle connection may have broken unnoticed. The shorter timeout detects that.
                connection._usock.settimeout(self._connect_timeout_s)
                connection.execute_simple(begin)
                connection._usock.settimeout(timeout_s + self._socket_margin_s)
            except (InterfaceError, DatabaseError, OSError):
                _close(connection)
                self.close()  # the others are probably broken too, and each would cost a timeout
            else:
                return connection
        return self._connect(begin, timeout_s)

    def _connect(self, begin: str, timeout_s: float) -> Connection:
        """Begin a transaction on a new connection; if the login is refused, read it again, once."""
        arguments = self._login.arguments
        try:
            try:
                return self._open(arguments, begin, timeout_s)
            except DatabaseError as error:
                if not (is_refused(error) and self._login.replace(arguments)):
                    raise
            self._close_all()  # the others have the former login
            return self._open(self._login.arguments, begin, timeout_s)
        except (InterfaceError, DatabaseError, OSError) as error:
            raise UnavailableError("The database cannot be reached. Try again soon.") from error

    def _open(self, arguments: Mapping[str, Any], begin: str, timeout_s: float) -> Connection:
        connection = Connection(
            **arguments,
            timeout=self._connect_timeout_s,
            tcp_keepalive=True,
            startup_params={"TimeZone": "UTC"},
        )
        try:
            _disable_nagle(connection._usock)
            connection._usock.settimeout(timeout_s + self._socket_margin_s)
            connection.execute_simple(begin)
        except BaseException:
            _close(connection)
            raise
        return connection

    def _begin_statement(
        self, read_only: bool, timeout_s: float, role: str, settings: Mapping[str, int]
    ) -> str:
        """Return the statements that begin a transaction and set its bounds, role and settings.

        One message carries them all. Poolers reject statement_timeout at session start, and a SET
        outside a transaction would pin the session: docs/decisions/0008-transaction-bounds.md.
        The bounds hold if this process stops: docs/decisions/0037-database-sessions.md.
        """
        mode = " READ ONLY" if read_only else ""
        idle_ms = _milliseconds(self._idle_timeout_s)
        local = {
            "statement_timeout": _milliseconds(timeout_s),
            "transaction_timeout": _milliseconds(timeout_s * _TRANSACTION_STATEMENTS),
            "idle_in_transaction_session_timeout": idle_ms,
            **({"tcp_user_timeout": idle_ms} if _HAS_TCP_USER_TIMEOUT else {}),
            **settings,
        }
        parts = [
            f"BEGIN{mode}",
            *(f"SET LOCAL {name} = {value:d}" for name, value in local.items()),
        ]
        # As the owner, or a member of it, a step sees all rows. A login that row security would
        # restrict gets an error, and not a part of the rows.
        parts.append(f"SET LOCAL ROLE {role}" if role else "SET LOCAL row_security = off")
        return "; ".join(parts)

    def _roll_back(self, connection: Connection, generation: int) -> None:
        try:
            connection.run("ROLLBACK")
        except (InterfaceError, DatabaseError, OSError):
            _close(connection)
        else:
            self._keep(connection, generation)

    def _keep(self, connection: Connection, generation: int) -> None:
        """Keep a connection for reuse, unless all were discarded since ``generation``.

        Its last response must say that no transaction is in progress. If it does not, it belongs to
        a statement before: an exception in this process, such as a text that has no encoding, left
        a response unread.
        """
        if generation == self._generation and connection._transaction_status == IDLE:
            self._idle.append(connection)
        else:
            _close(connection)

    def _discard(self, connection: Connection) -> None:
        """Close a connection and all others, since what ended its session has ended theirs too.

        Those in use are closed when their transactions end.
        """
        _close(connection)
        self._close_all()

    def _close_all(self) -> None:
        self._generation += 1
        self.close()


def _is_demoted(connection: Connection, *, read_only: bool) -> bool:
    """Return whether another server may have become the writer since the session began.

    Servers report both settings when a session begins; poolers may not. A standby is not used
    twice even for reads, since it may lag behind. A role whose transactions are read-only by
    default serves reads as usual.
    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
    """
    reported = connection.parameter_statuses
    return reported.get("in_hot_standby") == "on" or (
        reported.get("default_transaction_read_only") == "on" and not read_only
    )


def _milliseconds(seconds: float) -> int:
    """Return a timeout in milliseconds. It is never 0, which would mean no timeout."""
    return max(1, int(seconds * 1000))


def _disable_nagle(connected: socket.socket) -> None:
    """Disable Nagle's algorithm, as libpq does.

    pg8000 sends a statement in parts. With Nagle's algorithm, the last part of a long statement
    waits for the acknowledgement of the parts before, which Linux delays by 40 ms.
    https://www.rfc-editor.org/rfc/rfc896
    """
    if connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except (InterfaceError, DatabaseError, OSError):
        return  # the connection was broken already
