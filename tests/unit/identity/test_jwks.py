"""The keys of an issuer: which are accepted, when they are fetched, and what an outage changes."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chalicelib.errors import UnavailableError
from chalicelib.identity.jwks import IssuerKeys, JwkSetError, parse_jwk_set

RSA = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 2_048).public_key())
)
EC = json.loads(
    jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
)
WEAK = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 1_024).public_key())  # noqa: S505
)
P384 = json.loads(
    jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())
)


class Issuer:
    """An issuer that publishes keys with these ids, or is down; with a fake clock."""

    def __init__(self, *kids: str) -> None:
        self.kids = list(kids)
        self.is_down = False
        self.fetches = 0
        self.now = 1_000.0
        self.keys = IssuerKeys(self._read, lambda: self.now)

    def _read(self) -> bytes:
        self.fetches += 1
        if self.is_down:
            raise JwkSetError("down")
        return json.dumps({"keys": [{**RSA, "kid": kid} for kid in self.kids]}).encode()

    def knows(self, kid: str | None) -> bool:
        return self.keys.key("RS256", kid) is not None


def test_keys_are_fetched_once_an_hour() -> None:
    issuer = Issuer("a")
    assert issuer.fetches == 0
    assert all(issuer.knows("a") for _ in range(100))
    assert issuer.fetches == 1
    issuer.now += 3_600
    issuer.kids = ["b"]
    assert not issuer.knows("a")  # withdrawn
    assert issuer.knows("b")
    assert issuer.fetches == 2


def test_new_key_is_fetched_and_invented_ids_cause_one_fetch_in_30_seconds() -> None:
    issuer = Issuer("a")
    assert issuer.knows("a")
    issuer.now += 31
    issuer.kids.append("b")
    assert issuer.knows("b")
    for number in range(1_000):
        issuer.now += 0.01
        assert not issuer.knows(f"invented {number}")
        assert issuer.knows("a")
    assert issuer.fetches == 2
    issuer.now += 30
    assert not issuer.knows("invented")
    assert issuer.fetches == 3


def test_known_keys_stay_valid_while_the_issuer_is_down() -> None:
    issuer = Issuer("a")
    assert issuer.knows("a")
    issuer.is_down = True
    for _ in range(100):
        issuer.now += 600
        assert issuer.knows("a")
    fetches = issuer.fetches
    for _ in range(120):
        issuer.now += 1
        assert issuer.knows("a")
    assert issuer.fetches <= fetches + 2  # a fetch may delay a request by seconds
    with pytest.raises(UnavailableError):
        issuer.knows("b")
    issuer.is_down, issuer.kids = False, ["b"]
    issuer.now += 5
    assert issuer.knows("b")


def test_issuer_that_is_down_from_the_start_is_not_flooded() -> None:
    issuer = Issuer("a")
    issuer.is_down = True
    for _ in range(100):
        issuer.now += 0.1
        with pytest.raises(UnavailableError):
            issuer.knows("a")
    assert issuer.fetches <= 3
    issuer.is_down = False
    issuer.now += 5
    assert issuer.knows("a")


def test_token_without_kid_is_verified_only_if_there_is_one_key() -> None:
    assert Issuer("a").knows(None)
    assert not Issuer("a", "b").knows(None)


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "RS256"},
        {**RSA, "use": "enc"},
        {**RSA, "alg": "RS512"},
        {**RSA, "alg": "HS256"},
        {**RSA, "key_ops": ["encrypt"]},
        {**RSA, "key_ops": "verify"},
        {**RSA, "kid": 7},
        {**RSA, "n": "!"},
        {**RSA, "n": ""},
        {**RSA, "e": None},
        {"kty": "RSA"},
        WEAK,
        P384,
        {**EC, "crv": "secp256k1"},
        {**EC, "x": EC["y"], "y": EC["y"]},
        {**EC, "x": 7},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": ["RSA"]},
        None,
        7,
        [],
    ],
)
def test_key_that_cannot_verify_tokens_is_ignored(entry: Any) -> None:
    keys = parse_jwk_set(json.dumps({"keys": [entry, {**EC, "kid": "good"}]}).encode())
    assert {key for key in keys if key[1] is not None} == {("ES256", "good")}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"keys":[]}', b'{"keys":7}', b'{"keys":{}}', b"\xff",
        b'{"keys":null}', b"[" * 100_000, b"<html>", json.dumps({"keys": [WEAK]}).encode(),
    ],
    ids=lambda body: str(body[:12]),
)  # fmt: skip
def test_response_without_usable_keys_is_an_error(body: bytes) -> None:
    with pytest.raises(JwkSetError):
        parse_jwk_set(body)
