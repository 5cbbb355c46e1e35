"""A token issuer on the loopback interface: it publishes its keys, and counts who reads them."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.principal import Role
from tests.support.http_server import HttpServer, Request, Response

NAME = "https://issuer.example/"
AUDIENCE = "punch-clock"


class Issuer:
    """Publishes a key for each of ``kids``.

    Attributes:
        kids: the ids of the published keys. A test may change them.
        is_down: whether it answers 503.
        reads: the number of requests so far.
    """

    def __init__(self, *kids: str) -> None:
        self.kids = list(kids)
        self.is_down = False
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.reads = 0
        self.url = ""

    @contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator["Issuer"]:
        with ExitStack() as self._running:
            server = self._running.enter_context(HttpServer(self._answer, tls).running())
            self.url = f"{server.origin}/jwks.json"
            yield self

    def stop(self) -> None:
        """Close the port: connections to it are refused from now on."""
        self._running.close()

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a stage that trusts this issuer, and has no key of its own."""
        return {
            "JWT_KEY": "",
            "JWKS_URL": self.url,
            "JWT_ISSUER": NAME,
            "JWT_AUDIENCE": AUDIENCE,
        }

    def token(self, kid: str = "a", role: Role = Role.INTEGRATION) -> str:
        """Return a token that is signed with this key, whether it is published or not."""
        claims = {
            "iss": NAME,
            "aud": AUDIENCE,
            "sub": "ada",
            "role": role.value,
            "exp": int(time.time()) + 600,
        }
        return jwt.encode(claims, self._key(kid), algorithm="ES256", headers={"kid": kid})

    def authorization(self, kid: str = "a") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(kid)}"}

    def jwk_set(self) -> bytes:
        """Return the JWK Set of the published keys."""
        keys = [
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key(kid).public_key())), **more}
            for kid in self.kids
            for more in [{"kid": kid, "use": "sig", "alg": "ES256"}]
        ]
        return json.dumps({"keys": keys}).encode()

    def _key(self, kid: str) -> Any:
        if kid not in self._keys:
            self._keys[kid] = ec.generate_private_key(ec.SECP256R1())
        return self._keys[kid]

    def _answer(self, _: Request) -> Response:
        self.reads += 1
        return Response(503) if self.is_down else Response(body=self.jwk_set())
