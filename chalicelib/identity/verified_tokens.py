"""Remember which tokens are verified, so that a client that repeats its token costs less CPU.

A phone sends its token once a shift, but terminals, consoles and integrations repeat theirs.
Invariant: a remembered token is accepted only if its full validation would accept it again.
"""

import threading
from hashlib import sha256
from typing import Any, NamedTuple

from chalicelib.principal import Principal

_MAX_TOKENS = 1_000


class Verified(NamedTuple):
    """The result of the validation of a token.

    Attributes:
        algorithm: the algorithm in its header.
        kid: the key id in its header.
        key: the key that verified it. A key that was replaced is another object.
        starts_at: the later of its ``nbf`` and ``iat``, in seconds since the epoch.
        expires_at: its ``exp``.
        principal: the caller whom it identifies.
    """

    algorithm: str
    kid: str | None
    key: Any
    starts_at: int
    expires_at: int
    principal: Principal

    def is_valid_at(self, now: float, leeway_s: float) -> bool:
        """Return whether the token is valid at an instant, as PyJWT decides it."""
        return self.starts_at <= now + leeway_s and now - leeway_s < self.expires_at


class VerifiedTokens:
    """The last verified tokens. Thread-safe. It keeps digests: the tokens themselves are secret."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, Verified] = {}
        self._lock = threading.Lock()

    def get(self, token: str) -> Verified | None:
        """Return the result for a token, or None if it is not remembered."""
        return self._by_digest.get(_digest(token))

    def add(self, token: str, verified: Verified) -> None:
        """Remember a token; forget the oldest of too many."""
        with self._lock:
            self._by_digest[_digest(token)] = verified
            if len(self._by_digest) > _MAX_TOKENS:
                del self._by_digest[next(iter(self._by_digest))]


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
