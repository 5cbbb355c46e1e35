"""A server whose subclass reads from and writes to sockets itself, in a thread per connection."""

import re
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from local.loopback import HOST


class RawServer(ABC):
    """Accepts connections and hands each to ``serve``, which a subclass defines.

    Attributes:
        origin: where it listens, as ``HOST:PORT``.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0), backlog=100)
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.origin = f"{HOST}:{self._listener.getsockname()[1]}"

    @abstractmethod
    def serve(self, peer: socket.socket) -> None:
        """Serve a connection until it ends."""

    @property
    def connections(self) -> int:
        """Return how many connections were ever opened."""
        return len(self._threads)

    def close_connections(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve until the end of the block, then close every connection."""
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            accepting.join(10)
            self.close_connections()
            for thread in self._threads:
                thread.join(10)
                assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(peer)
            self._threads.append(threading.Thread(target=self.serve, args=(peer,)))
            self._threads[-1].start()


def read_request(peer: socket.socket) -> tuple[str, bytes] | None:
    """Read one request; return its head and its body, or None if the client closes instead."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = peer.recv(65_536)
        if not part:
            return None
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
    while len(body) < int(length):
        part = peer.recv(65_536)
        if not part:
            return None
        body += part
    return head.decode(), body
