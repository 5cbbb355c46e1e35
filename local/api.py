"""Serve the app's routes with Chalice's local server, adapted to load and to API Gateway's limits.

Differences from ``chalice local``: it accepts a thousand connections at once; it sends each
response in one packet (Nagle's algorithm would delay the second packet until the client's
acknowledgement of the first, 40 ms later); it logs no line per request; it reads requests strictly
and under deadlines (``timed_requests``); and it rejects or changes what API Gateway would
(``gateway``).
"""

import argparse
import io
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

from chalice import local
from chalice.config import Config

from app import app
from chalicelib import container
from chalicelib.web.headers import GATEWAY_ERROR_HEADERS, LIST_HEADERS
from local import workers
from local.gateway import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    TIMEOUT_S,
    ApiGateway,
    decode_header,
    has_rejected_characters,
)
from local.loopback import HOST
from local.timed_requests import (
    BODY_S,
    HEAD_S,
    IDLE_S,
    RefusedError,
    TimedSocket,
    read_body,
    read_head,
)


class _Server(local.ThreadedHTTPServer):  # type: ignore[misc]
    request_queue_size = 1024
    socket: Any
    # The listening socket of a worker; None in the process that binds the port.
    inherited: Any = None

    def server_bind(self) -> None:
        """Bind the port, or take over the socket that is bound to it."""
        if self.inherited is None:
            super().server_bind()
            return
        self.socket.close()
        self.socket = self.inherited
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address


class _Handler(local.ChaliceRequestHandler):  # type: ignore[misc]
    wbufsize = 65_536
    disable_nagle_algorithm = True

    def __init__(self, *connection: Any, app_object: Any, config: Config) -> None:
        self.local_gateway = ApiGateway(app_object, config)
        BaseHTTPRequestHandler.__init__(self, *connection)

    def setup(self) -> None:
        super().setup()
        self._timed = TimedSocket(self.connection)
        self.rfile = io.BufferedReader(self._timed, 65_536)
        self.wfile = io.BufferedWriter(self._timed, self.wbufsize)

    def handle_one_request(self) -> None:
        """Serve a request; answer one that is malformed or late, and end the connection."""
        self.close_connection = True
        self.command = self.requestline = ""
        self.request_version = self.protocol_version
        self._timed.allow(IDLE_S)
        try:
            if not self.rfile.peek(1):
                return
        except (RefusedError, OSError):  # idle for too long, or broken
            return
        self._timed.allow(HEAD_S)
        try:
            if self.parse_request():
                self._timed.allow(BODY_S)
                getattr(self, f"do_{self.command}")()
            self.wfile.flush()
        except RefusedError as error:
            self.send_error(error.status, error.message)
        except OSError:  # the client has gone, or does not receive the response
            self.close_connection = True

    def parse_request(self) -> bool:
        """Read the head of a request; reject it if API Gateway would not pass it on.

        Raises:
            RefusedError: the head is malformed, too long, or late.
        """
        head = read_head(self.rfile, MAX_HEAD_BYTES)
        self.command, self.request_version, self.headers = head.method, head.version, head.headers
        self.path = f"/{head.target.lstrip('/')}" if head.target.startswith("//") else head.target
        connection = self.headers.get("connection", "").lower()
        self.close_connection = "close" in connection or (
            self.request_version != "HTTP/1.1" and "keep-alive" not in connection
        )
        if not hasattr(self, f"do_{self.command}"):
            self.send_error(HTTPStatus.NOT_IMPLEMENTED, "The service has no such method.")
            return False
        if has_rejected_characters(self.path):
            self.send_error(
                HTTPStatus.BAD_REQUEST, "Write | as %7C, { as %7B and } as %7D in a query string."
            )
            return False
        if len(self.headers.get_all("Authorization", ())) > 1:
            # Chalice's local server shows the app only one of them. On AWS the app sees all of
            # them and rejects the request.
            self.send_error(HTTPStatus.BAD_REQUEST, "Send exactly one Authorization header.")
            return False
        if "Transfer-Encoding" in self.headers:
            self.send_error(
                HTTPStatus.LENGTH_REQUIRED,
                "Send the body with a Content-Length header and without Transfer-Encoding.",
            )
            return False
        if int(self.headers.get("Content-Length", "0")) > MAX_BODY_BYTES:
            self.send_error(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body is longer than {MAX_BODY_BYTES} bytes.",
            )
            return False
        if self.headers.get("expect", "").lower() == "100-continue":
            return self.handle_expect_100()
        return True

    def _parse_payload(self) -> tuple[dict[str, str], bytes | None]:
        length = int(self.headers.get("Content-Length", "0"))
        # As in an event of API Gateway, a header that is repeated has its last value. Chalice's
        # local server passes on no others, so the lines of a list are joined here.
        headers = {name.lower(): decode_header(value) for name, value in self.headers.items()}
        for name in headers.keys() & LIST_HEADERS:
            headers[name] = ", ".join(map(decode_header, self.headers.get_all(name, ())))
        return headers, read_body(length, self.rfile) if length else None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send the service's error envelope and close the connection."""
        del explain
        status = HTTPStatus(code)
        error = {"code": status.phrase.replace(" ", ""), "message": message or status.phrase}
        body = json.dumps({"error": error}).encode()
        self.send_response(status)
        for name, value in GATEWAY_ERROR_HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def handle_expect_100(self) -> bool:
        """Tell the client to send its body, at once: flush the buffered interim response."""
        proceed: bool = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def _send_error_response(self, error: local.LocalGatewayException) -> None:
        # API Gateway's response for an unknown route, in the service's error envelope.
        if not isinstance(error, local.ForbiddenError):
            super()._send_error_response(error)
            return
        body = {"error": {"code": "NotFound", "message": "No route has this path."}}
        self._send_http_response(404, dict(GATEWAY_ERROR_HEADERS), json.dumps(body))

    def _send_http_response_with_body(self, code: int, headers: Any, body: Any) -> None:
        # A client would read the body of these responses as the next response. Their Content-Length
        # would be that of a body that is not sent: RFC 9110, section 8.6.
        if self.command != "HEAD" and code not in (204, 304):
            super()._send_http_response_with_body(code, headers, body)
            return
        self.send_response(code)
        self._send_headers(headers)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Log nothing, because the service writes its own log."""


def main() -> None:
    """Parse the command line and serve until the process is stopped."""
    parser = argparse.ArgumentParser(prog="python -m local.api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the port; 0 chooses any free port")
    parser.add_argument("--workers", type=int, default=1, help="how many processes serve the port")
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.listener is not None:
        _Server.inherited = workers.inherit(arguments.listener)
    _build_collaborators()
    # As in chalice.local.create_local_server: each thread has its own current request.
    local.CustomLocalChalice.__bases__ = (local.LocalChalice, app.__class__)
    app.__class__ = local.CustomLocalChalice
    config = _read_config()
    server = local.LocalDevServer(app, config, HOST, arguments.port, _Handler, _Server)
    if arguments.listener is None:
        workers.start(server.server.socket, arguments.workers - 1, "local.api")
        print(json.dumps({"url": f"http://{HOST}:{server.server.server_port}"}), flush=True)
    server.server.serve_forever()


def _read_config() -> Any:
    """Return what Chalice's local gateway reads for each request, read once: a slow look-up."""
    config = Config.create(chalice_app=app, lambda_timeout=TIMEOUT_S)
    names = ("function_name", "lambda_memory_size", "lambda_timeout")
    return SimpleNamespace(**{name: getattr(config, name) for name in names})


def _build_collaborators() -> None:
    """Build the objects that the routes share before the server starts threads.

    On Lambda a process handles one request at a time, so the container builds them without a lock.
    """
    container.intake()
    container.database()


if __name__ == "__main__":
    main()
