"""Read one HTTP/1.1 response (RFC 9112), strictly and in bounded size.

A response is accepted only if its end is certain: it has a Content-Length or is chunked. DynamoDB
always sends a Content-Length. Anything else is an error, so that it is never taken for an
acknowledgment of DynamoDB.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

_MAX_HEAD_BYTES = 65_536
# An item has at most 400 KB: JSON may escape each byte to six.
_MAX_BODY_BYTES = 4 * 1024 * 1024
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n\0]*)?")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,10}")
_CHUNK_LENGTH = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\r\n]*)?")

Receive = Callable[[], bytes]
"""Returns the next bytes of a connection; none if the peer has closed it."""


class MalformedResponseError(Exception):
    """The bytes are no HTTP/1.1 response, or it is too large. The message has the reason."""


class IncompleteResponseError(MalformedResponseError):
    """The peer closed the connection before the end of the response."""


class Response(NamedTuple):
    """A response.

    Attributes:
        status: the status code.
        headers: the headers; names are in lower case.
        body: the body, without its transfer coding.
        keeps_connection: whether the connection can take another request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    keeps_connection: bool


def read_response(receive: Receive) -> Response:
    """Read one response.

    Raises:
        MalformedResponseError: the peer sent something else.
    """
    received = b""
    status = 100
    while status < 200:  # an interim response comes before the response: RFC 9110, section 15.2
        head, received = _head(received, receive)
        version, status, headers = _parse_head(head)
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        # With both, the two ends of a connection may disagree on the end of a response.
        if coding.lower() != "chunked" or length is not None or version == "0":
            _reject("its Transfer-Encoding is not chunked alone")
        body, rest = _read_chunks(received, receive)
    elif length is None or not _LENGTH.fullmatch(length):
        _reject("it has no valid Content-Length")
    else:
        body, rest = _read_exactly(int(length), received, receive)
    options = headers.get("connection", "").lower()
    # Bytes after the response are not the response to the next request.
    return Response(status, headers, body, version == "1" and "close" not in options and not rest)


def _head(received: bytes, receive: Receive) -> tuple[str, bytes]:
    """Return the head of a response, and the bytes after it."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > _MAX_HEAD_BYTES:
            _reject(f"its head is over {_MAX_HEAD_BYTES} bytes")
        received += _more(receive)
    return received[:end].decode("latin-1"), received[end + 4 :]


def _parse_head(head: str) -> tuple[str, int, dict[str, str]]:
    """Return the minor version, the status and the headers."""
    first, *lines = head.split("\r\n")
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        _reject("it does not start with a status line")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            _reject("a header is malformed")
        name, value = header[1].lower(), header[2]
        if headers.setdefault(name, value) != value:
            # Of the headers that matter here, none is a list.
            headers[name] += f", {value}"
    return match[1], int(match[2]), headers


def _read_exactly(length: int, received: bytes, receive: Receive) -> tuple[bytes, bytes]:
    """Return the next ``length`` bytes, and those after them that have arrived."""
    if length > _MAX_BODY_BYTES:
        _reject(f"its body is over {_MAX_BODY_BYTES} bytes")
    if len(received) < length:
        parts = [received]
        missing = length - len(received)
        while missing > 0:
            parts.append(_more(receive))
            missing -= len(parts[-1])
        received = b"".join(parts)
    return received[:length], received[length:]


def _read_chunks(received: bytes, receive: Receive) -> tuple[bytes, bytes]:
    """Return a chunked body (RFC 9112, section 7.1), and the bytes after it that have arrived."""
    body = b""
    while True:
        line, received = _line(received, receive)
        size = _CHUNK_LENGTH.fullmatch(line)
        if size is None:
            _reject("the length of a chunk is malformed")
        length = int(size[1], 16)
        if length == 0:
            break
        chunk, received = _read_exactly(length, received, receive)
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            _reject(f"its body is over {_MAX_BODY_BYTES} bytes")
        end, received = _line(received, receive)
        if end:
            _reject("a chunk is longer than its length")
    trailers = 0
    while line:
        line, received = _line(received, receive)
        trailers += len(line)
        if trailers > _MAX_HEAD_BYTES:
            _reject(f"its trailers are over {_MAX_HEAD_BYTES} bytes")
    return body, received


def _line(received: bytes, receive: Receive) -> tuple[bytes, bytes]:
    while (end := received.find(b"\r\n")) < 0:
        if len(received) > _MAX_HEAD_BYTES:
            _reject(f"a line is over {_MAX_HEAD_BYTES} bytes")
        received += _more(receive)
    return received[:end], received[end + 2 :]


def _more(receive: Receive) -> bytes:
    received = receive()
    if not received:
        raise IncompleteResponseError("the response is incomplete")
    return received


def _reject(reason: str) -> NoReturn:
    raise MalformedResponseError(f"the response is not HTTP/1.1: {reason}")
