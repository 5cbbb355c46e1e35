"""A legacy that writes to the socket itself, so that a test can break HTTP in any way.

It reads each request correctly; the test decides the response.
"""

import re
import socket
from collections.abc import Callable
from contextlib import suppress

from tests.support.raw_server import RawServer, read_request

SUCCESS = b'{"message": "success"}'

# Responds to one request; returns whether the connection is kept for the next.
Respond = Callable[[socket.socket], bool]


def response(body: bytes = SUCCESS, status: str = "200 OK", **headers: str) -> bytes:
    """Return a correct response. In the names of headers, write _ for -."""
    fields = {"Content_Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items() if value]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body


class RawLegacy(RawServer):
    """Responds with ``misbehave`` until ``repair`` is called, and with success from then on.

    ``keys`` has the idempotency key of each request, ``accepted`` those answered with success
    after ``repair``.
    """

    def __init__(self, misbehave: Respond) -> None:
        super().__init__()
        self._misbehave: Respond | None = misbehave
        self.url = f"http://{self.origin}/point-records"
        self.keys: list[str] = []
        self.accepted: set[str] = set()

    def repair(self) -> None:
        self._misbehave = None

    def serve(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            while request := read_request(peer):
                (key,) = re.findall(r"(?i)idempotency-key: (\S+)", request[0])
                self.keys.append(key)
                if misbehave := self._misbehave:
                    if misbehave(peer):
                        continue
                    return
                self.accepted.add(key)
                peer.sendall(response())
