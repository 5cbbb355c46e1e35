"""Connections to Postgres: opened when first needed, kept for the next use, dropped when broken.

Promises that a connection is used by one thread at a time, that every session runs in UTC under a
statement timeout, and that nothing waits for ever: connecting, a free connection and the socket
are all bounded. Callers own the meaning of a transaction; this module only begins and ends it.
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

from chalicelib.errors import UnavailableError
from chalicelib.net import is_loopback

# SQLSTATEs that are no fault of the statement, after which the same may succeed: a pooler that has
# lost the server (08), a standby after a failover (25006), a deadlock (40), too few resources (53),
# a lock not to be had (55P03), an operator or the statement timeout (57), a fault of the system
# (58). https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT = ("08", "25006", "40", "53", "55P03", "57", "58")

# Added to the statement timeout, so that the server's own answer comes before the socket gives up.
_SOCKET_MARGIN_S = 5.0

_NO_SETTINGS: Mapping[str, int] = {}


class Database:
    """A bounded pool of connections to one database.

    Args:
        url: libpq URI, ``postgresql://user:password@host:port/database``. TLS is required, with the
            certificate verified, unless the host is this machine.
        pool: most connections at once. A further caller waits ``connect_timeout_s`` for one.
        connect_timeout_s: longest wait for a connection.
        statement_timeout_s: Postgres cancels a statement that runs longer.
    """

    def __init__(
        self, url: str, *, pool: int, connect_timeout_s: float, statement_timeout_s: float
    ) -> None:
        self._arguments = _connect_arguments(url)
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
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
        """Yield a connection in a transaction: committed at the end, rolled back on an exception.

        Args:
            read_only: nothing in it can change the database.
            statement_timeout_s: in place of the one that the others have.
            role: what it runs as; the role that has logged in, where there is none.
            settings: what Postgres is told for as long as it lasts, by name.

        When the connection breaks during the commit itself, whether it took is unknown to the
        caller: what runs here must be safe to run again.

        Raises:
            UnavailableError: Postgres cannot be reached, broke off, is too busy or too slow, or all
            connections are taken.
            DatabaseError: Postgres refused a statement; its SQLSTATE is ``error.args[0]["C"]``.
        """
        if not self._free.acquire(timeout=self._connect_timeout_s):
            raise UnavailableError("The database has no free connection. Try again soon.")
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
                raise UnavailableError("The database broke off. Try again soon.") from error
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, DatabaseError) and sqlstate(error).startswith(_TRANSIENT):
                    raise UnavailableError(
                        "The database cannot serve this now. Ask for less, or try again later."
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
        """Take an idle connection that still answers, or open one, and begin a transaction."""
        while self._idle:
            connection = self._idle.pop()
            try:
                # One that was idle may be broken without a word: that must show soon.
                connection._usock.settimeout(self._connect_timeout_s)
                connection.execute_simple(begin)
                connection._usock.settimeout(timeout_s + _SOCKET_MARGIN_S)
            except (InterfaceError, DatabaseError, OSError):
                _close(connection)
                self.close()  # the others are likely to be broken too, and would be waited for
            else:
                return connection
        try:
            connection = Connection(
                **self._arguments,
                timeout=self._connect_timeout_s,
                tcp_keepalive=True,
                startup_params={"TimeZone": "UTC"},
            )
            _send_at_once(connection._usock)
            connection._usock.settimeout(timeout_s + _SOCKET_MARGIN_S)
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
    """Return what begins a transaction and bounds it, in one message.

    Poolers refuse statement_timeout where a session starts, and a SET of the session would pin it:
    docs/decisions/0008-transaction-bounds.md.
    """
    mode = " READ ONLY" if read_only else ""
    told = {"statement_timeout": max(1, int(timeout_s * 1000)), **settings}
    parts = [f"BEGIN{mode}", *(f"SET LOCAL {name} = {value:d}" for name, value in told.items())]
    if role:
        parts.append(f"SET LOCAL ROLE {role}")
    return "; ".join(parts)


def sqlstate(error: DatabaseError) -> str:
    """Return the SQLSTATE of an error that Postgres sent, or "" where it sent none."""
    fields = error.args[0] if error.args else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else ""


def _send_at_once(connected: socket.socket) -> None:
    """Turn Nagle's algorithm off, as libpq does.

    pg8000 sends a statement in parts. The end of a long one would wait for an acknowledgement of
    what went before, which the server's side delays for 40 ms. https://www.rfc-editor.org/rfc/rfc896
    """
    if connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except (InterfaceError, DatabaseError, OSError):
        return  # it was broken, which is why it is closed


def _connect_arguments(url: str) -> dict[str, Any]:
    """Split a libpq URI into pg8000's arguments.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise UnavailableError("DATABASE_URL must be a URI that starts with postgresql://.")
    options = parse_qs(parts.query)
    socket_directory = next(
        (host for host in options.get("host", []) if host.startswith("/")), None
    )
    port = parts.port or 5432
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
        arguments["ssl_context"] = _tls(options.get("sslrootcert", [None])[0])
    return arguments


def _tls(root_certificates: str | None) -> ssl.SSLContext:
    """Trust the certificates of a file, or those that the machine trusts."""
    try:
        return ssl.create_default_context(cafile=root_certificates)
    except OSError as error:  # ssl's own error is one
        raise UnavailableError("The root certificates of the database cannot be read.") from error
