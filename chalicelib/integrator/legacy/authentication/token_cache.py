"""Keep one access token for all threads, and renew it before it expires.

Invariants:

- At most one request for a token is in flight, in a thread of its own: no call waits for it while
  the present token is still valid.
- No method waits. While no token is valid, ``current`` returns None during a request, and raises in
  the pause after a failed one.
- The tokens are in memory alone.

            renew_at                expires_at
    ────────────┬───────────────────────┬──────────▶ time
    calls use   │ calls use the token,  │ calls use the next token,
    the token   │ the next is requested │ or wait for it

The next token is used once the present one expires or is refused. A legacy whose clock is behind
that of the issuer accepts it only then.
"""

import logging
import math
import threading
import time
from collections.abc import Callable

from chalicelib import telemetry
from chalicelib.integrator.legacy.authentication.access_token import Token, TokenError
from chalicelib.wall_clock import has_passed

# Pauses after requests that failed: they double from the first to the longest. Issuers may lock a
# client whose requests they refuse too often.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 5.0
_LONGEST_PAUSE_REFUSED_S = 30.0
# The longest pause that a Retry-After can cause.
_LONGEST_REQUESTED_PAUSE_S = 60.0
# A refused token is renewed at once, but not again within an interval. If the legacy has accepted
# no token since the last such renewal, it may refuse every token, or accept the present one soon.
_LONGEST_RENEWAL_INTERVAL_S = 30.0
# If it has accepted some, it may refuse some calls only. The interval then begins with this, and
# doubles each time that the token is refused as soon as it may be renewed.
_FIRST_RENEWAL_INTERVAL_S = 1.0


class TokenCache:
    """The token of all threads.

    Args:
        request: requests a token from the token endpoint; raises ``TokenError``.
        on_error: is called with each error of a request.
        clock: the wall clock, in seconds (``wall_clock``).
    """

    def __init__(
        self,
        request: Callable[[], Token],
        *,
        on_error: Callable[[TokenError], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._request = request
        self._on_error = on_error
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._next: Token | None = None
        self._error = TokenError("no token was requested yet")
        self._is_requesting = False
        self._failures = 0
        self._failed_at = -math.inf
        self._pause_s = 0.0  # since then
        self._refused_at = -math.inf  # when a token was last renewed because it was refused
        self._renewal_interval_s = _FIRST_RENEWAL_INTERVAL_S
        self._has_accepted = False  # since that renewal
        # How often another token was wanted in place of a valid one: by now, and when the newest
        # was requested.
        self._changes = self._changes_of_newest = 0

    def prepare(self) -> None:
        """Begin to request a token if one is needed; do not wait."""
        with self._lock:
            self._request_if_needed()

    def current(self) -> Token | None:
        """Return a valid token, or None while one is requested; never wait.

        Raises:
            TokenError: no token can be had now.
        """
        token, now = self._token, self._clock()
        if token and now < token.renew_at and self._changes == self._changes_of_newest:
            return token
        with self._lock:
            self._request_if_needed()
            if (token := self._valid_token()) or self._is_requesting:
                return token
            raise TokenError(str(self._error), is_refused=self._error.is_refused)

    def report_accepted(self) -> None:
        """Tell that the legacy accepted a token."""
        self._has_accepted = True

    def report_refused(self, token: Token) -> bool:
        """Tell that the legacy refused a token; return whether another one is worth a try.

        Only the first refused call with a token discards it: many refused calls cause one request.
        """
        with self._lock:
            if token is self._token:
                if self._next is None and not self._may_renew():
                    return False
                self._token, self._next = self._next, None
                self._request_if_needed()
            return True

    def doubt(self, token: Token) -> None:
        """Tell that the legacy refused a call, perhaps for its token: request another one.

        Until that arrives, calls use this one: the refusal may concern the call's record.
        """
        with self._lock:
            if token is self._token and self._next is None and self._may_renew():
                self._changes += 1
                self._request_if_needed()

    def _may_renew(self) -> bool:
        """Return whether a refused token may be renewed now, and note that it is.

        The caller holds the lock.
        """
        now = self._clock()
        interval_s = self._renewal_interval_s if self._has_accepted else _LONGEST_RENEWAL_INTERVAL_S
        if not has_passed(interval_s, self._refused_at, now):
            return False
        is_early = self._has_accepted and not has_passed(2 * interval_s, self._refused_at, now)
        longer_s = min(2 * self._renewal_interval_s, _LONGEST_RENEWAL_INTERVAL_S)
        self._renewal_interval_s = longer_s if is_early else _FIRST_RENEWAL_INTERVAL_S
        self._refused_at, self._has_accepted = now, False
        return True

    def replace(self) -> None:
        """Request a token at once, since the client's credentials have changed.

        Until it arrives, calls use the present one: the issuer may know the old credentials only.
        """
        with self._lock:
            self._changes += 1
            self._pause_s = 0.0
            self._request_if_needed()

    def _valid_token(self) -> Token | None:
        """Return a valid token, the next one if need be. The caller holds the lock."""
        now = self._clock()
        if self._next and not (self._token and now < self._token.expires_at):
            self._token, self._next = self._next, None
        token = self._token
        return token if token and now < token.expires_at else None

    def _request_if_needed(self) -> None:
        """Start a request, unless one is in flight or the pause after a failure is not over.

        The caller holds the lock.
        """
        now = self._clock()
        newest = self._next or self._token
        is_outdated = self._changes != self._changes_of_newest
        is_needed = newest is None or now >= newest.renew_at or is_outdated
        may_retry = has_passed(self._pause_s, self._failed_at, now)
        if not is_needed or self._is_requesting or not may_retry:
            return
        self._is_requesting = True
        try:
            threading.Thread(target=self._renew, name="token-request", daemon=True).start()
        except RuntimeError:  # the system's limit of threads
            self._fail(TokenError("no thread could be started for the token request"))

    def _renew(self) -> None:
        """Request a token."""
        changes = self._changes
        try:
            token = self._request()
        except TokenError as error:
            self._on_error(error)
            with self._lock:
                self._fail(error)
        except Exception as error:  # noqa: BLE001 - a bug of this service must not end in silence
            telemetry.error("internal error in a token request", error)
            with self._lock:
                self._fail(TokenError("internal error of this service in the token request"))
        else:
            telemetry.event("an access token was issued", level=logging.DEBUG)
            with self._lock:
                present = self._valid_token()
                is_of_same_client = changes == self._changes_of_newest
                if present and math.isfinite(present.expires_at) and is_of_same_client:
                    self._next = token
                else:
                    self._token, self._next = token, None
                self._changes_of_newest = changes
                self._failures, self._pause_s = 0, 0.0
                self._is_requesting = False

    def _fail(self, error: TokenError) -> None:
        longest_s = _LONGEST_PAUSE_REFUSED_S if error.is_refused else _LONGEST_PAUSE_S
        pause_s = min(longest_s, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._pause_s = max(pause_s, min(error.retry_after_s, _LONGEST_REQUESTED_PAUSE_S))
        self._failures += 1
        self._error = error
        self._failed_at = self._clock()
        self._is_requesting = False
