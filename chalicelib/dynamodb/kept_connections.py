"""Keep the connections to one HTTP server, and send requests over them. Thread-safe.

``http.client`` would do the same at five times the CPU a call, and longer to import
(docs/decisions/0029).
"""

import contextlib
import os
import select
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from chalicelib.dynamodb.http_response import (
    IncompleteResponseError,
    MalformedResponseError,
    Response,
    read_response,
)
from chalicelib.wall_clock import has_passed

if TYPE_CHECKING:
    from ssl import SSLContext

_RECEIVE_BYTES = 65_536
# As many as boto3 may keep.
_MAX_KEPT = 64
# Firewalls and NAT gateways forget an idle connection without a word, AWS' own after 350 s. In a
# frozen Lambda environment, it may be hours old.
_MAX_IDLE_S = 60.0


class Server(NamedTuple):
    """An HTTP server.

    Attributes:
        host: a name or an IPv4 address.
        port: the port.
        is_secure: whether it speaks TLS.
        certificates: the path of the CA certificates to trust; empty: those that boto3 trusts.
    """

    host: str
    port: int
    is_secure: bool
    certificates: str = ""


class NoResponseError(Exception):
    """The server did not send a complete response. Whether it has handled the request is unknown.

    Attributes:
        is_transient: another attempt may succeed. False if the server does not speak HTTP/1.1.
        was_kept: the request was the first on a kept connection that the server may have closed
            already; nothing was received.
    """

    def __init__(self, message: str, *, is_transient: bool = True, was_kept: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.was_kept = was_kept


class KeptConnections:
    """Connections to one server.

    Args:
        server: the server.
        connect_timeout_s: timeout of a connection to each of its addresses, and of its TLS
            handshake.
        response_timeout_s: timeout of a request and its complete response.
        clock: the wall clock, in seconds (``wall_clock``).
    """

    def __init__(
        self,
        server: Server,
        *,
        connect_timeout_s: float,
        response_timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server = server
        self._connect_timeout_s = connect_timeout_s
        self._response_timeout_s = response_timeout_s
        self._clock = clock
        self._kept: deque[_Connection] = deque()
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._context: SSLContext | None = None
        weakref.finalize(self, _close_all, self._kept)

    def send(self, request: bytes) -> Response:
        """Send a request, and return its response.

        Raises:
            NoResponseError: see the class. The connection is closed.
        """
        kept = self._take()
        try:
            connection = kept or self._connect()
        except OSError as error:
            raise NoResponseError(f"no connection to {self._server.host}: {error!r}") from error
        try:
            response = connection.exchange(request, self._response_timeout_s)
        except (OSError, MalformedResponseError) as error:
            connection.close()
            is_closed = isinstance(error, (ConnectionError, IncompleteResponseError))
            raise NoResponseError(
                f"no response from {self._server.host}: {error!r}",
                is_transient=isinstance(error, (OSError, IncompleteResponseError)),
                was_kept=is_closed and kept is not None and not connection.has_received,
            ) from error
        except BaseException:
            connection.close()  # amid a response, it cannot take another request
            raise
        if response.keeps_connection:
            self._keep(connection)
        else:
            connection.close()
        return response

    def _keep(self, connection: "_Connection") -> None:
        """Keep a connection for later requests; beyond the maximum, close the one idle longest."""
        connection.idle_since = self._clock()
        self._kept.append(connection)
        if len(self._kept) > _MAX_KEPT:
            with contextlib.suppress(IndexError):  # other threads have taken them all
                self._kept.popleft().close()

    def _take(self) -> "_Connection | None":
        """Return a kept connection that seems to be open, or None."""
        if self._process != os.getpid():
            # After a fork, parent and child would write to the same connections.
            _close_all(self._kept)
            self._process = os.getpid()
        now = self._clock()
        while True:
            try:
                connection = self._kept.pop()
            except IndexError:
                return None
            is_old = has_passed(_MAX_IDLE_S, connection.idle_since, now)
            if not is_old and connection.is_quiet():
                return connection
            connection.close()

    def _connect(self) -> "_Connection":
        host = self._server.host
        connected = socket.create_connection((host, self._server.port), self._connect_timeout_s)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._server.is_secure:
                connected = self._tls().wrap_socket(connected, server_hostname=host)
            return _Connection(connected)
        except BaseException:
            connected.close()
            raise

    def _tls(self) -> "SSLContext":
        """Return the TLS context, which is slow to build and therefore built on first use."""
        with self._lock:
            if self._context is None:
                from chalicelib.dynamodb import tls  # noqa: PLC0415 - only for https

                self._context = tls.context(self._server.certificates)
            return self._context


class _Connection:
    """A connection to the server.

    Attributes:
        idle_since: when its last response ended, by the pool's clock.
        has_received: whether it has received a byte since the last request.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self._deadline = 0.0
        self.idle_since = 0.0
        self.has_received = False

    def exchange(self, request: bytes, timeout_s: float) -> Response:
        """Send a request, and read its response.

        Raises:
            OSError: the connection failed, or the time is over.
            MalformedResponseError: the bytes are not an HTTP/1.1 response.
        """
        self.has_received = False
        self._deadline = time.monotonic() + timeout_s
        self._socket.settimeout(timeout_s)
        self._socket.sendall(request)
        return read_response(self._receive)

    def _receive(self) -> bytes:
        # The socket's timeout is that of one read: a slow drip of bytes would never exceed it.
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError("the response takes too long")
        self._socket.settimeout(remaining_s)
        received = self._socket.recv(_RECEIVE_BYTES)
        self.has_received = self.has_received or bool(received)
        return received

    def is_quiet(self) -> bool:
        """Return whether nothing arrived since the last response: neither an end nor bytes."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _close_all(connections: "deque[_Connection]") -> None:
    with contextlib.suppress(IndexError):
        while True:
            connections.pop().close()
