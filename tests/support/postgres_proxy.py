"""A TCP proxy in front of Postgres that injects faults into connections.

The proxy parses the client's messages, so it can close a connection, or let it hang, at one
statement. The most interesting moment is after the server has committed and before its response.
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlsplit

from local.loopback import HOST

_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
_NO_SSL = b"N"
_FIELDS = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"
_STARTING_UP = b"E" + (len(_FIELDS) + 4).to_bytes(4) + _FIELDS
# The end of every response, without its last byte: the state of the transaction.
_READY_FOR_QUERY = b"Z\0\0\0\5"


class Moment(Enum):
    """When the proxy interrupts a transaction, as the server sees it."""

    AT_THE_STATEMENT = auto()
    BEFORE_COMMIT = auto()
    AFTER_COMMIT = auto()


@dataclass
class _Fault:
    statement: str
    call: int
    moment: Moment
    hang: bool

    def is_due(self, sql: str) -> bool:
        """Return whether the interrupted transaction ends at this statement."""
        return self.moment is Moment.AT_THE_STATEMENT or sql.startswith("COMMIT")


class PostgresProxy:
    """A proxy with at most one fault at a time. ``url`` is its URI of the database behind it."""

    def __init__(self, url: str, listener: socket.socket) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._listener = listener
        self._port = listener.getsockname()[1]
        self.url = url.replace(f":{target.port}/", f":{self._port}/")
        self._fault: _Fault | None = None
        self._refuses = False
        self._lock = threading.Lock()

    def interrupt(
        self, statement: str, moment: Moment, *, call: int = 1, hang: bool = False
    ) -> None:
        """Close the connection of one transaction.

        Args:
            statement: the start of a statement; it selects the transactions that have one.
            moment: when to close the connection.
            call: which of the selected transactions, counted from 1.
            hang: stop responding instead of closing the connection.
        """
        self._fault = _Fault(statement, call, moment, hang)

    def refuse(self) -> None:
        """Refuse new connections, as a server does that is starting up."""
        self._refuses = True

    def repair(self) -> None:
        """Remove the fault: pass everything from now on."""
        self._fault = None
        self._refuses = False

    @property
    def has_interrupted(self) -> bool:
        """Whether the fault has occurred."""
        return self._fault is None

    def serve(self) -> None:
        """Serve connections until the listener is shut down."""
        clients = []
        threads = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            clients.append(client)
            handle = self._refuse_connection if self._refuses else self._relay
            threads.append(threading.Thread(target=handle, args=(client,)))
            threads[-1].start()
        for client in clients:
            with suppress(OSError):  # the connection is closed already
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    @staticmethod
    def _refuse_connection(client: socket.socket) -> None:
        with client, suppress(OSError):
            if _read(client) == _SSL_REQUEST:
                client.sendall(_NO_SSL)
                _read(client)
            client.sendall(_STARTING_UP)

    def _relay(self, client: socket.socket) -> None:
        """Relay messages both ways until either side or a fault ends the connection."""
        with client, socket.create_connection(self._target) as server, suppress(OSError):
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            messages = _Messages()
            fault: _Fault | None = None
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    client.sendall(_read(server))
                if client not in readable:
                    continue
                for message, sql in messages.feed(_read(client)):
                    fault = self._triggered_by(sql) or fault
                    if fault is None or not fault.is_due(sql):
                        server.sendall(message)
                        continue
                    if fault.moment is Moment.AFTER_COMMIT:
                        server.sendall(message)
                        while _READY_FOR_QUERY not in _read(server):
                            pass
                    if fault.hang:
                        _read(client)  # blocks until the client closes the connection
                    return

    def _triggered_by(self, sql: str) -> _Fault | None:
        """Return the fault that this statement triggers, if any."""
        with self._lock:
            fault = self._fault
            if fault is None or not sql.startswith(fault.statement):
                return None
            fault.call -= 1
            if fault.call:
                return None
            self._fault = None
            return fault


class _Messages:
    """Splits a client's bytes into messages, each with its SQL."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind_bytes = 0  # the first messages have no kind byte: SSLRequest, StartupMessage

    def feed(self, received: bytes) -> Iterator[tuple[bytes, str]]:
        self._rest += received
        while len(self._rest) >= self._kind_bytes + 4:
            start = self._kind_bytes
            length = start + int.from_bytes(self._rest[start : start + 4])
            if len(self._rest) < length:
                return
            message, self._rest = self._rest[:length], self._rest[length:]
            yield message, _sql(message) if start else ""
            if message != _SSL_REQUEST:
                self._kind_bytes = 1


def _sql(message: bytes) -> str:
    """Return the SQL of a Query or Parse message; "" for other messages.

    The first field of a Parse message is the statement's name.
    """
    kind, payload = message[:1], message[5:]
    fields = payload.split(b"\0")
    sql = fields[0] if kind == b"Q" else fields[1] if kind == b"P" else b""
    return sql.decode().strip()


def _read(peer: socket.socket) -> bytes:
    received = peer.recv(65_536)
    if not received:
        raise ConnectionResetError
    return received


@contextmanager
def running(url: str) -> Iterator[PostgresProxy]:
    """Run a proxy in front of a database."""
    with socket.create_server((HOST, 0)) as listener:
        proxy = PostgresProxy(url, listener)
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
