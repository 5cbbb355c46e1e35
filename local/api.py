"""The app's routes on Chalice's local server, as ``chalice local`` runs them, fit for a burst.

What differs: it takes a thousand connections at once, an answer leaves in one packet (Nagle's
algorithm would hold its second half back until the client acknowledges the first, 40 ms later), no
line is logged for each request, and what API Gateway would refuse never reaches the app.
"""

import argparse
import json
from http import HTTPStatus
from typing import Any

from chalice import local
from chalice.config import Config

from app import app
from chalicelib import container
from chalicelib.web.headers import OF_GATEWAY
from local.process import HOST

# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_LONGEST_BODY = 10 * 1024 * 1024
_TIMEOUT_S = 29


class _Server(local.ThreadedHTTPServer):  # type: ignore[misc]
    request_queue_size = 1024


class _Handler(local.ChaliceRequestHandler):  # type: ignore[misc]
    wbufsize = 65_536
    disable_nagle_algorithm = True

    def parse_request(self) -> bool:
        """Read the head of a request; answer one whose body API Gateway would not pass on."""
        if not super().parse_request():
            return False
        if len(self.headers.get_all("Authorization", ())) > 1:
            # The app sees one alone of several here; on AWS it sees, and refuses, all.
            self.send_error(HTTPStatus.BAD_REQUEST, "There must be one Authorization header.")
            return False
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.send_error(HTTPStatus.LENGTH_REQUIRED, "The body must come with a Content-Length.")
            return False
        if int(length) > _LONGEST_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long.")
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in the service's one error shape and close the connection."""
        del explain
        status = HTTPStatus(code)
        error = {"code": status.phrase.replace(" ", ""), "message": message or status.phrase}
        body = json.dumps({"error": error}).encode()
        self.send_response(status)
        for name, value in OF_GATEWAY.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def handle_expect_100(self) -> bool:
        """Let the client send its body now: the answer must not wait in the buffer."""
        proceed: bool = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def _send_error_response(self, error: local.LocalGatewayException) -> None:
        # What API Gateway answers where there is no route, in the service's one error shape.
        if not isinstance(error, local.ForbiddenError):
            super()._send_error_response(error)
            return
        body = {"error": {"code": "NotFound", "message": "There is no such route."}}
        self._send_http_response(404, dict(OF_GATEWAY), json.dumps(body))

    def _send_http_response_with_body(self, code: int, headers: Any, body: Any) -> None:
        # These answers have no body, which would be taken for the next answer, and no length, which
        # would be that of the body they do not have: RFC 9110, section 8.6.
        if self.command != "HEAD" and code not in (204, 304):
            super()._send_http_response_with_body(code, headers, body)
            return
        self.send_response(code)
        self._send_headers(headers)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Log nothing: the service logs what is worth it."""


def main() -> None:
    """Read the command line and serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m local.api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    arguments = parser.parse_args()
    _build()
    # As chalice.local.create_local_server: one current request for each thread.
    local.CustomLocalChalice.__bases__ = (local.LocalChalice, app.__class__)
    app.__class__ = local.CustomLocalChalice
    config = Config.create(chalice_app=app, lambda_timeout=_TIMEOUT_S)
    server = local.LocalDevServer(app, config, HOST, arguments.port, _Handler, _Server)
    print(json.dumps({"url": f"http://{HOST}:{server.server.server_port}"}), flush=True)
    server.server.serve_forever()


def _build() -> None:
    """Build what the routes use before threads do: on Lambda, a process has only one."""
    container.intake()
    container.database()


if __name__ == "__main__":
    main()
