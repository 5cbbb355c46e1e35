"""From the Authorization header to a principal: who may come in at all.

Promises that nobody does without a token that one of the stage's keys has signed under the stage's
own algorithms, for this service, and that is in time; and that a refusal costs no more than an
acceptance, whatever was sent. RFC 6750 (bearer tokens), RFC 8725 (best practices for JWT).
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from chalicelib.errors import InvalidError, UnauthenticatedError
from chalicelib.identity.token_claims import ClaimNames, principal_of
from chalicelib.principal import Principal
from chalicelib.strict_json import load_json

# API Gateway passes on 10,240 bytes of headers in all.
_LONGEST_TOKEN = 8_192
_LONGEST_HEADER = 2_048
_LONGEST_KID = 256
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]+) +(?P<token>\S+)")
_TOKEN = re.compile(r"(?P<header>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# What says it is another kind of JWT (an id for logging out, a proof of possession) is no access.
_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")

Key = Any
"""What PyJWT verifies with: bytes, or a ``PyJWK``."""


class Keys(Protocol):
    """The keys that tokens are verified with."""

    @property
    def algorithms(self) -> Sequence[str]:
        """What tokens may be signed with."""

    def key(self, algorithm: str, kid: str | None) -> Key | None:
        """Return the key of an algorithm that has the id, or None.

        Raises:
            UnavailableError: whether there is one cannot be told now.
        """


@dataclass(frozen=True, slots=True)
class SharedKey:
    """One key that both sides have: HS256."""

    secret: bytes
    algorithms: Sequence[str] = ("HS256",)

    def key(self, algorithm: str, kid: str | None) -> Key | None:
        """Return the key, whatever it is called."""
        del algorithm, kid
        return self.secret


@dataclass(frozen=True, slots=True)
class Demands:
    """What a token must say: ``issuer`` and one of ``audiences``, where these are set.

    ``audience_claim`` has the audience; ``leeway_s`` is how far clocks may be apart.
    """

    issuer: str
    audiences: frozenset[str]
    audience_claim: str
    leeway_s: float


class Authenticator:
    """Tells principals by their tokens."""

    def __init__(self, keys: Keys, demands: Demands, names: ClaimNames) -> None:
        self._keys = keys
        self._demands = demands
        self._names = names

    def authenticate(self, authorizations: Sequence[str]) -> Principal:
        """Return whom the values of the Authorization headers speak for.

        Raises:
            UnauthenticatedError: there is no token, or it is not to be believed.
            InvalidError: there is more than one.
            ForbiddenError: it is, and gives no right to anything here.
            UnavailableError: the issuer's keys cannot be had now.
        """
        if len(authorizations) > 1:
            raise InvalidError("There must be one Authorization header.", target="Authorization")
        credentials = _CREDENTIALS.fullmatch(authorizations[0].strip()) if authorizations else None
        if credentials is None or credentials["scheme"].lower() != "bearer":
            raise UnauthenticatedError("Send a token: Authorization: Bearer <token>")
        return self.principal(credentials["token"])

    def principal(self, token: str) -> Principal:
        """Return whom a token speaks for.

        Raises:
            UnauthenticatedError: it is not to be believed.
            ForbiddenError: it is, and gives no right to anything here.
            UnavailableError: the issuer's keys cannot be had now.
        """
        return principal_of(self._verified(token), self._names)

    def _verified(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token.

        Raises:
            UnauthenticatedError: it is not to be believed; the message says why.
            UnavailableError: the issuer's keys cannot be had now.
        """
        parts = _TOKEN.fullmatch(token) if len(token) <= _LONGEST_TOKEN else None
        if parts is None:
            raise _refused("is no JWT")
        algorithm, kid = self._header(parts["header"])
        key = self._keys.key(algorithm, kid)
        if key is None:
            raise _refused("is signed by no key of this service")
        demands = self._demands
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=demands.issuer or None,
                leeway=demands.leeway_s,
                options={"require": ["exp"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("has expired") from error
        except jwt.ImmatureSignatureError as error:
            raise _refused("is not valid yet") from error
        except (jwt.InvalidIssuerError, jwt.MissingRequiredClaimError) as error:
            raise _refused("lacks its issuer, its end, or is another issuer's") from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _refused("is not signed by this service's key, or is no JWT") from error
        if demands.audiences and not demands.audiences & _audiences(claims, demands):
            raise _refused("is for another service")
        return claims

    def _header(self, encoded: str) -> tuple[str, str | None]:
        """Return the algorithm and the id of the key that a token says it is signed with.

        Both are the sender's own words until the signature has been verified: the algorithm is one
        of the stage's, and the key is looked up for that algorithm alone. RFC 8725, 3.1.
        """
        try:
            if len(encoded) > _LONGEST_HEADER:
                raise ValueError("length")
            header = load_json(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
        except (InvalidError, ValueError) as error:
            raise _refused("has no header that can be read") from error
        if not isinstance(header, dict) or "crit" in header:
            raise _refused("asks for what this service does not know")
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(algorithm, str) or algorithm not in self._keys.algorithms:
            raise _refused(f"must be signed with {' or '.join(self._keys.algorithms)}")
        if not (kid is None or (isinstance(kid, str) and len(kid) <= _LONGEST_KID)):
            raise _refused("has a kid that is none")
        if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
            raise _refused("is a JWT of another kind")
        return algorithm, kid


def _audiences(claims: Mapping[str, Any], demands: Demands) -> frozenset[str]:
    found = claims.get(demands.audience_claim)
    values = found if isinstance(found, list) else [found]
    return frozenset(each for each in values if isinstance(each, str))


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"The token {why}.", is_invalid=True)
