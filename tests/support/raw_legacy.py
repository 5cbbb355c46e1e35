"""A legacy that writes to the socket itself, so that a test can break HTTP in any way.

It reads each request correctly; the test decides the response.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SUCCESS = b'{"message": "success"}'

# Responds to one request; returns whether the connection is kept for the next.
Respond = Callable[[socket.socket], bool]


def response(body: bytes = SUCCESS, status: str = "200 OK", **headers: str) -> bytes:
    """Return a correct response. In the names of headers, write _ for -."""
    fields = {"Content_Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items() if value]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body


class RawLegacy:
    """Responds with ``misbehave`` until ``repair`` is called, and with success from then on.

    ``keys`` has the idempotency key of each request, ``accepted`` those answered with success
    after ``repair``.
    """

    def __init__(self, misbehave: Respond) -> None:
        self._misbehave: Respond | None = misbehave
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/point-records"
        self.keys: list[str] = []
        self.accepted: set[str] = set()

    def repair(self) -> None:
        self._misbehave = None

    @property
    def connections(self) -> int:
        """Return how many connections were ever opened."""
        return len(self._connections)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while key := _read_key(connection):
                self.keys.append(key)
                if misbehave := self._misbehave:
                    if misbehave(connection):
                        continue
                    return
                self.accepted.add(key)
                connection.sendall(response())

    @contextmanager
    def running(self) -> Iterator["RawLegacy"]:
        """Serve until the end of the block, then close every connection."""
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            accepting.join(10)
            for each in self._connections:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join(10)
                assert not thread.is_alive()


def _read_key(connection: socket.socket) -> str | None:
    """Read one request and return its Idempotency-Key; None if the client closed instead."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        if not part:
            return None
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
    while len(body) < int(length):
        part = connection.recv(65_536)
        if not part:
            return None
        body += part
    (key,) = re.findall(rb"(?i)idempotency-key: (\S+)", head)
    return bytes(key).decode()
