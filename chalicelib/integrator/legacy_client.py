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
from urllib.parse import urlsplit

from chalicelib.integrator.legacy_response import Answer
from chalicelib.integrator.outcome import Reply, broken, classify, decode, read_retry_after
from chalicelib.net import is_http_url
from chalicelib.settings import SettingsError


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


class Channel:
    """One call at a time to the legacy over a connection that is kept.

    ``send`` belongs to one thread at a time; any other may ``expire`` it.
    """

    def __init__(self, legacy: Legacy) -> None:
        self._legacy = legacy
        parts = urlsplit(legacy.url)
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
        # The connection; and of the call under way, when it has taken too long and whether it did.
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
            answer, content = self._exchange(key, body)
            # The end of its socket can look like the end of a body.
            if self._expired and answer.is_success:
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            cause = TimeoutError("the whole call took too long") if self._expired else error
            return broken(cause, time.monotonic() - started)
        finally:
            with self._lock:
                self._expires_at = math.inf
        latency_s = time.monotonic() - started
        retry_after_s = read_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        content = decode(content, answer.headers.get("Content-Encoding"))
        return classify(answer.status, content, latency_s, retry_after_s)

    def expire(self) -> None:
        """End the call under way if it has taken too long: its ``send`` then returns at once.

        A read timeout alone cannot: an answer that drips a byte a second never times out.
        """
        with self._lock:
            if time.monotonic() >= self._expires_at and self._socket is not None:
                self._expired = True
                with contextlib.suppress(OSError):  # it has just ended by itself
                    # The plain socket's: an SSLSocket's takes its state away from who reads of it.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _exchange(self, key: str, body: bytes) -> tuple[Answer, bytes]:
        head = f"{self._head}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        # At once: a peer that answers the head and closes would make an error of a body sent later.
        request = head.encode() + body
        with self._ask_again(request) or self._ask(request) as answer:
            content = answer.read_body()
            if not answer.keeps_connection:
                self.close()  # what is left of the answer must not be met by the next call
        return answer, content

    def _ask_again(self, request: bytes) -> Answer | None:
        """Ask over the kept connection; None if there is none, or it turns out to be of no use.

        Any server may close one just then (RFC 9112, section 9.3.1). One that never reads a body
        takes the last one for the beginning of this request: a bad one, on which it closes.
        If it has the record all the same, it knows the key.
        """
        if not self._socket:
            return None
        if not _is_closed_by_peer(self._socket):
            with contextlib.suppress(ConnectionError):
                answer = self._ask(request)
                if not (answer.status == http.client.BAD_REQUEST and answer.will_close):
                    return answer
                answer.close()
        if self._expired:
            raise TimeoutError
        self.close()
        return None

    def _ask(self, request: bytes) -> Answer:
        """Send a request and return its answer's head; the body is not read yet."""
        sock = self._socket or self._connect()
        # Looking a name up has no timeout: what comes of it late must not be sent any more.
        self._left_s()
        sock.sendall(request)
        return Answer(sock)

    def _connect(self) -> socket.socket:
        """Open a connection that ``expire`` can end from its first byte on, TLS included."""
        sock = self._reach()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._is_https:
                sock = _tls().wrap_socket(
                    sock, server_hostname=self._host, do_handshake_on_connect=False
                )
            with self._lock:
                self._socket = sock
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            sock.settimeout(self._legacy.read_timeout_s)
        except BaseException:
            sock.close()
            raise
        return sock

    def _reach(self) -> socket.socket:
        """Connect to the first of the legacy's addresses that answers, within the call's time."""
        failure: OSError | None = None
        for *_, (host, *_) in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            timeout_s = min(self._legacy.connect_timeout_s, self._left_s())
            try:
                return socket.create_connection((str(host), self._port), timeout_s)
            except OSError as error:
                failure = error
        raise failure or OSError("the name has no address")

    def _left_s(self) -> float:
        """Return what is left of the call's time; raises TimeoutError if nothing is."""
        left_s = self._expires_at - time.monotonic()
        if left_s <= 0:
            self._expired = True
            raise TimeoutError
        return left_s

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            sock, self._socket = self._socket, None
        if sock:
            sock.close()


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
