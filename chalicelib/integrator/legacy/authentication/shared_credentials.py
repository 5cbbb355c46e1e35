"""Share the credentials among all threads, and read them again once they are refused.

Invariants:

- Nothing here raises or logs a secret. ``CallCredentials.redact`` removes it from what others say.
- Refused credentials are read again, after 5 s and then ever more rarely, in a thread of its own.
  Calls go on with what they have, so a store of secrets that hangs delays none of them.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

from chalicelib import telemetry
from chalicelib.errors import PunchClockError
from chalicelib.integrator.legacy.authentication import credentials as credential_settings
from chalicelib.integrator.legacy.authentication.access_token import Token, TokenError
from chalicelib.integrator.legacy.authentication.credentials import Credentials
from chalicelib.integrator.legacy.authentication.token_cache import TokenCache
from chalicelib.integrator.legacy.messages.redaction import Redactor
from chalicelib.settings import Settings, SettingsError
from chalicelib.wall_clock import has_passed

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authentication.token_request import TokenClient

# Pauses between two reads: they double from the first to the longest until a secret has changed, or
# none was refused for twice the longest. An operator may rotate the legacy's side first.
_FIRST_REREAD_S = 5.0
_LONGEST_REREAD_S = 60.0
# The token endpoint may take this long, or as long as a call may. Its thread delays no other.
_MIN_TOKEN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class CallCredentials:
    """What one call carries: the credentials, and the headers with the present token."""

    credentials: Credentials
    headers: tuple[str, ...] = field(repr=False)
    token: Token | None
    redact: Callable[[str], str]


class ReadSettings(Protocol):
    """Read the values of settings, behind their references.

    Raises:
        SettingsError: a reference cannot be read, and a retry would not help.
        UnavailableError: a reference cannot be read now.
    """

    def __call__(self, names: Sequence[str]) -> Mapping[str, str]: ...


class SharedCredentials:
    """The credentials of all calls of this process, for all of its threads.

    Args:
        settings: the settings, with references where they have some.
        read: reads the values of settings.
        environment_proxies: the URLs of proxies in the environment, whose passwords are secrets.
        clock: the wall clock, in seconds (``wall_clock``).

    Raises:
        SettingsError: a value is invalid. The message names its setting.
        UnavailableError: a reference cannot be read now.
    """

    def __init__(
        self,
        settings: Settings,
        read: ReadSettings,
        *,
        environment_proxies: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._read = read
        self._environment_proxies = environment_proxies
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = clock()
        self._reread_s = _FIRST_REREAD_S
        self._values = read(settings.legacy_credentials)
        self._credentials = self._parse(self._values)
        self._tokens: TokenCache | None = None
        if self._credentials.token_client:
            self._tokens = TokenCache(self._request_token, on_error=self._report)
        self._current = self._combine(None)

    def prepare(self) -> None:
        """Begin to request a token, if one is needed; do not wait."""
        if self._tokens:
            self._tokens.prepare()

    @property
    def sample_headers(self) -> tuple[str, ...]:
        """The header lines of a call. In place of a user's credentials, a nonce, or a token that
        expires they have ``…``; a header of the settings has its secret."""
        if mode := {"basic": "Basic", "digest": "Digest", "ntlm": "NTLM", "oauth2": "Bearer"}.get(
            self._settings.legacy_auth
        ):
            return (f"Authorization: {mode} …",)
        return self._credentials.headers

    def current(self) -> CallCredentials | None:
        """Return the credentials of a call, or None while a token is requested; never wait.

        Raises:
            TokenError: no token can be had now.
        """
        current, token = self._current, None
        if self._tokens and (token := self._tokens.current()) is None:
            return None
        if token is not current.token or current.credentials is not self._credentials:
            with self._lock:
                current = self._current  # perhaps another thread's by now
                if token is not current.token or current.credentials is not self._credentials:
                    self._current = current = self._combine(token)
        return current

    def report_accepted(self, used: CallCredentials) -> None:
        """Tell that the legacy has accepted a call with these credentials."""
        if self._tokens and used.token:
            self._tokens.report_accepted()

    def report_failed(self, used: CallCredentials, status: int | None) -> bool:
        """Tell that a call with these credentials was refused, or got no response.

        Args:
            used: what the call carried.
            status: the HTTP status; None if there was no response.

        Returns:
            Whether a call with what ``current`` returns now is worth a try at once.
        """
        self._reread_if_due(used.credentials)
        if self._tokens and used.token and status == HTTPStatus.UNAUTHORIZED:  # RFC 6750, 3.1
            return self._tokens.report_refused(used.token)
        # Some gateways send 403 for a token that was revoked. It may as well concern the record.
        if self._tokens and used.token and status == HTTPStatus.FORBIDDEN:
            self._tokens.doubt(used.token)
        return False

    def _combine(self, token: Token | None) -> CallCredentials:
        """Return what calls carry with a token, and keep its text out of the logs."""
        credentials = self._credentials
        if token is None:
            redact: Callable[[str], str] = credentials.redact
            headers = credentials.headers
        else:
            redact = Redactor([*credentials.redact.secrets, token.text])
            headers = (*credentials.headers, f"Authorization: Bearer {token.text}")
        telemetry.redact_with(redact)
        return CallCredentials(credentials, headers, token, redact)

    def _request_token(self) -> Token:
        credentials = self._credentials
        client = cast("TokenClient", credentials.token_client)  # LEGACY_AUTH does not change
        timeout_s = max(_MIN_TOKEN_TIMEOUT_S, self._settings.legacy_call_timeout_s)
        return client.request(credentials.transport.for_token_endpoint(), timeout_s)

    def _report(self, error: TokenError) -> None:
        """Log an error of a token request; read the client's credentials again if need be."""
        credentials = self._credentials
        telemetry.event(
            "no access token was issued",
            level=logging.ERROR if error.is_refused else logging.WARNING,
            reason=str(error),
            details=credentials.redact(error.details),
        )
        self._reread_if_due(credentials)

    def _reread_if_due(self, used: Credentials) -> None:
        """Read the settings again, in a thread, unless that is done or was done just now."""
        with self._lock:
            now = self._clock()
            is_due = has_passed(self._reread_s, self._read_at, now)
            if used is not self._credentials or not is_due:
                return
            is_early = not has_passed(2 * _LONGEST_REREAD_S, self._read_at, now)
            longer_s = min(2 * self._reread_s, _LONGEST_REREAD_S)
            self._reread_s = longer_s if is_early else _FIRST_REREAD_S
            self._read_at = now
        try:
            threading.Thread(target=self._reread, name="credentials", daemon=True).start()
        except RuntimeError as error:  # the system's limit of threads; the next refusal tries again
            telemetry.event("cannot start a thread", level=logging.WARNING, reason=str(error))

    def _reread(self) -> None:
        try:
            values = self._read(self._settings.legacy_credentials)
            if values == self._values:
                return
            credentials = self._parse(values)
        except (SettingsError, PunchClockError) as error:
            telemetry.event(
                "the credentials of the legacy cannot be read again",
                level=logging.ERROR,
                reason=str(error),
            )
            return
        except Exception as error:  # noqa: BLE001 - a bug of this service must not end in silence
            telemetry.error("internal error while credentials were read again", error)
            return
        with self._lock:
            self._values, self._credentials = values, credentials
            self._reread_s = _FIRST_REREAD_S
        if self._tokens:
            self._tokens.replace()
        telemetry.event("the credentials of the legacy have changed")

    def _parse(self, values: Mapping[str, str]) -> Credentials:
        return credential_settings.parse(self._settings, values, self._environment_proxies)
