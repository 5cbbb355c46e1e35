"""Read a JWK Set, and keep what verifies tokens: RFC 7517 (JWK Set), RFC 7518 (algorithms).

Invariant: reading the text of a ``JwkSet`` again gives the same keys and the same text.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt

MAX_BYTES = 262_144
ALGORITHMS = ("RS256", "ES256")
_MAX_KEYS = 100
# https://csrc.nist.gov/pubs/fips/186-5/final, section 5.1, and RFC 7518, section 3.3. A signature
# under a small exponent can be forged where the padding is checked carelessly.
_MIN_RSA_BITS = 2_048
_MIN_RSA_EXPONENT = 65_537
# The algorithm that a key of each type (kty) verifies, and the members that make up the public key.
_KINDS = {"RSA": ("RS256", ("n", "e")), "EC": ("ES256", ("crv", "x", "y"))}


class JwkSetError(Exception):
    """There is no response, or it is not a JWK Set with usable keys."""


class JwkSet(NamedTuple):
    """The keys of an issuer that verify signatures of tokens.

    Attributes:
        keys: the keys by algorithm and key id. An algorithm's only key is also under the id None,
            for tokens without a ``kid``.
        text: the same keys as a JWK Set in JSON: equal keys have equal texts. It has only what
            verifying needs, and no private member.
    """

    keys: Mapping[tuple[str, str | None], jwt.PyJWK]
    text: str


class FetchedSet(NamedTuple):
    """A JWK Set in JSON, and when the issuer was asked for it, in seconds since the epoch."""

    body: str | bytes
    fetched_at: float


def parse_jwk_set(body: str | bytes) -> JwkSet:
    """Return the keys of a JWK Set that verify signatures.

    Keys of other types and for other uses are ignored. So are shared secrets (``oct``), which a
    public JWK Set must not have.

    Raises:
        JwkSetError: the body is not a JWK Set, the set has no such key, or its keys are too long.
    """
    try:
        entries = json.loads(body)["keys"][:_MAX_KEYS]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise JwkSetError("the response is not a JWK Set") from error
    keys: dict[tuple[str, str | None], jwt.PyJWK] = {}
    public: list[str] = []
    for entry in entries:
        members = _verification_members(entry) if isinstance(entry, dict) else None
        key = _key(members) if members is not None else None
        if key is not None and (key.algorithm_name, key.key_id) not in keys:
            keys[key.algorithm_name, key.key_id] = key
            public.append(json.dumps(members, sort_keys=True, separators=(",", ":")))
    if not keys:
        raise JwkSetError("the JWK Set has no key that verifies RS256 or ES256")
    text = f'{{"keys":[{",".join(sorted(public))}]}}'
    if len(text) > MAX_BYTES:
        raise JwkSetError(f"the keys of the JWK Set are over {MAX_BYTES} bytes")
    for algorithm in ALGORITHMS:
        candidates = [key for (name, _), key in keys.items() if name == algorithm]
        if len(candidates) == 1:
            keys[algorithm, None] = candidates[0]
        else:
            keys.pop((algorithm, None), None)
    return JwkSet(keys, text)


def _verification_members(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the public members of a JWK; None if it does not verify signatures of tokens."""
    algorithm, names = _KINDS.get(str(entry.get("kty")), (None, ()))
    operations, kid = entry.get("key_ops", ["verify"]), entry.get("kid")
    if (
        algorithm is None
        or entry.get("use", "sig") != "sig"
        or entry.get("alg", algorithm) != algorithm
        or not isinstance(operations, list)
        or "verify" not in operations
        or not (kid is None or isinstance(kid, str))
        or (algorithm == "ES256" and entry.get("crv") != "P-256")
    ):
        return None
    # Without the private member "d": this service only verifies.
    members = {name: entry[name] for name in ("kty", *names) if name in entry}
    return members if kid is None else {**members, "kid": kid}


def _key(members: dict[str, Any]) -> jwt.PyJWK | None:
    """Return the key of the public members of a JWK; None if they are not a key, or a weak one."""
    algorithm, _ = _KINDS[members["kty"]]
    try:
        key = jwt.PyJWK(members, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return None if algorithm == "RS256" and _is_weak(key.key) else key


def _is_weak(key: Any) -> bool:
    """Return whether an RSA key is too short, or its public exponent too small."""
    return bool(key.key_size < _MIN_RSA_BITS or key.public_numbers().e < _MIN_RSA_EXPONENT)
