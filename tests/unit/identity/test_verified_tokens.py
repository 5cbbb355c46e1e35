"""Tokens that were verified before: accepted as long as a full validation would accept them."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import ForbiddenError, UnauthenticatedError
from chalicelib.identity.authenticator import Authenticator, SharedKey, TokenRequirements
from chalicelib.identity.issuer_keys import IssuerKeys
from chalicelib.identity.token_claims import ClaimNames
from chalicelib.identity.verified_tokens import Verified, VerifiedTokens
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings

SECRET = "s" * 32
REQUIREMENTS = TokenRequirements("", frozenset(), "aud", 0)
NAMES = ClaimNames.from_settings(Settings())
OPERATOR = Principal(Role.INTEGRATION, subject="ada")


class ReplaceableKey:
    """A shared key that a test can replace."""

    algorithms = ("HS256",)

    def __init__(self) -> None:
        self.secret = SECRET.encode()

    def key(self, algorithm: str, kid: str | None) -> Any:
        del algorithm, kid
        return self.secret


def token(**claims: Any) -> str:
    default = {"sub": "ada", "role": "integration", "exp": int(time.time()) + 600}
    return jwt.encode({**default, **claims}, SECRET, algorithm="HS256")


def verified(starts_at: int = 0, expires_at: int = 0) -> Verified:
    return Verified("HS256", None, b"", starts_at, expires_at, OPERATOR)


def test_repeated_token_has_the_same_principal() -> None:
    authenticator = Authenticator(ReplaceableKey(), REQUIREMENTS, NAMES)
    sent = token()
    assert [authenticator.authenticate_token(sent) for _ in range(3)] == [OPERATOR] * 3
    assert authenticator._verified.get(sent) is not None


def test_token_is_rejected_once_its_key_is_replaced() -> None:
    keys = ReplaceableKey()
    authenticator = Authenticator(keys, REQUIREMENTS, NAMES)
    sent = token()
    authenticator.authenticate_token(sent)
    keys.secret = b"t" * 32
    with pytest.raises(UnauthenticatedError, match="signature"):
        authenticator.authenticate_token(sent)


def test_token_is_rejected_once_the_issuer_withdraws_its_key() -> None:
    now = 0.0
    old, new = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    published = [old]

    def read() -> bytes:
        keys = [
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(each.public_key())), "kid": "k"}
            for each in published
        ]
        return json.dumps({"keys": keys}).encode()

    issuer_keys = IssuerKeys(read, clock=lambda: now)
    authenticator = Authenticator(issuer_keys, REQUIREMENTS, NAMES)
    claims = {"sub": "ada", "role": "integration", "exp": int(time.time()) + 600}
    sent = jwt.encode(claims, old, algorithm="ES256", headers={"kid": "k"})
    for _ in range(2):
        assert authenticator.authenticate_token(sent) == OPERATOR
    now += 3_601  # the keys are read again
    assert authenticator.authenticate_token(sent) == OPERATOR
    published[:] = [new]
    assert authenticator.authenticate_token(sent) == OPERATOR
    now += 3_601
    with pytest.raises(UnauthenticatedError):
        authenticator.authenticate_token(sent)


def test_token_expires_although_it_is_known() -> None:
    requirements = TokenRequirements("", frozenset(), "aud", 30)
    authenticator = Authenticator(SharedKey(SECRET.encode()), requirements, NAMES)
    sent = token(exp=int(time.time()) - 28)  # within the leeway for one to two seconds
    assert authenticator.authenticate_token(sent) == OPERATOR

    def send_for(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            authenticator.authenticate_token(sent)

    with pytest.raises(UnauthenticatedError, match="expired"):
        send_for(5)


@pytest.mark.parametrize("claims", [{"role": "nobody"}, {"role": "employer"}], ids=str)
def test_token_without_access_is_not_remembered(claims: dict[str, Any]) -> None:
    authenticator = Authenticator(SharedKey(SECRET.encode()), REQUIREMENTS, NAMES)
    sent = token(**claims)
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            authenticator.authenticate_token(sent)
    assert authenticator._verified.get(sent) is None


def test_token_that_differs_in_one_character_is_unknown() -> None:
    authenticator = Authenticator(SharedKey(SECRET.encode()), REQUIREMENTS, NAMES)
    sent = token()
    authenticator.authenticate_token(sent)
    for at in range(0, len(sent), 7):
        forged = sent[:at] + ("A" if sent[at] != "A" else "B") + sent[at + 1 :]
        with pytest.raises(UnauthenticatedError):
            authenticator.authenticate_token(forged)


def test_oldest_of_too_many_tokens_is_forgotten() -> None:
    tokens = VerifiedTokens()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: tokens.add(f"token {number}", verified()), range(3_000)))
    tokens.add("the last", verified())
    assert len(tokens._by_digest) == 1_000
    assert tokens.get("the last") == verified()
    assert "the last" not in str(tokens._by_digest)


INSTANTS = st.one_of(st.integers(0, 4_000), st.just(10**400))


@given(
    claims=st.fixed_dictionaries({"exp": INSTANTS}, optional={"nbf": INSTANTS, "iat": INSTANTS}),
    now=st.floats(0, 4_000),
    leeway_s=st.sampled_from([0.0, 0.5, 30.0]),
)
def test_times_of_a_known_token_are_judged_as_pyjwt_judges_them(
    claims: Mapping[str, int], now: float, leeway_s: float
) -> None:
    validator = jwt.PyJWT()
    try:
        for name in claims:
            getattr(validator, f"_validate_{name}")(claims, now, leeway_s)
    except jwt.PyJWTError:
        is_valid = False
    else:
        is_valid = True
    starts_at = max(claims.get("nbf", 0), claims.get("iat", 0))
    assert verified(starts_at, claims["exp"]).is_valid_at(now, leeway_s) == is_valid
