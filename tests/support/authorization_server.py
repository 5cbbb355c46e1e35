"""An OAuth 2.0 authorization server: authlib's, with the client credentials grant."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer as Authlib
from authlib.oauth2.rfc6749 import ClientMixin, grants
from flask import Flask
from werkzeug.serving import make_server

from tests.support.http_server import serving


class Client(ClientMixin):
    """The one client."""

    client_id = "punch-clock"
    secret = "s3cret-of-the-client"
    scope = "punches:write"

    def check_client_secret(self, secret: str) -> bool:
        return secret == self.secret

    def check_endpoint_auth_method(self, method: str, _: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: Any) -> str:
        return scope if scope in ("", self.scope) else ""


class AuthorizationServer:
    """Issues tokens until the test revokes them. ``url`` is the token endpoint's."""

    def __init__(self) -> None:
        self.client = Client()
        self.issued: list[str] = []
        self.valid: set[str] = set()
        app = Flask("authorization")
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": 3600}
        authlib = Authlib(app, query_client=self._find, save_token=self._save)
        authlib.register_grant(_Grant)

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


class _Grant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
