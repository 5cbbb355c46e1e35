"""A connection to the legacy whose calls carry the present credentials.

A call that can get no token is not sent, and ends as an overload. A token that the legacy refuses
is renewed, and the call is sent once more: the legacy has not taken the record.
"""

import time
from collections.abc import Generator, Sequence
from dataclasses import replace

from chalicelib.integrator.legacy.authentication.access_token import TokenError
from chalicelib.integrator.legacy.authentication.shared_credentials import (
    CallCredentials,
    SharedCredentials,
)
from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.libcurl.call_steps import Call, perform
from chalicelib.integrator.outcome import CallResult, Outcome


class AuthenticatedConnection:
    """A ``LegacyConnection`` that takes over credentials when they change.

    Args:
        endpoint: where to connect to.
        credentials: the credentials of all threads.
        resolve: see ``LegacyConnection``.
    """

    def __init__(
        self,
        endpoint: LegacyEndpoint,
        credentials: SharedCredentials,
        *,
        resolve: Sequence[str] = (),
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._resolve = resolve
        self._used: CallCredentials | None = None
        self._connection: LegacyConnection | None = None

    def send(self, record_id: str, record: bytes) -> CallResult:
        """Send a record and return how the call ended; see ``LegacyConnection.call``."""
        return perform(self.call(record_id, record))

    def call(self, record_id: str, record: bytes) -> Call:
        """Send a record; see ``LegacyConnection.call``.

        While a token is requested, the call waits for half of its time: half is left to send it.
        """
        started = time.monotonic()
        half_s = self._endpoint.call_timeout_s / 2
        try:
            used = yield from self._present_credentials(started + half_s)
        except TokenError as error:
            self.close()  # no longer the connection of an answered call
            return CallResult(
                Outcome.OVERLOADED,
                time.monotonic() - started,
                log=f"Not sent: {error}.",
                credentials_refused=error.is_refused,
            )
        result = yield from self._send(used, record_id, record, started)
        if result.outcome is Outcome.DELIVERED:
            self._credentials.report_accepted(used)
        # Of a 401 the operator's conditions may make anything; the token is refused all the same.
        is_refused = result.credentials_refused or (
            result.http_status == 401 and result.outcome is not Outcome.DELIVERED
        )
        if not is_refused and result.http_status is not None:
            return result
        if self._credentials.report_failed(used, result.http_status):
            now = time.monotonic()
            remaining_s = started + self._endpoint.call_timeout_s - now
            try:
                used = yield from self._present_credentials(now + min(half_s, remaining_s / 2))
            except TokenError:
                return result
            result = yield from self._send(used, record_id, record, started)
        return result

    @property
    def is_new(self) -> bool:
        """Whether the present or last call opened a connection."""
        return self._connection is not None and self._connection.is_new

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return self._connection is not None and self._connection.is_connected

    @property
    def is_quiet(self) -> bool:
        """Whether the idle connection has received nothing since its last response."""
        return self._connection is None or self._connection.is_quiet

    @property
    def is_answered(self) -> bool:
        """Whether the present or last call has received a byte."""
        return self._connection is not None and self._connection.is_answered

    def close(self) -> None:
        """Close the connection. A further call opens another."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _present_credentials(self, until: float) -> Generator[None, object, CallCredentials]:
        """Return the credentials of a call; wait for a token until then.

        Raises:
            TokenError: no token can be had now.
        """
        while (used := self._credentials.current()) is None:
            if time.monotonic() >= until:
                raise TokenError("the token endpoint has not answered yet")
            yield None
        return used

    def _send(self, used: CallCredentials, record_id: str, record: bytes, started: float) -> Call:
        result = yield from self._connect(used).call(record_id, record, started)
        if result.log is None:
            return result
        return replace(result, log=used.redact(result.log))

    def _connect(self, used: CallCredentials) -> LegacyConnection:
        """Return a connection that carries these credentials."""
        last, connection = self._used, self._connection
        if connection and not connection.is_quiet:
            connection = None  # it was idle while a token was requested
        if last is used and connection:
            return connection
        if connection is None or last is None or last.credentials is not used.credentials:
            self.close()  # a certificate, a proxy or a login belongs to the connection
            connection = LegacyConnection(
                self._endpoint, credentials=used.credentials, resolve=self._resolve
            )
        connection.set_extra_headers(used.headers)
        self._used, self._connection = used, connection
        return connection
