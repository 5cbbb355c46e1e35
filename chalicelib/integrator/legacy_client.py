"""Call the legacy HR system by HTTP: one record per request.

Invariants:

- Whatever the legacy does ends in one of the four outcomes, never in an exception.
- Another thread can abort a call that has passed its deadline.
- Every attempt of a record carries the same ``Idempotency-Key``: the record's id.

This is the standard library's client. The libraries on top of it (urllib3, requests) cost two to
five times the CPU per call, and hide the socket that a deadline has to close
(docs/decisions/0003).
"""

import contextlib
import http.client
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from urllib.parse import urlsplit

from chalicelib.integrator.legacy_response import LegacyResponse
from chalicelib.integrator.outcome import CallResult, judge_error, judge_response
from chalicelib.integrator.retry_after import requested_wait_s
from chalicelib.net import is_http_url
from chalicelib.settings import SettingsError


@cache
def default_tls_context() -> ssl.SSLContext:
    """Return the context that all connections share: loading the certificates takes some 40 ms."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class LegacyEndpoint:
    """The URL of the legacy and the timeouts of a call, in seconds.

    ``connect_timeout_s`` bounds the connection to one address, ``read_timeout_s`` each read, and
    ``call_timeout_s`` the whole call.

    Raises:
        SettingsError: ``url`` is not an HTTP URL. Calls to it would look like an endless outage.
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


class LegacyConnection:
    """A kept-alive connection to the legacy, for one call at a time.

    One thread at a time may ``send``; any other thread may ``abort_if_overdue``.

    Args:
        endpoint: where to connect to.
        tls_context: returns the TLS context, if the endpoint's URL is https.
    """

    def __init__(
        self,
        endpoint: LegacyEndpoint,
        tls_context: Callable[[], ssl.SSLContext] = default_tls_context,
    ) -> None:
        self._endpoint = endpoint
        self._tls_context = tls_context
        parts = urlsplit(endpoint.url)
        self._is_https = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_https else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._head = (
            f"POST {target} HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\n"
            "Accept: application/json\r\n"
            "Accept-Encoding: identity\r\n"
            "Content-Type: application/json\r\n"
        )
        # The lock guards the three attributes below.
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._deadline = math.inf  # of the current call
        self._is_overdue = False  # whether the current call has passed its deadline

    def send(self, idempotency_key: str, body: bytes) -> CallResult:
        """POST a JSON body and return how the call ended."""
        started = time.monotonic()
        with self._lock:
            self._deadline = started + self._endpoint.call_timeout_s
            self._is_overdue = False
        try:
            response, content = self._exchange(idempotency_key, body)
            # An abort closes the socket, which can look like the end of a body.
            if self._is_overdue and response.is_success:
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            cause = TimeoutError("the call exceeded its deadline") if self._is_overdue else error
            return judge_error(cause, time.monotonic() - started)
        finally:
            with self._lock:
                self._deadline = math.inf
        latency_s = time.monotonic() - started
        retry_after_s = requested_wait_s(response.headers, response.status, datetime.now(UTC))
        return judge_response(response.status, content, latency_s, retry_after_s)

    def abort_if_overdue(self) -> None:
        """Abort the current call if it has passed its deadline; its ``send`` then returns at once.

        A read timeout is not enough: a response that drips one byte a second never times out.
        """
        with self._lock:
            if time.monotonic() >= self._deadline and self._socket is not None:
                self._is_overdue = True
                with contextlib.suppress(OSError):  # the connection has just ended anyway
                    # Not SSLSocket.shutdown: it discards the TLS state that the reader still uses.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            sock, self._socket = self._socket, None
        if sock:
            sock.close()

    def _exchange(self, idempotency_key: str, body: bytes) -> tuple[LegacyResponse, bytes]:
        """Send the request and read the whole response."""
        head = (
            f"{self._head}Idempotency-Key: {idempotency_key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        # In one piece: if a server answers the head and closes, a body sent later meets a reset.
        request = head.encode() + body
        with self._try_kept_connection(request) or self._request(request) as response:
            content = response.read_body()
            if not response.keeps_connection:
                self.close()  # the next call must not read what is left of this response
        return response, content

    def _try_kept_connection(self, request: bytes) -> LegacyResponse | None:
        """Send a request over the kept connection; return None if a new connection is needed.

        A server may close a kept connection at any time (RFC 9112, section 9.3.1). A server that
        does not read bodies takes the last body for the start of this request, answers 400 and
        closes. In both cases sending again is safe: the legacy recognises the idempotency key.
        """
        if not self._socket:
            return None
        if not _is_stale(self._socket):
            with contextlib.suppress(ConnectionError):
                response = self._request(request)
                if not (response.status == http.client.BAD_REQUEST and response.will_close):
                    return response
                response.close()
        if self._is_overdue:
            raise TimeoutError
        self.close()
        return None

    def _request(self, request: bytes) -> LegacyResponse:
        """Send a request and read the head of its response, but not the body."""
        sock = self._socket or self._connect()
        # A name look-up has no timeout. After a late one, nothing must be sent any more.
        self._remaining_s()
        sock.sendall(request)
        return LegacyResponse(sock)

    def _connect(self) -> socket.socket:
        """Open a connection that ``abort_if_overdue`` can close, even during the TLS handshake."""
        sock = self._open_socket()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._is_https:
                sock = self._tls_context().wrap_socket(
                    sock, server_hostname=self._host, do_handshake_on_connect=False
                )
            with self._lock:
                self._socket = sock
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            sock.settimeout(self._endpoint.read_timeout_s)
        except BaseException:
            sock.close()
            raise
        return sock

    def _open_socket(self) -> socket.socket:
        """Connect to the first address of the host that accepts, before the call's deadline."""
        failure: OSError | None = None
        for *_, (host, *_) in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            timeout_s = min(self._endpoint.connect_timeout_s, self._remaining_s())
            try:
                return socket.create_connection((str(host), self._port), timeout_s)
            except OSError as error:
                failure = error
        raise failure or OSError("the host name has no address")

    def _remaining_s(self) -> float:
        """Return the time until the call's deadline; raise TimeoutError if it has passed."""
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            self._is_overdue = True
            raise TimeoutError
        return remaining_s


def _is_stale(sock: socket.socket) -> bool:
    """Return whether an idle connection is closed, or has bytes that belong to no request."""
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
