"""Build the authenticator from the settings of the stage, or report what is wrong with them.

A stage has one kind of key: those of an issuer (``JWKS_URL``), or one of its own (``JWT_KEY``). It
never has both, so that a key of one kind can never be used as a key of the other kind.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

import jwt

from chalicelib.errors import MisconfiguredError
from chalicelib.identity.access_keys import AccessKeys
from chalicelib.identity.authenticator import Authenticator, Keys, SharedKey, TokenRequirements
from chalicelib.identity.issuer_keys import IssuerKeys
from chalicelib.identity.jwk_set import FetchedSet
from chalicelib.identity.token_claims import ClaimNames
from chalicelib.net import is_http_url, is_loopback
from chalicelib.settings import Settings

_MIN_KEY_BYTES = 32


def authenticator(
    settings: Settings,
    shared_key: str,
    read_table: Callable[[], FetchedSet] | None = None,
    access_keys: AccessKeys | None = None,
) -> Authenticator:
    """Build the authenticator.

    Args:
        settings: the settings of the stage.
        shared_key: the value of ``JWT_KEY``; if that is a reference, the text behind it.
        read_table: reads the table of the issuer's keys; see ``IssuerKeys``.
        access_keys: finds the principals of access keys.

    Raises:
        MisconfiguredError: a setting is missing or wrong; the message names it. Until it is fixed,
            the stage rejects every request.
    """
    requirements = TokenRequirements(
        settings.jwt_issuer,
        frozenset(each for each in map(str.strip, settings.jwt_audience.split(",")) if each),
        settings.jwt_audience_claim,
        settings.jwt_leeway_s,
    )
    uri = settings.jwt_authorization_uri
    if uri and not (is_http_url(uri) and '"' not in uri and "\\" not in uri):
        raise MisconfiguredError("JWT_AUTHORIZATION_URI must be a URL, without quotes.")
    if settings.jwks_url and shared_key:
        raise MisconfiguredError("JWKS_URL and JWT_KEY are both set. Set only one of them.")
    if settings.jwks_url:
        keys = _issuer_keys(settings, requirements, read_table)
    elif shared_key:
        keys = _shared_key(shared_key)
    else:
        raise MisconfiguredError(
            "This stage has no key to verify tokens with. Set JWKS_URL, JWT_ISSUER and"
            " JWT_AUDIENCE, or set JWT_KEY: docs/security.md."
        )
    return Authenticator(keys, requirements, _claim_names(settings), access_keys)


def _issuer_keys(
    settings: Settings,
    requirements: TokenRequirements,
    read_table: Callable[[], FetchedSet] | None,
) -> Keys:
    if not (requirements.issuer and requirements.audiences):
        raise MisconfiguredError(
            "JWKS_URL requires JWT_ISSUER and JWT_AUDIENCE to be set: docs/security.md."
        )
    return IssuerKeys(
        issuer(settings),
        read_table=read_table,
        max_age_s=settings.jwks_max_age_s,
    )


def issuer(settings: Settings) -> Callable[[], bytes]:
    """Return what fetches the issuer's keys; see ``jwks_fetch.fetch``.

    Raises:
        MisconfiguredError: ``JWKS_URL`` is not an https URL.
    """
    url = urlsplit(settings.jwks_url) if is_http_url(settings.jwks_url) else None
    if url is None or (url.scheme == "http" and not is_loopback(url.hostname)):
        raise MisconfiguredError("JWKS_URL must be an https URL.")

    def fetch() -> bytes:
        # Most processes get the keys from their table.
        from chalicelib.identity import jwks_fetch  # noqa: PLC0415

        return jwks_fetch.fetch(settings.jwks_url)

    return fetch


def _claim_names(settings: Settings) -> ClaimNames:
    names = ClaimNames.from_settings(settings)
    role_names = {name for name, _ in names.roles}
    if len(role_names) < len(names.roles) or not all(map(str.strip, role_names)):
        raise MisconfiguredError(
            "JWT_EMPLOYEE_ROLE, JWT_EMPLOYER_ROLE and JWT_INTEGRATION_ROLE must be three different"
            " names. If two roles share a name, a token with this name gets the more powerful role."
        )
    return names


def _shared_key(text: str) -> Keys:
    secret = text.encode()
    if len(secret) < _MIN_KEY_BYTES:
        raise MisconfiguredError(f"JWT_KEY must have at least {_MIN_KEY_BYTES} bytes.")
    try:
        jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.InvalidKeyError as error:
        # A public key is not a secret: if it were the key, anyone could sign. RFC 8725, 2.1.
        raise MisconfiguredError("JWT_KEY must not be a public key or a certificate.") from error
    return SharedKey(secret)
