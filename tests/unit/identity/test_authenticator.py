"""Which tokens are believed, and which are not."""

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
from chalicelib.identity.authenticator import Authenticator, Demands, SharedKey
from chalicelib.identity.factory import authenticator
from chalicelib.identity.jwks import IssuerKeys
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
DEMANDS = Demands(CLAIMS["iss"], frozenset({"punch", "other"}), "aud", 30)
NAMES = ClaimNames.of(Settings())


def jwk(key: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    """The public half of a key, as an issuer publishes it."""
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    kind = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
    found = json.loads(kind.to_jwk(key.public_key()))
    return {**found, **({} if kid is None else {"kid": kid}), **members}


def issuer(*keys: dict[str, Any]) -> IssuerKeys:
    return IssuerKeys(lambda: json.dumps({"keys": keys}).encode(), time.monotonic)


SHARED = Authenticator(SharedKey(SECRET.encode()), DEMANDS, NAMES)
ISSUED = Authenticator(
    issuer(jwk(RSA_KEY, "r", use="sig"), jwk(EC_KEY, "e", alg="ES256")), DEMANDS, NAMES
)


def dated(claims: dict[str, Any]) -> dict[str, Any]:
    """Make instants of the seconds from now on that claims have in their place."""
    instants = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    now = int(time.time())
    return claims | {
        name: now + each
        for name, each in instants.items()
        if isinstance(each, int | float) and math.isfinite(each)
    }


def bearer(claims: dict[str, Any], key: Any = SECRET, alg: str = "HS256", **header: Any) -> str:
    return f"Bearer {jwt.encode(dated(claims), key, algorithm=alg, headers=header or None)}"


def by_hand(header: object, claims: object, signature: bytes | None = None) -> str:
    """A token that no library would make, with a signature that is right unless one is given."""

    claims = dated(claims) if isinstance(claims, dict) else claims

    def encoded(value: object) -> str:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    signed = f"{encoded(header)}.{encoded(claims)}"
    right = hmac.digest(SECRET.encode(), signed.encode(), "sha256")
    return f"Bearer {signed}.{encoded(right if signature is None else signature)}"


def test_a_token_speaks_for_a_principal() -> None:
    employer = Principal(Role.EMPLOYER, 121, None, "ada")
    assert SHARED.authenticate([bearer(CLAIMS)]) == employer
    assert SHARED.authenticate([bearer(CLAIMS).replace("Bearer", "bEARER ")]) == employer
    assert ISSUED.authenticate([bearer(CLAIMS, RSA_KEY, "RS256", kid="r")]) == employer
    assert ISSUED.authenticate([bearer(CLAIMS, EC_KEY, "ES256", kid="e")]) == employer
    # Each is the only one of its kind.
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
def test_what_is_within_bounds_is_believed(changes: dict[str, Any]) -> None:
    assert SHARED.authenticate([bearer(CLAIMS | changes)]).employer_id == 121


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": -60},
        {"exp": None},
        {"exp": "soon"},
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
def test_a_token_that_is_not_for_now_and_for_here_is_refused(changes: dict[str, Any]) -> None:
    claims = {name: each for name, each in (CLAIMS | changes).items() if each is not None}
    with pytest.raises(UnauthenticatedError) as refused:
        SHARED.authenticate([by_hand({"alg": "HS256"}, claims)])
    assert refused.value.is_invalid


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
def test_a_header_that_says_anything_else_is_refused(header: object) -> None:
    with pytest.raises(UnauthenticatedError):
        SHARED.authenticate([by_hand(header, CLAIMS)])


@pytest.mark.parametrize(
    "claims",
    [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff", b"[" * 3_000, b'{"exp":' + b"9" * 5_000],
    ids=lambda text: str(text[:10]),
)
def test_claims_that_are_no_object_are_refused(claims: bytes) -> None:
    with pytest.raises(UnauthenticatedError):
        SHARED.authenticate([by_hand({"alg": "HS256"}, claims)])


def test_a_signature_must_be_the_keys() -> None:
    token = bearer(CLAIMS)
    head, claims, signature = token.split(".")
    stranger = bearer(CLAIMS | {"employerId": 122}).split(".")[1]
    for forged in (
        f"{head}.{stranger}.{signature}",
        f"{head}.{claims}.{signature[:-4]}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        bearer(CLAIMS, "t" * 32),
        by_hand({"alg": "HS256"}, CLAIMS, b"\0" * 32),
    ):
        with pytest.raises(UnauthenticatedError):
            SHARED.authenticate([forged])


def test_a_public_key_is_no_shared_secret() -> None:
    """What RFC 8725, section 2.1, warns of: signed by HS256 with what everybody has."""
    for key in (RSA_KEY, EC_KEY):
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for kid in ("r", "e", None):
            header = {"alg": "HS256", **({"kid": kid} if kid else {})}
            unsigned = by_hand(header, CLAIMS).removeprefix("Bearer ").rpartition(".")[0]
            mac = base64.urlsafe_b64encode(hmac.digest(public, unsigned.encode(), "sha256"))
            with pytest.raises(UnauthenticatedError, match="RS256 or ES256"):
                ISSUED.authenticate([f"Bearer {unsigned}.{mac.decode().rstrip('=')}"])
        with pytest.raises(MisconfiguredError, match="public key"):
            authenticator(Settings(), public.decode())


def test_a_key_signs_for_its_own_algorithm_alone() -> None:
    with pytest.raises(UnauthenticatedError, match="no key"):
        ISSUED.authenticate([bearer(CLAIMS, RSA_KEY, "RS256", kid="e")])
    with pytest.raises(UnauthenticatedError, match="no key"):
        ISSUED.authenticate([bearer(CLAIMS, EC_KEY, "ES256", kid="r")])
    with pytest.raises(UnauthenticatedError, match="must be signed"):
        ISSUED.authenticate([bearer(CLAIMS, RSA_KEY, "PS256", kid="r")])


@pytest.mark.parametrize(
    ("headers", "fault", "invalid"),
    [
        ([], UnauthenticatedError, False),
        ([""], UnauthenticatedError, False),
        (["Bearer"], UnauthenticatedError, False),
        (["Basic YTpi"], UnauthenticatedError, False),
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
def test_there_must_be_one_token(
    headers: list[str], fault: type[PunchClockError], invalid: bool | None
) -> None:
    with pytest.raises(fault) as refused:
        SHARED.authenticate(headers)
    assert getattr(refused.value, "is_invalid", None) == invalid
