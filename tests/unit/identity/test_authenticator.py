"""Authentication: which tokens are accepted, and which are rejected."""

import base64
import hmac
import json
import math
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chalicelib.errors import (
    InvalidError,
    MisconfiguredError,
    PunchClockError,
    UnauthenticatedError,
)
from chalicelib.identity.authenticator import Authenticator, SharedKey, TokenRequirements
from chalicelib.identity.factory import authenticator
from chalicelib.identity.issuer_keys import IssuerKeys
from chalicelib.identity.token_claims import ClaimNames
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings

SECRET = "s" * 32
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.example/",
    "aud": "punch",
    "sub": "ada",
    "role": "employer",
    "employerId": 121,
    "exp": 600,
}
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
REQUIREMENTS = TokenRequirements(CLAIMS["iss"], frozenset({"punch", "other"}), "aud", 30)
NAMES = ClaimNames.from_settings(Settings())


def jwk(key: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    """Return the public key as a JWK, as an issuer publishes it."""
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    kind = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
    public = json.loads(kind.to_jwk(key.public_key()))
    return {**public, **({} if kid is None else {"kid": kid}), **members}


def issuer(*keys: dict[str, Any]) -> IssuerKeys:
    return IssuerKeys(lambda: json.dumps({"keys": keys}).encode())


SHARED = Authenticator(SharedKey(SECRET.encode()), REQUIREMENTS, NAMES)
ISSUED = Authenticator(
    issuer(jwk(RSA_KEY, "r", use="sig"), jwk(EC_KEY, "e", alg="ES256")), REQUIREMENTS, NAMES
)


def with_absolute_times(claims: dict[str, Any]) -> dict[str, Any]:
    """Replace the times of the claims, in seconds from now, with seconds since 1970."""
    offsets = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    now = int(time.time())
    return claims | {
        name: now + each
        for name, each in offsets.items()
        if isinstance(each, int | float) and math.isfinite(each)
    }


def bearer(claims: dict[str, Any], key: Any = SECRET, alg: str = "HS256", **header: Any) -> str:
    token = jwt.encode(with_absolute_times(claims), key, algorithm=alg, headers=header or None)
    return f"Bearer {token}"


def assemble(header: object, claims: object, signature: bytes | None = None) -> str:
    """Assemble a token that no library would make; by default with a valid signature."""

    claims = with_absolute_times(claims) if isinstance(claims, dict) else claims

    def encoded(value: object) -> str:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    signed = f"{encoded(header)}.{encoded(claims)}"
    valid = hmac.digest(SECRET.encode(), signed.encode(), "sha256")
    return f"Bearer {signed}.{encoded(valid if signature is None else signature)}"


def test_valid_token_gives_its_principal() -> None:
    employer = Principal(Role.EMPLOYER, 121, None, "ada")
    assert SHARED.authenticate([bearer(CLAIMS)]) == employer
    assert SHARED.authenticate([bearer(CLAIMS).replace("Bearer", "bEARER ")]) == employer
    assert ISSUED.authenticate([bearer(CLAIMS, RSA_KEY, "RS256", kid="r")]) == employer
    assert ISSUED.authenticate([bearer(CLAIMS, EC_KEY, "ES256", kid="e")]) == employer
    # Without a kid: the issuer has one key for each algorithm.
    assert ISSUED.authenticate([bearer(CLAIMS, RSA_KEY, "RS256")]) == employer


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["x", "other"]},
        {"exp": -10},
        {"nbf": 10},
        {"exp": 60.0},
        {"iat": 0, "jti": "x", "more": {"a": [1]}},
    ],
)
def test_token_within_the_leeway_or_with_further_claims_is_accepted(
    changes: dict[str, Any],
) -> None:
    assert SHARED.authenticate([bearer(CLAIMS | changes)]).employer_id == 121


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": -60},
        {"exp": None},
        {"exp": "soon"},
        {"exp": "99999999999"},
        {"nbf": "0"},
        {"iat": "0"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": [60]},
        {"nbf": 60},
        {"nbf": float("inf")},
        {"iat": 600},
        {"iss": "https://issuer.example"},
        {"iss": None},
        {"iss": [CLAIMS["iss"]]},
        {"aud": "punches"},
        {"aud": None},
        {"aud": {"punch": 1}},
        {"aud": [["punch"]]},
        {"sub": {"x": 1}},
    ],
)
def test_token_with_wrong_time_issuer_audience_or_subject_is_rejected(
    changes: dict[str, Any],
) -> None:
    claims = {name: each for name, each in (CLAIMS | changes).items() if each is not None}
    with pytest.raises(UnauthenticatedError) as rejected:
        SHARED.authenticate([assemble({"alg": "HS256"}, claims)])
    assert rejected.value.is_invalid


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS384"},
        {"alg": "hs256"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {},
        {"alg": "HS256", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "typ": "logout+jwt"},
        {"alg": "HS256", "typ": 7},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "kid": "k" * 257},
        {"alg": "HS256", "x": "y" * 3_000},
        ["HS256"],
        "HS256",
        7,
        b"",
        b"{",
        b"\xff\xfe",
        b'{"alg":"none","alg":"HS256"}',
        b'{"alg":"HS256","x":NaN}',
        b'{"alg":"HS256","x":' + b"[" * 1_500,
        b'{"alg":"HS256","x":' + b"9" * 1_500,
    ],
    ids=str,
)
def test_token_with_an_unsupported_or_malformed_header_is_rejected(header: object) -> None:
    with pytest.raises(UnauthenticatedError):
        SHARED.authenticate([assemble(header, CLAIMS)])


@pytest.mark.parametrize(
    "claims",
    [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff", b"[" * 3_000, b'{"exp":' + b"9" * 5_000],
    ids=lambda text: str(text[:10]),
)
def test_claims_that_are_not_a_json_object_are_rejected(claims: bytes) -> None:
    with pytest.raises(UnauthenticatedError):
        SHARED.authenticate([assemble({"alg": "HS256"}, claims)])


def test_forged_signature_is_rejected() -> None:
    token = bearer(CLAIMS)
    head, claims, signature = token.split(".")
    other_claims = bearer(CLAIMS | {"employerId": 122}).split(".")[1]
    for forged in (
        f"{head}.{other_claims}.{signature}",
        f"{head}.{claims}.{signature[:-4]}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        bearer(CLAIMS, "t" * 32),
        assemble({"alg": "HS256"}, CLAIMS, b"\0" * 32),
    ):
        with pytest.raises(UnauthenticatedError):
            SHARED.authenticate([forged])


def test_public_key_is_rejected_as_a_shared_secret() -> None:
    """The attack of RFC 8725, section 2.1: sign with HS256 and the public key as the secret."""
    for key in (RSA_KEY, EC_KEY):
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for kid in ("r", "e", None):
            header = {"alg": "HS256", **({"kid": kid} if kid else {})}
            unsigned = assemble(header, CLAIMS).removeprefix("Bearer ").rpartition(".")[0]
            mac = base64.urlsafe_b64encode(hmac.digest(public, unsigned.encode(), "sha256"))
            with pytest.raises(UnauthenticatedError, match="RS256 or ES256"):
                ISSUED.authenticate([f"Bearer {unsigned}.{mac.decode().rstrip('=')}"])
        with pytest.raises(MisconfiguredError, match="public key"):
            authenticator(Settings(), public.decode())


def test_key_verifies_only_its_own_algorithm() -> None:
    with pytest.raises(UnauthenticatedError, match="does not know"):
        ISSUED.authenticate([bearer(CLAIMS, RSA_KEY, "RS256", kid="e")])
    with pytest.raises(UnauthenticatedError, match="does not know"):
        ISSUED.authenticate([bearer(CLAIMS, EC_KEY, "ES256", kid="r")])
    with pytest.raises(UnauthenticatedError, match="must be signed"):
        ISSUED.authenticate([bearer(CLAIMS, RSA_KEY, "PS256", kid="r")])


@pytest.mark.parametrize(
    ("headers", "error", "is_invalid"),
    [
        ([], UnauthenticatedError, False),
        ([""], UnauthenticatedError, False),
        (["Bearer"], UnauthenticatedError, False),
        (["Basic YTpi"], UnauthenticatedError, True),
        ([bearer(CLAIMS).removeprefix("Bearer ")], UnauthenticatedError, False),
        ([bearer(CLAIMS) + ", " + bearer(CLAIMS)], UnauthenticatedError, False),
        (["Bearer x"], UnauthenticatedError, True),
        (["Bearer a.b.c.d.e"], UnauthenticatedError, True),
        (["Bearer é.é.é"], UnauthenticatedError, True),
        (["Bearer " + "a" * 4_000 + "." + "b" * 4_000 + "." + "c" * 4_000],
         UnauthenticatedError, True),
        ([bearer(CLAIMS), bearer(CLAIMS)], InvalidError, None),
    ],
    )  # fmt: skip
def test_request_must_have_exactly_one_token(
    headers: list[str], error: type[PunchClockError], is_invalid: bool | None
) -> None:
    with pytest.raises(error) as rejected:
        SHARED.authenticate(headers)
    assert getattr(rejected.value, "is_invalid", None) == is_invalid
