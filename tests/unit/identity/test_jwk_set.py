"""JWK Sets: which keys are accepted, and the text that the table keeps of them."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.identity.jwk_set import MAX_BYTES, JwkSetError, parse_jwk_set

RSA = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 2_048).public_key())
)
EC = json.loads(
    jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
)
WEAK = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 1_024).public_key())  # noqa: S505
)
SMALL_EXPONENT = {**RSA, "e": "Aw"}  # 3
P384 = json.loads(
    jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())
)


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
        SMALL_EXPONENT,
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
    keys = parse_jwk_set(json.dumps({"keys": [entry, {**EC, "kid": "good"}]}).encode()).keys
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


KIDS = st.none() | st.text(max_size=5) | st.sampled_from(["a", "\ud800", "\u00e9"])


@given(st.lists(st.tuples(st.sampled_from([RSA, EC]), KIDS), min_size=1), st.randoms())
def test_text_gives_the_same_keys_and_the_same_text_again(
    entries: list[tuple[dict[str, Any], str | None]], random: Any
) -> None:
    published = [{**key, "use": "sig", "x5c": ["…"], "kid": kid} for key, kid in entries]
    parsed = parse_jwk_set(json.dumps({"keys": published}).encode())
    again = parse_jwk_set(parsed.text)
    assert again.text == parsed.text
    assert again.keys.keys() == parsed.keys.keys()
    random.shuffle(published)
    # The order, and what verifying does not need, make no difference.
    assert parse_jwk_set(json.dumps({"keys": published, "x": 1})).text == parsed.text


def test_text_has_no_private_member() -> None:
    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1())))
    assert "d" in private
    text = parse_jwk_set(json.dumps({"keys": [private]})).text
    assert json.loads(text) == {
        "keys": [{name: private[name] for name in ("kty", "crv", "x", "y")}]
    }


def test_keys_whose_text_would_not_fit_the_table_are_an_error() -> None:
    # A character of two bytes takes six in JSON that is ASCII.
    body = json.dumps({"keys": [{**EC, "kid": "é" * 50_000}]}, ensure_ascii=False).encode()
    assert len(body) < MAX_BYTES
    with pytest.raises(JwkSetError, match="over"):
        parse_jwk_set(body)
