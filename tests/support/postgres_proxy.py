"""A wire to Postgres that fails as it is told: a TCP server in front of the real one.

It follows the client's side of the protocol, so that a connection can be cut, or fall silent, at
one statement: above all between a COMMIT that the server has done and the answer to it.
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
# The end of every answer, but for the state of the transaction.
_READY_FOR_QUERY = b"Z\0\0\0\5"


class Moment(Enum):
    """When a transaction that has a given statement is broken off, seen from the server."""

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
        """Say whether a transaction that it has struck is to end at this statement."""
        return self.moment is Moment.AT_THE_STATEMENT or sql.startswith("COMMIT")


class PostgresProxy:
    """What a test tells the server. ``url`` is that of the database behind it."""

    def __init__(self, url: str, listener: socket.socket) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._listener = listener
        self._port = listener.getsockname()[1]
        self.url = url.replace(f":{target.port}/", f":{self._port}/")
        self._fault: _Fault | None = None
        self._refuses = False
        self._lock = threading.Lock()

    def break_off(
        self, statement: str, moment: Moment, *, call: int = 1, hang: bool = False
    ) -> None:
        """Cut the connection of the ``call``-th transaction with a statement that begins so.

        Args:
            hang: let it fall silent instead.
        """
        self._fault = _Fault(statement, call, moment, hang)

    def refuse(self) -> None:
        """Let new connections be refused as by a server that is starting up."""
        self._refuses = True

    def repair(self) -> None:
        """Let all pass from now on."""
        self._fault = None
        self._refuses = False

    @property
    def is_spent(self) -> bool:
        """Whether the fault has struck."""
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
            carry = self._turn_away if self._refuses else self._carry
            threads.append(threading.Thread(target=carry, args=(client,)))
            threads[-1].start()
        for client in clients:
            with suppress(OSError):  # it has ended
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    @staticmethod
    def _turn_away(client: socket.socket) -> None:
        with client, suppress(OSError):
            if _read(client) == _SSL_REQUEST:
                client.sendall(_NO_SSL)
                _read(client)
            client.sendall(_STARTING_UP)

    def _carry(self, client: socket.socket) -> None:
        """Carry a connection's messages both ways until either side, or a fault, ends it."""
        with client, socket.create_connection(self._target) as server, suppress(OSError):
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            messages = _Messages()
            doomed: _Fault | None = None
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    client.sendall(_read(server))
                if client not in readable:
                    continue
                for message, sql in messages.take(_read(client)):
                    doomed = self._struck_by(sql) or doomed
                    if doomed is None or not doomed.is_due(sql):
                        server.sendall(message)
                        continue
                    if doomed.moment is Moment.AFTER_COMMIT:
                        server.sendall(message)
                        while _READY_FOR_QUERY not in _read(server):
                            pass
                    if doomed.hang:
                        _read(client)  # until it gives up
                    return

    def _struck_by(self, sql: str) -> _Fault | None:
        """Return the fault that this statement brings about, if it does."""
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
    """Parts what a client sends into messages, each with the SQL that it has."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind_bytes = 0  # what comes first has no kind: a request for SSL, the startup

    def take(self, received: bytes) -> Iterator[tuple[bytes, str]]:
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
    """Return the SQL of a Query or a Parse message, whose first field is a name; "" of others."""
    kind, payload = message[:1], message[5:]
    fields = payload.split(b"\0")
    found = fields[0] if kind == b"Q" else fields[1] if kind == b"P" else b""
    return found.decode().strip()


def _read(peer: socket.socket) -> bytes:
    received = peer.recv(65_536)
    if not received:
        raise ConnectionResetError
    return received


@contextmanager
def running(url: str) -> Iterator[PostgresProxy]:
    """Run a proxy in front of the database of this URI."""
    with socket.create_server((HOST, 0)) as listener:
        proxy = PostgresProxy(url, listener)
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
