"""An OAuth2 authorization server (Authlib) that protects a REST endpoint for JSON, and one for XML.

It issues tokens by the client-credentials grant, which live ``--lifetime`` seconds. JSON, after
``--latency`` seconds: a new punch gets 201, a duplicate 409, an unknown employee 422. XML: 200 with
a result element.
"""

import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, Response, request
from lxml import etree

from tests.legacies.servers.served import PASSWORD, USER, Database, arguments, recorded, serve
from tests.support.oauth_client import Client, Grant

SCOPE = "punches.write"


class Token:
    """An issued access token."""

    def __init__(self, token: dict[str, Any]) -> None:
        self._scope = token["scope"]
        self._expires_at = time.monotonic() + token["expires_in"]

    def is_expired(self) -> bool:
        return time.monotonic() > self._expires_at

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return self._scope


class Validator(BearerTokenValidator):
    def __init__(self, tokens: dict[str, Token]) -> None:
        super().__init__()
        self._tokens = tokens

    def authenticate_token(self, token_string: str) -> Token | None:
        return self._tokens.get(token_string)


def application(database: Database, lifetime_s: int, latency_s: float) -> Flask:
    app = Flask(__name__)
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": lifetime_s}
    tokens: dict[str, Token] = {}

    def save_token(token: dict[str, Any], _: Any) -> None:
        tokens[token["access_token"]] = Token(token)

    clients = {USER: Client(USER, PASSWORD, SCOPE)}
    server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
    server.register_grant(Grant)
    protected = ResourceProtector()
    protected.register_token_validator(Validator(tokens))

    @app.post("/oauth/token")
    def token() -> Any:
        return server.create_token_response()

    @app.post("/api/v1/employees/<int:employee>/punches")
    @protected(SCOPE)  # type: ignore[untyped-decorator]
    def punch(employee: int) -> tuple[dict[str, Any], int]:
        time.sleep(latency_s)
        document = request.get_json()
        try:
            is_new = database.add(request.headers["X-Request-Id"], employee, document["clockedAt"])
        except LookupError as error:
            return {"ok": False, "error": str(error.args[0])}, 422
        return ({"ok": True}, 201) if is_new else ({"ok": False, "error": "already there"}, 409)

    @app.post("/api/v1/punches")
    @protected(SCOPE)  # type: ignore[untyped-decorator]
    def punch_xml() -> Response:
        document = etree.fromstring(request.get_data())
        key, employee, at = (document.findtext(name) for name in ("key", "employee", "at"))
        try:
            result = "stored" if database.add(str(key), int(employee), str(at)) else "duplicate"
        except LookupError as error:
            result = f"error: {error.args[0]}"
        return Response(f"<result>{result}</result>", content_type="application/xml")

    return app


def main() -> None:
    options = arguments(__doc__, lifetime=3600, latency=0.0)
    database = Database(options.database)
    app = application(database, options.lifetime, options.latency)
    serve(recorded(app, database), options.port)


if __name__ == "__main__":
    main()
