"""A DynamoDB endpoint that writes to the socket itself, so that a test can break HTTP in any way.

It reads each request correctly and records it; the test decides the response.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from tests.support.raw_server import RawServer, read_request


@dataclass(frozen=True)
class Request:
    """A recorded request: its first line, its headers with names in lower case, its body."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> Any:
        return json.loads(self.body)


# Responds to a request; returns whether the connection is kept for the next.
Respond = Callable[[socket.socket], bool]


def response(fields: Any = None, status: int = 200, **headers: str) -> bytes:
    """Return a response as DynamoDB's. In names of headers, write _ for -; "" omits a header."""
    body = fields if isinstance(fields, bytes) else json.dumps(fields or {}).encode()
    lines = {
        "Server": "Server",
        "Content-Type": "application/x-amz-json-1.0",
        "Content-Length": str(len(body)),
        "Connection": "keep-alive",
        "x-amzn-RequestId": "AQUESTID",
        "x-amz-crc32": str(crc32(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


def error(kind: str, status: int = 400, message: str = "No.", **headers: str) -> bytes:
    """Return an error response of DynamoDB."""
    fields = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": message}
    return response(fields, status, **headers)


def sends(content: bytes, *, keep: bool = True) -> Respond:
    """Send these bytes, and keep or close the connection."""

    def respond(peer: socket.socket) -> bool:
        peer.sendall(content)
        return keep

    return respond


def drips(content: bytes, pause_s: float) -> Respond:
    """Send these bytes one by one, with a pause before each."""

    def respond(peer: socket.socket) -> bool:
        for byte in content:
            time.sleep(pause_s)
            peer.sendall(bytes([byte]))
        return True

    return respond


def hangs(seconds: float) -> Respond:
    """Send nothing for this time, then close the connection."""

    def respond(peer: socket.socket) -> bool:
        time.sleep(seconds)
        return False

    return respond


def resets(peer: socket.socket) -> bool:
    """Reset the connection."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return False


class RawDynamoDB(RawServer):
    """Responds with each of ``script`` in turn, then with success. None in the script is success.

    Attributes:
        url: its URL.
        requests: every request, in the order of arrival.
        accepted: those that were answered with success, other than by the script.
    """

    def __init__(self, *script: Respond | bytes | None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.script = list(script)
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self._tls = tls
        self._lock = threading.Lock()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{self.origin}"

    def serve(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True)  # detaches the other
                self._open.append(peer)
            with peer:
                while request := _read(peer):
                    with self._lock:
                        self.requests.append(request)
                        act = self.script.pop(0) if self.script else None
                        if act is None:
                            self.accepted.append(request)
                    respond = sends(act or response()) if not callable(act) else act
                    if not respond(peer):
                        return


def _read(peer: socket.socket) -> Request | None:
    """Read one request; None if the client has closed the connection."""
    received = read_request(peer)
    if received is None:
        return None
    head, body = received
    line, *lines = head.split("\r\n")
    pairs = (each.split(": ", 1) for each in lines)
    return Request(line, {name.lower(): value for name, value in pairs}, body)
