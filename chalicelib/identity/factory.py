"""The authenticator that a stage's settings ask for, or what they lack.

A stage has one kind of keys: an issuer's (``JWKS_URL``) or one of its own (``JWT_KEY``), never
both, so that no key of the one kind can ever stand for one of the other.
"""

import time
from urllib.parse import urlsplit

import jwt

from chalicelib.errors import MisconfiguredError
from chalicelib.identity.authenticator import Authenticator, Demands, Keys, SharedKey
from chalicelib.identity.jwks import IssuerKeys, read_url
from chalicelib.identity.token_claims import ClaimNames
from chalicelib.net import is_http_url, is_loopback
from chalicelib.settings import Settings

_SHORTEST_KEY = 32


def authenticator(settings: Settings, shared_key: str) -> Authenticator:
    """Build the authenticator.

    Args:
        settings: of the stage.
        shared_key: what ``JWT_KEY`` stands for.

    Raises:
        MisconfiguredError: saying which setting is missing or wrong. Nobody comes in until it is
            mended.
    """
    demands = Demands(
        settings.jwt_issuer,
        frozenset(each for each in map(str.strip, settings.jwt_audience.split(",")) if each),
        settings.jwt_audience_claim,
        settings.jwt_leeway_s,
    )
    if settings.jwks_url and shared_key:
        raise MisconfiguredError("JWKS_URL and JWT_KEY are both set: a stage has one of them.")
    if settings.jwks_url:
        return Authenticator(_issuer_keys(settings, demands), demands, _claim_names(settings))
    if shared_key:
        return Authenticator(_shared_key(shared_key), demands, _claim_names(settings))
    raise MisconfiguredError(
        "This stage has no key to check tokens with. Set JWKS_URL, JWT_ISSUER and JWT_AUDIENCE, or"
        " JWT_KEY: docs/security.md."
    )


def _issuer_keys(settings: Settings, demands: Demands) -> Keys:
    if not (demands.issuer and demands.audiences):
        raise MisconfiguredError("JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE: docs/security.md.")
    url = urlsplit(settings.jwks_url) if is_http_url(settings.jwks_url) else None
    if url is None or (url.scheme == "http" and not is_loopback(url.hostname)):
        raise MisconfiguredError("JWKS_URL must be an https URL.")
    return IssuerKeys(lambda: read_url(settings.jwks_url), time.monotonic)


def _claim_names(settings: Settings) -> ClaimNames:
    found = ClaimNames.of(settings)
    names = {name for name, _ in found.roles}
    if len(names) < len(found.roles) or not all(map(str.strip, names)):
        raise MisconfiguredError(
            "JWT_EMPLOYEE_ROLE, JWT_EMPLOYER_ROLE and JWT_INTEGRATION_ROLE must be three names: of"
            " two roles of one name, the token would be taken for the one that may do more."
        )
    return found


def _shared_key(text: str) -> Keys:
    secret = text.encode()
    if len(secret) < _SHORTEST_KEY:
        raise MisconfiguredError(f"JWT_KEY must have {_SHORTEST_KEY} bytes or more.")
    try:
        jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.InvalidKeyError as error:
        # Anybody has it: with a public key for a secret, anybody could sign. RFC 8725, 2.1.
        raise MisconfiguredError("JWT_KEY is a public key or a certificate.") from error
    return SharedKey(secret)
