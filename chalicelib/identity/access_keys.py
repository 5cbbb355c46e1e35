"""Find the principals of access keys.

Invariant: each request asks the store, so a key that is revoked stops at once. A process looks up
keys that it has never found at a bounded rate.
"""

import threading
import time
from collections.abc import Callable

from chalicelib.access_key import digest_of, is_key
from chalicelib.errors import UnauthenticatedError, UnavailableError
from chalicelib.principal import Principal

_MAX_KNOWN = 1_000
# The look-ups of unknown keys in one process: per second, and in a burst.
_UNKNOWN_PER_S = 10.0
_UNKNOWN_BURST = 20.0


class AccessKeys:
    """Finds the principals of access keys. Thread-safe.

    Args:
        find: returns the principal of the key with a digest; None if there is no such key now.
        clock: the wall clock, in seconds (``wall_clock``).
    """

    def __init__(
        self,
        find: Callable[[bytes], Principal | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._find = find
        self._clock = clock
        self._known: dict[bytes, None] = {}
        self._lock = threading.Lock()
        self._allowance = _UNKNOWN_BURST
        self._refilled_at = clock()

    def principal_of(self, key: str) -> Principal:
        """Return the principal of a key.

        Raises:
            UnauthenticatedError: the key is unknown, has expired or is revoked.
            UnavailableError: the store cannot be read now, or unknown keys were sent too often.
        """
        if not is_key(key):
            raise _unknown()
        digest = digest_of(key)
        if digest not in self._known:
            self._take_allowance()
        principal = self._find(digest)
        with self._lock:
            self._known.pop(digest, None)
            if principal is not None:
                self._known[digest] = None
                if len(self._known) > _MAX_KNOWN:
                    del self._known[next(iter(self._known))]
        if principal is None:
            raise _unknown()
        return principal

    def _take_allowance(self) -> None:
        with self._lock:
            now = self._clock()
            # A clock that is set back earns nothing.
            earned = max(0.0, now - self._refilled_at) * _UNKNOWN_PER_S
            self._allowance = min(self._allowance + earned, _UNKNOWN_BURST)
            self._refilled_at = now
            if self._allowance < 1:
                raise UnavailableError("Too many unknown access keys were sent. Try again soon.")
            self._allowance -= 1


def _unknown() -> UnauthenticatedError:
    return UnauthenticatedError("The access key is unknown, expired or revoked.", is_invalid=True)
