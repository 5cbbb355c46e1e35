"""A server that responds as scripted, and a connection of the integrator's client to it."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.outcome import CallResult

SUCCESS = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"message": "success"}'

# Responds to one request on a connection, which the server closes afterwards.
Respond = Callable[[socket.socket], None]


class ScriptedServer:
    """Reads one request after another, and responds to each with the next of ``responses``.

    After bytes, the connection is kept. The server ends with its last response.
    """

    def __init__(self, *responses: Respond | bytes) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._responses = list(responses)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/point-records?unit=7"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while self._responses:
            peer, _ = self._listener.accept()
            self.connections += 1
            with peer:
                while self._responses and (request := _read_request(peer)):
                    self.requests.append(request)
                    response = self._responses.pop(0)
                    try:
                        if isinstance(response, bytes):
                            peer.sendall(response)
                        else:
                            response(peer)
                            break
                    except OSError:  # the client has closed the connection
                        break

    @contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        self._thread.start()
        yield self
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def _read_request(peer: socket.socket) -> bytes:
    """Read the head and the body of a request; what the client has sent if it closes before."""
    request = b""
    while part := peer.recv(65_536):
        request += part
        head, blank, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if blank and len(body) >= (int(length[1]) if length else 0):
            break
    return request


def connection_to(url: str, call_timeout_s: float = 5.0) -> LegacyConnection:
    return LegacyConnection(LegacyEndpoint(url, 1.0, 1.0, call_timeout_s))


def send(connection: LegacyConnection) -> CallResult:
    return connection.send("a-key", b'{"id": "a-key"}')


def reset(peer: socket.socket) -> None:
    """Have the server's close reset the connection."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
