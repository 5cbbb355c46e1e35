"""The legacy HR system by HTTP: one record sent, one reply.

Promises that whatever the legacy does ends in one of four outcomes and never in an exception, that
a call over its time can be ended from outside, and that every attempt of a record carries the same
``Idempotency-Key``, its id. When to send, and what becomes of the record, is the integrator's.

The standard library's client: what is above it (urllib3, requests) costs two to five times the CPU
a call, and hides the socket that ends a call in time (docs/decisions/0003).
"""

import contextlib
import http.client
import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from chalicelib.settings import SettingsError

# What of an answer is read at most: one that is longer counts as unreadable.
_MAX_BODY_BYTES = 1_000_000
_READ_BYTES = 65_536
_MAX_LOG = 8_000
_MAX_RETRY_AFTER_S = 300.0


class Outcome(StrEnum):
    """What a call came to."""

    DELIVERED = "DELIVERED"  # the legacy has the record
    OVERLOADED = "OVERLOADED"  # it is too busy, or not there: this says nothing of the record
    FAILED = "FAILED"  # it met a fault, perhaps with the record
    REJECTED = "REJECTED"  # it refuses the record: a fault of the record


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended. ``log`` says it to people; ``denied`` that our credentials are at fault."""

    outcome: Outcome
    latency_s: float
    http_status: int | None = None
    log: str | None = None
    retry_after_s: float | None = None
    denied: bool = False


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
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise SettingsError(
                "LEGACY_URL must be a URL such as https://legacy.example/point-records"
            )


class Channel:
    """One call at a time to the legacy over a connection that is kept.

    ``send`` belongs to one thread; any other may ``expire`` it.
    """

    def __init__(self, legacy: Legacy) -> None:
        self._legacy = legacy
        parts = urlsplit(legacy.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                parts.netloc,
                timeout=legacy.connect_timeout_s,
                context=_tls(),
            )
        else:
            self._connection = http.client.HTTPConnection(
                parts.netloc, timeout=legacy.connect_timeout_s
            )
        # Of the call under way: its socket, when it has taken too long, and whether it did.
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._expires_at = math.inf
        self._expired = False

    def send(self, key: str, document: Mapping[str, Any]) -> Reply:
        """POST the document as JSON under an idempotency key and say how it ended."""
        started = time.monotonic()
        with self._lock:
            self._expires_at = started + self._legacy.call_timeout_s
            self._expired = False
        try:
            status, headers, body = self._exchange(key, json.dumps(document).encode())
            if self._expired:  # the end of its socket can look like the end of an answer
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            cause = TimeoutError("the whole call took too long") if self._expired else error
            return _broken(cause, time.monotonic() - started)
        finally:
            with self._lock:
                self._expires_at = math.inf
        latency_s = time.monotonic() - started
        retry_after_s = read_retry_after(headers.get("Retry-After"), datetime.now(UTC))
        return classify(status, body, latency_s, retry_after_s)

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
        if not connection.sock:
            connection.connect()
            connection.sock.settimeout(self._legacy.read_timeout_s)
            with self._lock:
                self._socket = connection.sock
        connection.request(
            "POST",
            self._path,
            body,
            {
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Idempotency-Key": key,
            },
        )
        with connection.getresponse() as response:
            received = bytearray()
            while len(received) < _MAX_BODY_BYTES:
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

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._socket = None
        self._connection.close()


def classify(status: int, body: bytes, latency_s: float, retry_after_s: float | None) -> Reply:
    """Say what an answer of the legacy means (DESIGN, section 5)."""
    text = body.decode("utf-8", "replace").replace("\0", "\ufffd")
    log = f"HTTP {status}: {text}"[:_MAX_LOG]
    denied = status in (401, 403, 407)
    if 200 <= status < 300:
        fault = _fault_of_success(status, body)
        if fault is None:
            return Reply(Outcome.DELIVERED, latency_s, status)
        log = f"HTTP {status}, but {fault}: {text}"[:_MAX_LOG]
        outcome = Outcome.FAILED
    elif denied or status in (408, 429, 503):
        outcome = Outcome.OVERLOADED
    elif 400 <= status < 500:
        outcome = Outcome.REJECTED
    else:
        outcome = Outcome.FAILED
    return Reply(outcome, latency_s, status, log, retry_after_s, denied)


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a Retry-After (RFC 9110, section 10.2.3) as seconds from ``now``, within bounds.

    Returns:
        None where there is none or it is neither seconds nor a date.
    """
    if text is None:
        return None
    try:
        if text.strip().isascii() and text.strip().isdigit():
            seconds = float(text)
        else:
            date = parsedate_to_datetime(text)
            # A date without a zone, as asctime writes it, is in UTC.
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(_MAX_RETRY_AFTER_S, max(0.0, seconds))


def _fault_of_success(status: int, body: bytes) -> str | None:
    """Say why an answer of 2xx is no success after all, or None."""
    if status in (204, 205):  # these have no body in which to say anything else
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "its body is not JSON"
    if not isinstance(document, dict):
        return "its body is not a JSON object"
    if document.get("message", "success") != "success":
        return "its message is not success"
    return None


def _broken(error: Exception, latency_s: float) -> Reply:
    """Say what a call without an answer means.

    Silence and closed doors are the marks of a system that is too busy or away; bytes that are not
    HTTP are a fault of its own.
    """
    garbage = isinstance(error, (http.client.HTTPException, ValueError)) and not isinstance(
        error, (http.client.RemoteDisconnected, http.client.IncompleteRead)
    )
    outcome = Outcome.FAILED if garbage else Outcome.OVERLOADED
    log = f"No answer: {type(error).__name__}: {error}".replace("\0", "\ufffd")
    return Reply(outcome, latency_s, log=log[:_MAX_LOG])


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
