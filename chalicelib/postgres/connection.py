"""Pool connections to Postgres, and run transactions under a statement timeout.

Connections are opened on first use, kept for reuse, and closed when broken. Callers decide what a
transaction contains; this module begins and ends it.

Invariants:

- One thread at a time uses a connection.
- Every session runs in UTC, and every transaction under a statement timeout.
- Every wait has a timeout: for a free connection, for connecting, and on the socket.
"""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from chalicelib.errors import MisconfiguredError, UnavailableError
from chalicelib.net import is_loopback

# SQLSTATEs and classes of SQLSTATEs after which the same statement may succeed: a pooler that lost
# the server (08), a standby after a failover (25006), a deadlock (40), insufficient resources (53),
# a lock not available (55P03), operator intervention or the statement timeout (57), a system error
# (58). https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT = ("08", "25006", "40", "53", "55P03", "57", "58")

# Added to the statement timeout, so that the server's error arrives before the socket times out.
_SOCKET_MARGIN_S = 5.0

_NO_SETTINGS: Mapping[str, int] = {}


class Database:
    """A bounded pool of connections to one database.

    Args:
        url: libpq URI, ``postgresql://user:password@host:port/database``. TLS is required, with the
            certificate verified, unless the host is this machine.
        pool: the size of the pool. If all connections are in use, a caller waits for one.
        connect_timeout_s: longest wait, both for a free connection and for opening a new one.
        statement_timeout_s: Postgres cancels a statement that runs longer.
        socket_margin_s: time that the socket waits for a response beyond the statement timeout.
        setting: the name of the setting that has the URL, for error messages.

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
        socket_margin_s: float = _SOCKET_MARGIN_S,
        setting: str = "DATABASE_URL",
    ) -> None:
        self._arguments = _connect_arguments(url, setting)
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._socket_margin_s = socket_margin_s
        self._free = threading.BoundedSemaphore(pool)
        self._idle: list[Connection] = []

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
            statement_timeout_s: replaces the pool's statement timeout.
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
            timeout_s = statement_timeout_s or self._statement_timeout_s
            connection = self._begin(
                _begin_statement(read_only, timeout_s, role, settings), timeout_s
            )
            try:
                yield connection
                connection.run("COMMIT")
            except (InterfaceError, OSError) as error:
                _close(connection)
                raise UnavailableError("The database connection broke. Try again soon.") from error
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, DatabaseError) and sqlstate(error).startswith(_TRANSIENT):
                    raise UnavailableError(
                        "The database cannot serve this request now. Request less, or try again"
                        " later."
                    ) from error
                raise
            self._idle.append(connection)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            _close(self._idle.pop())

    def _begin(self, begin: str, timeout_s: float) -> Connection:
        """Begin a transaction on an idle connection that still responds, or on a new one."""
        while self._idle:
            connection = self._idle.pop()
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
        try:
            connection = Connection(
                **self._arguments,
                timeout=self._connect_timeout_s,
                tcp_keepalive=True,
                startup_params={"TimeZone": "UTC"},
            )
            _disable_nagle(connection._usock)
            connection._usock.settimeout(timeout_s + self._socket_margin_s)
            connection.execute_simple(begin)
        except (InterfaceError, DatabaseError, OSError) as error:
            raise UnavailableError("The database cannot be reached. Try again soon.") from error
        return connection

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.run("ROLLBACK")
        except (InterfaceError, DatabaseError, OSError):
            _close(connection)
        else:
            self._idle.append(connection)


def _begin_statement(
    read_only: bool, timeout_s: float, role: str, settings: Mapping[str, int]
) -> str:
    """Return the statements that begin a transaction and set its timeout, role and settings.

    One message carries them all. Poolers reject statement_timeout at session start, and a SET
    outside a transaction would pin the session: docs/decisions/0008-transaction-bounds.md.
    """
    mode = " READ ONLY" if read_only else ""
    local = {"statement_timeout": max(1, int(timeout_s * 1000)), **settings}
    parts = [f"BEGIN{mode}", *(f"SET LOCAL {name} = {value:d}" for name, value in local.items())]
    if role:
        parts.append(f"SET LOCAL ROLE {role}")
    return "; ".join(parts)


def sqlstate(error: DatabaseError) -> str:
    """Return the SQLSTATE of an error from Postgres; "" if the error has none."""
    fields = error.args[0] if error.args else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else ""


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


def _connect_arguments(url: str, setting: str = "DATABASE_URL") -> dict[str, Any]:
    """Translate a libpq URI to the arguments of pg8000's Connection.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS

    Raises:
        MisconfiguredError: the URL is malformed, or its certificates cannot be read.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:  # its message has a part of the URL, which may be a password
        raise MisconfiguredError(f"{setting} is not a valid URI.") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise MisconfiguredError(f"{setting} must be a URI that starts with postgresql://.")
    options = parse_qs(parts.query)
    socket_directory = next(
        (host for host in options.get("host", []) if host.startswith("/")), None
    )
    arguments: dict[str, Any] = {
        "user": unquote(parts.username or "postgres"),
        "database": unquote(parts.path.lstrip("/")) or None,
        "application_name": "punch-clock",
    }
    host = parts.hostname or "localhost"
    if parts.password:
        arguments["password"] = unquote(parts.password)
    if socket_directory:
        arguments["unix_sock"] = f"{socket_directory}/.s.PGSQL.{port}"
        return arguments
    arguments |= {"host": host, "port": port}
    if not is_loopback(host):
        arguments["ssl_context"] = _tls(options.get("sslrootcert", [None])[0], setting)
    return arguments


def _tls(root_certificates: str | None, setting: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates of a file, or else the system's."""
    try:
        return ssl.create_default_context(cafile=root_certificates)
    except OSError as error:  # ssl's own error is one
        raise MisconfiguredError(
            f"The sslrootcert of {setting} is not a readable file of PEM certificates."
        ) from error
