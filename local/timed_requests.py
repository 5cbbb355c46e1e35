"""Read HTTP requests strictly and in time: the head by h11, head and body under a deadline each.

``http.server`` reads a head as an email: it drops what follows a malformed line, accepts a space
before a colon, and takes one of two lengths. A proxy in front may understand such a request
differently, and then the rest of it is another request. It also waits for ever.
RFC 9112, sections 2.2, 5.1, 6.3 and 9.5.
"""

import io
import re
import socket
import time
from http import HTTPStatus
from http.client import HTTPMessage
from typing import Any, BinaryIO, NamedTuple

import h11

from local.gateway import encode_target

# How long a kept connection may be idle, how long a head may take from its first byte on, and how
# long a body may take.
IDLE_S = 120.0
HEAD_S = 10.0
BODY_S = 30.0
# How long the client may take to receive a response.
WRITE_S = 30.0

_LENGTH = re.compile(rb"\ncontent-length:([^\n]*)", re.IGNORECASE)
_FOLDED = re.compile(rb"\n[ \t]")


class RefusedError(Exception):
    """The request is malformed, too large or too slow. The connection cannot go on."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class TimedSocket(io.RawIOBase):
    """A socket whose reads and writes must each end before a deadline."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__()
        self._socket = connected
        self._deadline = 0.0

    def allow(self, seconds: float) -> None:
        """Set the deadline of all further reads, in seconds from now."""
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Receive at least one byte.

        Raises:
            RefusedError: the deadline has passed.
        """
        try:
            self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
            return self._socket.recv_into(buffer)
        except TimeoutError as error:
            raise RefusedError(
                HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive."
            ) from error

    def write(self, data: Any, /) -> int:
        """Send all bytes.

        Raises:
            TimeoutError: the client took more than ``WRITE_S`` to receive them.
        """
        self._socket.settimeout(WRITE_S)
        self._socket.sendall(data)
        return memoryview(data).nbytes


class Head(NamedTuple):
    """The head of a request. The names of headers are in lower case."""

    method: str
    target: str
    version: str
    headers: HTTPMessage


def read_head(stream: BinaryIO, max_bytes: int) -> Head:
    """Read the head of a request, and parse it.

    Raises:
        RefusedError: the head is malformed, longer than ``max_bytes``, or late.
    """
    lines: list[bytes] = []
    size = 0
    while size <= max_bytes and (not lines or lines[-1] not in (b"\r\n", b"\n", b"")):
        lines.append(stream.readline(max_bytes + 1 - size))
        size += len(lines[-1])
    if size > max_bytes:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The URL and the headers exceed {max_bytes} bytes in total. Send a long query as"
            " POST …/$query or in a $batch.",
        )
    text = b"".join([encode_target(lines[0]), *lines[1:]])
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=3 * max_bytes)
    parser.receive_data(text)
    try:
        request = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise RefusedError(HTTPStatus(error.error_status_hint), f"{error}.") from error
    if not isinstance(request, h11.Request):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The head of the request breaks off.")
    version = f"HTTP/{request.http_version.decode('ascii')}"
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Send the request by HTTP/1.1.")
    # h11 accepts equal lengths, and headers that go on in the next line.
    lengths = _LENGTH.findall(text)
    if len(lengths) > 1 or (lengths and b"," in lengths[0]):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Send exactly one Content-Length.")
    if _FOLDED.search(text):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Send each header in one line.")
    headers = HTTPMessage()
    for name, value in request.headers:
        headers[name.decode("ascii")] = value.decode("latin-1")
    return Head(
        request.method.decode("ascii"),
        request.target.decode("ascii"),
        version,
        headers,
    )


def read_body(length: int, stream: BinaryIO) -> bytes:
    """Read a body.

    Raises:
        RefusedError: the body is late, or the client ends the connection before its end.
    """
    body = stream.read(length)
    if len(body) < length:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The body is shorter than its Content-Length.")
    return body
