"""An issuer of tokens: it signs ES256 tokens, and publishes its key over TLS."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.http_server import HttpServer, Response


@dataclass(frozen=True)
class TokenIssuer:
    """The issuer. ``authorities`` is a file with the authority of its certificate."""

    jwks_url: str
    authorities: Path
    name: str = "https://issuer.example"
    audience: str = "punch-clock"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def token(self, **claims: Any) -> str:
        """Return a token that is valid for an hour."""
        now = int(time.time())
        stated = {
            "iss": self.name,
            "aud": self.audience,
            "sub": "ada",
            "iat": now,
            "exp": now + 3600,
        }
        return jwt.encode(stated | claims, self.key, algorithm="ES256", headers={"kid": "e"})

    def jwks(self) -> bytes:
        """Return the key set that the issuer publishes."""
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**public, "kid": "e", "alg": "ES256"}]}).encode()


@contextmanager
def running(directory: Path) -> Iterator[TokenIssuer]:
    """Start an issuer on this machine; ``directory`` keeps the certificate of its authority."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    path = directory / "authorities.pem"
    authority.cert_pem.write_to_path(str(path))
    server = HttpServer(lambda _: Response(), tls)
    issuer = TokenIssuer(f"{server.origin}/jwks.json", path)
    server.answer = lambda _: Response(body=issuer.jwks())
    with server.running():
        yield issuer
