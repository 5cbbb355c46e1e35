"""An HTTP server in threads whose answers a test decides, over TLS if the test wants it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from typing import Any

SUCCESS = b'{"message": "success"}'


@dataclass(frozen=True)
class Request:
    """One request. ``connection`` counts the connections of the server, from 1."""

    method: str
    path: str
    headers: Message
    body: bytes
    connection: int


@dataclass(frozen=True)
class Response:
    """One response; the server adds Content-Length."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = SUCCESS


Answer = Callable[[Request], Response]


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Serve in a thread until the context is left."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
        assert not thread.is_alive()


class HttpServer:
    """Answers each request with what ``answer`` returns; ``requests`` has all of them."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def setup(self) -> None:
                super().setup()
                outer._connections += 1
                self.connection_number = outer._connections

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                request = Request(
                    self.command, self.path, self.headers, body, self.connection_number
                )
                outer.requests.append(request)
                response = outer.answer(request)
                self.send_response_only(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            do_GET = do_PUT = do_PATCH = do_POST  # noqa: N815 - names of http.server
            do_CONNECT = do_POST  # noqa: N815 - the request to a proxy

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False  # the end waits for each connection
            request_queue_size = 128  # by default 5: further connections try again after a second

            def finish_request(self, request: Any, client_address: Any) -> None:
                if tls is None:
                    super().finish_request(request, client_address)
                    return
                request.settimeout(10)
                with tls.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                ) as secure:
                    try:
                        secure.do_handshake()
                    except ssl.SSLError:
                        # A close at once would reset the connection before the alert arrives.
                        while socket.socket.recv(secure, 65_536):
                            pass
                        return
                    super().finish_request(secure, client_address)

            def handle_error(self, *_: Any) -> None:
                """Ignore clients that close the connection or fail the handshake."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        self.origin = f"{scheme}://{host}:{self.port}"
        self.url = f"{self.origin}/point-records"

    @contextmanager
    def running(self) -> Iterator["HttpServer"]:
        with serving(self._server):
            yield self
