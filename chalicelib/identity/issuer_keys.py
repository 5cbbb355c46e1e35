"""Cache the keys of a token issuer, read from their table and, where that is not enough, from it.

Invariants:

- The table is read every five minutes. The issuer is asked only if a token names an unknown key or
  the table has no keys to trust, and then once an hour. Neither is read more often than the pauses
  below allow.
- While the issuer is down, tokens signed with known keys are verified as before, until the issuer
  has confirmed the keys too long ago.
- Keys that the issuer sent earlier never replace keys that it sent later.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import jwt

from chalicelib import telemetry
from chalicelib.errors import UnavailableError
from chalicelib.identity.jwk_set import ALGORITHMS, FetchedSet, JwkSet, JwkSetError, parse_jwk_set
from chalicelib.wall_clock import has_passed

# How far the clock of another process may be ahead of this one.
MAX_SKEW_S = 300.0
_TABLE_INTERVAL_S = 300.0
_ISSUER_INTERVAL_S = 3_600.0
# The shortest pause between two reads: a client that invents key ids cannot cause more of them.
_PAUSE_S = 30.0
_PAUSE_AFTER_FAILURE_S = 5.0
# While reads fail and every requested key is known. It is longer, because a read that hangs delays
# the request that triggered it.
_PAUSE_WHILE_KNOWN_S = 60.0
# More than the deadlines of one read of the table and one of the issuer: ``key_table``,
# ``jwks_fetch``.
_MAX_WAIT_S = 8.0


class _Source:
    """Where keys come from, and when it is read again.

    Attributes:
        has_failed: the last read failed, or there was none.
    """

    def __init__(self, name: str, read: Callable[[], FetchedSet], interval_s: float):
        self.name = name
        self.read = read
        self.has_failed = True
        self._interval_s = interval_s
        self._ended_at = float("-inf")

    def end_read(self, now: float, *, has_failed: bool) -> None:
        """Note that a read has ended now."""
        self.has_failed = has_failed
        self._ended_at = now

    def may_be_read(self, now: float) -> bool:
        """Return whether the pause after the last read is over."""
        pause_s = _PAUSE_AFTER_FAILURE_S if self.has_failed else _PAUSE_S
        return has_passed(pause_s, self._ended_at, now)

    def is_due(self, now: float) -> bool:
        """Return whether it is to be read even if the requested key is known."""
        pause_s = _PAUSE_WHILE_KNOWN_S if self.has_failed else self._interval_s
        return has_passed(pause_s, self._ended_at, now)


class _Known(NamedTuple):
    """The keys that this process knows, and when the issuer was asked for them."""

    set: JwkSet
    fetched_at: float


class IssuerKeys:
    """The cached keys of an issuer. Thread-safe.

    Args:
        fetch: returns the JWK Set that the issuer publishes now, or raises ``JwkSetError``.
        read_table: returns the JWK Set that the table has, or raises ``JwkSetError``; None if the
            stage has no such table.
        max_age_s: for how many seconds keys are trusted after the issuer has confirmed them.
        clock: the wall clock, in seconds since the epoch (``wall_clock``).
    """

    algorithms = ALGORITHMS

    def __init__(
        self,
        fetch: Callable[[], bytes],
        *,
        read_table: Callable[[], FetchedSet] | None = None,
        max_age_s: float = float("inf"),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_age_s = max_age_s
        self._clock = clock

        def ask() -> FetchedSet:
            asked_at = clock()
            return FetchedSet(fetch(), asked_at)

        self._issuer = _Source("the token issuer", ask, _ISSUER_INTERVAL_S)
        self._sources = [self._issuer]
        if read_table is not None:
            table = _Source("the table of keys", read_table, _TABLE_INTERVAL_S)
            self._sources.insert(0, table)
        self._known = _Known(JwkSet({}, ""), float("-inf"))
        self._refreshing = threading.Lock()

    def key(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        """Return the key with this id for this algorithm; without an id, its only key, if any.

        Raises:
            UnavailableError: the key is unknown, and the issuer's keys cannot be read now.
        """
        key = self._find(algorithm, kid)
        if key is None or self._sources[0].is_due(self._clock()):
            self._refresh(algorithm, kid, wait=key is None)
            key = self._find(algorithm, kid)
        if key is None and self._issuer.has_failed:
            raise UnavailableError(
                "The keys of the token issuer cannot be read now. Try again soon."
            )
        return key

    def _find(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        known = self._known
        if self._clock() - known.fetched_at > self._max_age_s:
            return None
        return known.set.keys.get((algorithm, kid))

    def _refresh(self, algorithm: str, kid: str | None, *, wait: bool) -> None:
        """Read the first source, and the next only if it fails or the key is still unknown.

        Only one thread reads. With ``wait``, other threads wait until it has finished.
        """
        if not self._refreshing.acquire(blocking=wait, timeout=_MAX_WAIT_S if wait else -1):
            return
        try:
            for source in self._sources:
                is_known = self._find(algorithm, kid) is not None
                now = self._clock()
                if source.is_due(now) if is_known else source.may_be_read(now):
                    self._read(source)
                if not source.has_failed and self._find(algorithm, kid) is not None:
                    break
        finally:
            self._refreshing.release()

    def _read(self, source: _Source) -> None:
        has_failed = False
        try:
            self._accept(source.read(), is_from_issuer=source is self._issuer)
        except JwkSetError as error:
            has_failed = True
            telemetry.event(
                "the keys of the token issuer cannot be read",
                logging.WARNING,
                source=source.name,
                cause=error,
            )
        source.end_read(self._clock(), has_failed=has_failed)

    def _accept(self, fetched: FetchedSet, *, is_from_issuer: bool) -> None:
        """Replace the known keys, unless those of the table are as old or older.

        The issuer's own answer always counts as the latest: clocks of other processes differ. An
        unchanged key stays the same object, so that tokens that it has verified stay verified.

        Raises:
            JwkSetError: the keys are too old to be trusted, or the set has no usable key.
        """
        now, known = self._clock(), self._known
        if not now - self._max_age_s <= fetched.fetched_at <= now + MAX_SKEW_S:
            raise JwkSetError(f"the keys are {now - fetched.fetched_at:.0f} s old")
        known_at = known.fetched_at
        if known_at > now + MAX_SKEW_S:  # the clock was set back
            known_at = float("-inf")
        if fetched.fetched_at <= known_at and not is_from_issuer:
            return
        keys = known.set
        if fetched.body != keys.text:
            parsed = parse_jwk_set(fetched.body)
            keys = keys if parsed.text == keys.text else parsed
        self._known = _Known(keys, max(fetched.fetched_at, known_at))
