"""The legacy HR system by HTTP: one record sent, one reply.

Promises that whatever the legacy does ends in one of four outcomes and never in an exception, that
a call over its time can be ended from outside, and that every attempt of a record carries the same
``Idempotency-Key``, its id. When to send, and what becomes of the record, is the integrator's.

The standard library's client: what is above it (urllib3, requests) costs two to five times the CPU
a call, and hides the socket that ends a call in time (docs/decisions/0003).
"""

import contextlib
import http.client
import math
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from chalicelib.integrator.reply import (
    MAX_BODY_BYTES,
    Reply,
    broken,
    classify,
    decode,
    read_retry_after,
)
from chalicelib.settings import SettingsError
from chalicelib.web.address import is_http_url

_READ_BYTES = 65_536


@cache
def _tls() -> ssl.SSLContext:
    """Return the one context of all channels: reading the certificates takes some 40 ms."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Legacy:
    """Where the legacy is and how long it is waited for, in seconds.

    Raises SettingsError where the URL is none: else each record would only ever meet a closed door.

    ``connect_timeout_s`` bounds the wait for a connection, ``read_timeout_s`` a silence, and
    ``call_timeout_s`` the whole call.
    """

    url: str
    connect_timeout_s: float
    read_timeout_s: float
    call_timeout_s: float

    def __post_init__(self) -> None:
        if not is_http_url(self.url):
            raise SettingsError(
                "LEGACY_URL must be a URL such as https://legacy.example/point-records"
            )


class _Response(http.client.HTTPResponse):
    """An answer that may be preceded by any number of interim ones (RFC 9110, section 15.2).

    The standard library passes over 100 alone, and takes a 102 or 103 for the answer itself.
    """

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS
        return version, http.client.CONTINUE if is_interim else status, reason


class Channel:
    """One call at a time to the legacy over a connection that is kept.

    ``send`` belongs to one thread; any other may ``expire`` it.
    """

    def __init__(self, legacy: Legacy) -> None:
        self._legacy = legacy
        parts = urlsplit(legacy.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._is_https = parts.scheme == "https"
        self._connection = (
            http.client.HTTPSConnection(parts.netloc, context=_tls())
            if self._is_https
            else http.client.HTTPConnection(parts.netloc)
        )
        self._connection.response_class = _Response
        # Of the call under way: its socket, when it has taken too long, and whether it did.
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._expires_at = math.inf
        self._expired = False

    def send(self, key: str, body: bytes) -> Reply:
        """POST a JSON body under an idempotency key and say how it ended."""
        started = time.monotonic()
        with self._lock:
            self._expires_at = started + self._legacy.call_timeout_s
            self._expired = False
        try:
            status, headers, answer = self._exchange(key, body)
            if self._expired:  # the end of its socket can look like the end of an answer
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            cause = TimeoutError("the whole call took too long") if self._expired else error
            return broken(cause, time.monotonic() - started)
        finally:
            with self._lock:
                self._expires_at = math.inf
        latency_s = time.monotonic() - started
        retry_after_s = read_retry_after(headers.get("Retry-After"), datetime.now(UTC))
        answer = decode(answer, headers.get("Content-Encoding"))
        return classify(status, answer, latency_s, retry_after_s)

    def expire(self) -> None:
        """End the call under way if it has taken too long: its ``send`` then returns at once.

        A read timeout alone cannot: an answer that drips a byte a second never times out.
        """
        with self._lock:
            if time.monotonic() >= self._expires_at and self._socket is not None:
                self._expired = True
                with contextlib.suppress(OSError):  # it has just ended by itself
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _exchange(self, key: str, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection: Any = self._connection  # whose types say that it never has a socket
        if connection.sock and _is_closed_by_peer(connection.sock):
            self.close()
        is_kept = bool(connection.sock)
        try:
            response = self._request(key, body)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not is_kept or self._expired:
                raise
            # It closed the kept connection just then, as any server may (RFC 9112, section 9.3.1).
            # If it has the record all the same, it knows the key.
            self.close()
            response = self._request(key, body)
        with response:
            received = bytearray()
            while len(received) < MAX_BODY_BYTES:
                part = response.read1(_READ_BYTES)
                if not part:
                    if response.length:
                        raise http.client.IncompleteRead(bytes(received), response.length)
                    break
                received += part
            is_read = response.isclosed() or response.length == 0
            if response.will_close or not is_read:
                self.close()  # what is left of the answer must not be met by the next call
            return response.status, response.headers, bytes(received)

    def _request(self, key: str, body: bytes) -> http.client.HTTPResponse:
        """Send the request, over the kept connection if there is one; return its answer's head."""
        connection: Any = self._connection
        if not connection.sock:
            connection.sock = self._connect()
            connection.sock.settimeout(self._legacy.read_timeout_s)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": key,
        }
        connection.request("POST", self._path, body, headers)
        response: http.client.HTTPResponse = connection.getresponse()
        return response

    def _connect(self) -> socket.socket:
        """Open a connection that ``expire`` can end from its first byte on, TLS included."""
        address = (self._connection.host, self._connection.port)
        sock = socket.create_connection(address, self._legacy.connect_timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._is_https:
                sock = _tls().wrap_socket(
                    sock, server_hostname=self._connection.host, do_handshake_on_connect=False
                )
            with self._lock:
                self._socket = sock
            # Looking a name up has no timeout: what comes of it late must not be sent any more.
            if time.monotonic() >= self._expires_at:
                self._expired = True
                raise TimeoutError
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._socket = None
        self._connection.close()


def _is_closed_by_peer(sock: socket.socket) -> bool:
    """Say whether a kept connection has ended, or has bytes nobody asked for, which is as bad."""
    timeout = sock.gettimeout()
    sock.setblocking(False)
    try:
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(timeout)
    return True
