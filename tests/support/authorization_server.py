"""An OAuth 2.0 authorization server: authlib's, with the client credentials grant."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer as Authlib
from flask import Flask
from werkzeug.serving import make_server

from tests.support.http_server import serving
from tests.support.oauth_client import Client, Grant

CLIENT_SECRET = "s3cret-of-the-client"


class AuthorizationServer:
    """Issues tokens until the test revokes them. ``url`` is the token endpoint's."""

    def __init__(self) -> None:
        self.client = Client("punch-clock", CLIENT_SECRET, "punches:write")
        self.issued: list[str] = []
        self.valid: set[str] = set()
        app = Flask("authorization")
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": 3600}
        authlib = Authlib(app, query_client=self._find, save_token=self._save)
        authlib.register_grant(Grant)

        @app.post("/token")
        def token() -> Any:
            return authlib.create_token_response()

        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}/token"

    def _find(self, client_id: str) -> Client | None:
        return self.client if client_id == self.client.client_id else None

    def _save(self, token: dict[str, Any], _: object) -> None:
        self.issued.append(token["access_token"])
        self.valid.add(token["access_token"])

    def accepts(self, authorization: str | None) -> bool:
        """Return whether a resource server would accept the header."""
        return (authorization or "").removeprefix("Bearer ") in self.valid

    @contextmanager
    def running(self) -> Iterator["AuthorizationServer"]:
        with serving(self._server):
            yield self
