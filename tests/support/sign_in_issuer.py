"""An OpenID Connect issuer that signs everybody in: authorization code with PKCE (RFC 7636)."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.principal import Role
from tests.support.http_server import HttpServer, Request, Response

CLIENT_ID = "console"
AUDIENCE = "punch-clock"
# So short that a test sees a token expire.
LIFETIME_S = 2
_JSON = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}


class SignInIssuer:
    """Signs everybody in as the operator ``ada``.

    Attributes:
        grants: the grants for which it has given tokens, in order.
    """

    def __init__(self) -> None:
        self._server = HttpServer(self._answer)
        self.origin = self._server.origin
        self.grants: list[str] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._codes: dict[str, tuple[str, str]] = {}  # the challenge and the redirect_uri
        self._refresh_tokens: set[str] = set()

    @contextmanager
    def running(self) -> Iterator["SignInIssuer"]:
        with self._server.running():
            yield self

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a stage on which people sign in here."""
        return {
            "JWT_KEY": "",
            "JWKS_URL": f"{self.origin}/jwks",
            "JWT_ISSUER": self.origin,
            "JWT_AUDIENCE": AUDIENCE,
            "JWT_LEEWAY_S": "0",
            "CONSOLE_CLIENT_ID": CLIENT_ID,
        }

    def _answer(self, request: Request) -> Response:
        url = urlsplit(request.path)
        match url.path:
            case "/.well-known/openid-configuration":
                return _json(
                    {
                        "issuer": self.origin,
                        "authorization_endpoint": f"{self.origin}/authorize",
                        "token_endpoint": f"{self.origin}/token",
                    }
                )
            case "/jwks":
                public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
                return _json({"keys": [{**public, "kid": "a", "use": "sig", "alg": "ES256"}]})
            case "/authorize":
                return self._authorize(_options(url.query))
            case "/token":
                return self._token(_options(request.body.decode()))
        return Response(404, _JSON, b"{}")

    def _authorize(self, asked: dict[str, str]) -> Response:
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self._codes[code] = (asked["code_challenge"], asked["redirect_uri"])
        answer = urlencode({"code": code, "state": asked["state"], "iss": self.origin})
        return Response(302, {"Location": f"{asked['redirect_uri']}?{answer}"}, b"")

    def _token(self, asked: dict[str, str]) -> Response:
        if asked["grant_type"] == "authorization_code":
            challenge, redirect = self._codes.pop(asked["code"])
            digest = hashlib.sha256(asked["code_verifier"].encode()).digest()
            expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if (challenge, redirect) != (expected, asked["redirect_uri"]):
                return Response(400, _JSON, b'{"error": "invalid_grant"}')
        elif asked["refresh_token"] not in self._refresh_tokens:
            return Response(400, _JSON, b'{"error": "invalid_grant"}')
        self.grants.append(asked["grant_type"])
        refresh_token = secrets.token_urlsafe()
        self._refresh_tokens.add(refresh_token)
        claims = {
            "iss": self.origin,
            "aud": AUDIENCE,
            "sub": "ada",
            "role": Role.INTEGRATION.value,
            "exp": int(time.time()) + LIFETIME_S,
        }
        token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": "a"})
        return _json({"access_token": token, "refresh_token": refresh_token})


def _json(value: object) -> Response:
    return Response(200, _JSON, json.dumps(value).encode())


def _options(text: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(text).items()}
