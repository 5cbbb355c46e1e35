"""Authenticate a request: validate its token or access key, and return the principal.

Invariants:

- A token is accepted only if a key of the stage has signed it, under an algorithm of the stage, for
  this service, and if it is valid now.
- Rejecting a token never costs more than accepting a new one, for any input.

RFC 6750 (bearer tokens), RFC 7617 (Basic), RFC 8725 (best practices for JWT).
"""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from chalicelib.access_key import looks_like_key
from chalicelib.errors import ForbiddenError, InvalidError, UnauthenticatedError
from chalicelib.identity.access_keys import AccessKeys
from chalicelib.identity.token_claims import ClaimNames, principal_of
from chalicelib.identity.verified_tokens import Verified, VerifiedTokens
from chalicelib.principal import Principal
from chalicelib.strict_json import load_json

# Characters. API Gateway forwards at most 10,240 bytes of headers in all.
_MAX_TOKEN_LENGTH = 8_192
_MAX_HEADER_LENGTH = 2_048
_MAX_KID_LENGTH = 256
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]+) +(?P<token>\S+)")
_TOKEN = re.compile(r"(?P<header>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# The values of typ that an access token may have; None if it has no typ. A JWT of another type,
# such as a logout token or a proof of possession, gives no access. RFC 8725, section 3.11.
_ACCESS_TOKEN_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")

# The claims that are a NumericDate: RFC 7519, section 2.
_TIMES = ("exp", "nbf", "iat")

Key = Any
"""A key that PyJWT verifies with: bytes, or a ``PyJWK``."""


class Keys(Protocol):
    """The keys that verify tokens."""

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms that a token may be signed with."""

    def key(self, algorithm: str, kid: str | None) -> Key | None:
        """Return the key with this id (``kid``) for this algorithm, or None.

        Raises:
            UnavailableError: the keys cannot be read now, so the key may or may not exist.
        """


@dataclass(frozen=True, slots=True)
class SharedKey:
    """One secret key, with which HS256 both signs and verifies."""

    secret: bytes
    algorithms: Sequence[str] = ("HS256",)

    def key(self, algorithm: str, kid: str | None) -> Key | None:
        """Return the key for every ``kid``."""
        del algorithm, kid
        return self.secret


@dataclass(frozen=True, slots=True)
class TokenRequirements:
    """The requirements on the registered claims of a token: RFC 7519, section 4.1.

    Attributes:
        issuer: the required ``iss``; if empty, any.
        audiences: the token must have one of these; if empty, it may have any.
        audience_claim: the claim with the audience, usually ``aud``.
        leeway_s: how far the clocks of the issuer and of this service may differ, in seconds.
    """

    issuer: str
    audiences: frozenset[str]
    audience_claim: str
    leeway_s: float


class Authenticator:
    """Validates tokens, and maps each to its principal."""

    def __init__(
        self,
        keys: Keys,
        requirements: TokenRequirements,
        claim_names: ClaimNames,
        access_keys: AccessKeys | None = None,
    ) -> None:
        self._keys = keys
        self._requirements = requirements
        self._claim_names = claim_names
        self._verified = VerifiedTokens()
        self._access_keys = access_keys

    def authenticate(
        self, authorizations: Sequence[str], *, reads_odata: bool = False
    ) -> Principal:
        """Return the principal of a request, given the values of its Authorization headers.

        The credentials are a token or an access key: as ``Bearer``, or as the password of
        ``Basic``, whose user name is ignored.

        Args:
            authorizations: the values.
            reads_odata: the route accepts access keys. On any other, none is looked up.

        Raises:
            UnauthenticatedError: the request has no credentials, or they are invalid.
            InvalidError: the request has several Authorization headers.
            ForbiddenError: the credentials are valid, but give no access to this route.
            UnavailableError: the issuer's keys cannot be read now.
        """
        if len(authorizations) > 1:
            raise InvalidError("Send exactly one Authorization header.", target="Authorization")
        credentials = _CREDENTIALS.fullmatch(authorizations[0].strip()) if authorizations else None
        scheme = credentials["scheme"].lower() if credentials else ""
        if credentials is None or scheme not in ("bearer", "basic"):
            raise UnauthenticatedError(
                "Send a token, in the header Authorization: Bearer <token>, or as the password of"
                " Basic authentication."
            )
        secret = credentials["token"]
        if scheme == "basic":
            secret = _password(secret)
        if not looks_like_key(secret):
            return self.authenticate_token(secret)
        if not reads_odata or self._access_keys is None:
            raise ForbiddenError("An access key only reads /odata. Send a token here.")
        return self._access_keys.principal_of(secret)

    def authenticate_token(self, token: str) -> Principal:
        """Return the principal of a token.

        Raises:
            UnauthenticatedError: the token is invalid.
            ForbiddenError: the token is valid, but gives no access to this service.
            UnavailableError: the issuer's keys cannot be read now.
        """
        parts = _TOKEN.fullmatch(token) if len(token) <= _MAX_TOKEN_LENGTH else None
        if parts is None:
            raise _invalid(f"is not a signed JWT of at most {_MAX_TOKEN_LENGTH} characters")
        known = self._verified.get(token)
        if known is not None and self._is_still_valid(known):
            return known.principal
        algorithm, kid = self._header(parts["header"])
        key = self._keys.key(algorithm, kid)
        if key is None:
            raise _invalid("is signed with a key that this service does not know")
        claims = self._verified_claims(token, algorithm, key)
        principal = principal_of(claims, self._claim_names)
        starts_at = max(int(claims.get(name, 0)) for name in ("nbf", "iat"))
        verified = Verified(algorithm, kid, key, starts_at, int(claims["exp"]), principal)
        self._verified.add(token, verified)
        return principal

    def _is_still_valid(self, known: Verified) -> bool:
        """Return whether a token, once validated, is valid now: in time and under its key."""
        return (
            known.is_valid_at(time.time(), self._requirements.leeway_s)
            and self._keys.key(known.algorithm, known.kid) is known.key
        )

    def _verified_claims(self, token: str, algorithm: str, key: Key) -> Mapping[str, Any]:
        """Validate a token, and return its claims.

        Raises:
            UnauthenticatedError: the token is invalid. The message has the reason.
        """
        requirements = self._requirements
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=requirements.issuer or None,
                leeway=requirements.leeway_s,
                options={"require": ["exp"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise _invalid("has expired") from error
        except jwt.ImmatureSignatureError as error:
            raise _invalid("is not valid yet") from error
        except (jwt.InvalidIssuerError, jwt.MissingRequiredClaimError) as error:
            raise _invalid("must have an exp, and an iss that this service trusts") from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _invalid("has an invalid signature or malformed claims") from error
        # PyJWT reads the digits of a string, too.
        if not all(type(claims.get(name, 0)) in (int, float) for name in _TIMES):
            raise _invalid("must have numbers in exp, nbf and iat")
        if requirements.audiences and not requirements.audiences & _audiences(
            claims, requirements.audience_claim
        ):
            raise _invalid("has another audience than this service")
        return claims

    def _header(self, encoded: str) -> tuple[str, str | None]:
        """Return the algorithm and the key id from the header of a token.

        Until the signature is verified, the sender may have chosen both. The algorithm must
        therefore be one of the stage's, and the key is looked up for that algorithm alone:
        RFC 8725, section 3.1.
        """
        try:
            if len(encoded) > _MAX_HEADER_LENGTH:
                raise ValueError("length")
            header = load_json(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
        except (InvalidError, ValueError) as error:
            raise _invalid("has a malformed header") from error
        if not isinstance(header, dict):
            raise _invalid("has a malformed header")
        if "crit" in header:
            raise _invalid("has critical header parameters, which this service does not support")
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(algorithm, str) or algorithm not in self._keys.algorithms:
            raise _invalid(f"must be signed with {' or '.join(self._keys.algorithms)}")
        if not (kid is None or (isinstance(kid, str) and len(kid) <= _MAX_KID_LENGTH)):
            raise _invalid(
                f"has a kid that is not a string of at most {_MAX_KID_LENGTH} characters"
            )
        if (kind.lower() if isinstance(kind, str) else kind) not in _ACCESS_TOKEN_TYPES:
            raise _invalid("has a typ that access tokens do not have")
        return algorithm, kid


def _password(encoded: str) -> str:
    """Return the password of Basic credentials: RFC 7617, section 2.

    Raises:
        UnauthenticatedError: they are not Base64 of a user name, a colon and a password in UTF-8.
    """
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except ValueError as error:
        raise UnauthenticatedError(
            "The Basic credentials must be Base64 of UTF-8.", is_invalid=True
        ) from error
    _, colon, password = text.partition(":")
    if not colon:
        raise UnauthenticatedError("The Basic credentials have no password.", is_invalid=True)
    return password


def _audiences(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    value = claims.get(claim)
    values = value if isinstance(value, list) else [value]
    return frozenset(each for each in values if isinstance(each, str))


def _invalid(reason: str) -> UnauthenticatedError:
    """Build the error of an invalid token. Its message goes into a quoted header parameter."""
    return UnauthenticatedError(f"The token {reason}.", is_invalid=True)
