"""Call the legacy HR system by HTTP: one record per request, through libcurl.

Invariants:

- Every call ends in one of the four outcomes, never in an exception.
- No call outlasts its timeout: libcurl's covers the name look-up, TLS and every byte.
- Every attempt of a record is the same request, with the record's id as its idempotency key.
- No log of a result names the host or the URL: employees may read it. libcurl's own messages do.

libcurl frames the responses (docs/decisions/0003 and 0004). ``call_error`` maps its verdict on a
broken one to an outcome; ``raw_response`` reads what libcurl leaves to its user.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pycurl

from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint, milliseconds
from chalicelib.integrator.legacy.libcurl.call_error import judge_error
from chalicelib.integrator.legacy.libcurl.call_steps import Call, Transfer, perform
from chalicelib.integrator.legacy.libcurl.early_response import EarlyResponseDetector
from chalicelib.integrator.legacy.libcurl.raw_response import (
    MAX_BODY_BYTES,
    ResponseBuffer,
    decode,
    final_fields,
)
from chalicelib.integrator.legacy.libcurl.repetition import Repetition, reason_to_repeat
from chalicelib.integrator.legacy.libcurl.transport import ClientCertificate, Transport
from chalicelib.integrator.legacy.messages.record_values import UnsendableError
from chalicelib.integrator.legacy.messages.response_outcome import judge
from chalicelib.integrator.outcome import CallResult, Outcome, judge_by_rules

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authentication.credentials import Credentials
    from chalicelib.integrator.legacy.authentication.digest import DigestConnection
    from chalicelib.integrator.legacy.authentication.ntlm import NtlmConnection

# After these codes the status is that of the final response. The last one: libcurl has answered
# too many challenges of Digest, each with a new nonce.
_WHOLE = (pycurl.E_OK, pycurl.E_FILESIZE_EXCEEDED, pycurl.E_TOO_MANY_REDIRECTS)
# In the media type of a body that describes an error, whatever the status (RFC 9457).
_PROBLEM = b"problem+json"


class LegacyConnection:
    """A libcurl handle with one connection to the legacy, for one call at a time.

    ``send`` makes a whole call. ``call`` leaves the transfers to its user, who may make them among
    those of other connections.

    Args:
        endpoint: where to connect to.
        credentials: what proves to the legacy who we are; by default nothing.
        resolve: addresses that replace the name look-up, each as ``HOST:PORT:ADDRESS,ADDRESS…``
            (CURLOPT_RESOLVE).
    """

    def __init__(
        self,
        endpoint: LegacyEndpoint,
        *,
        credentials: Credentials | None = None,
        resolve: Sequence[str] = (),
    ) -> None:
        self._call_timeout_s = endpoint.call_timeout_s
        self._format = request = endpoint.request
        self._is_rendered = request.is_rendered
        self._conditions = endpoint.conditions
        self._own_headers = endpoint.header_lines()
        self._headers = self._own_headers
        self._key_prefix = f"{request.key_header}: " if request.key_header else ""
        self._response = response = ResponseBuffer()
        # Options are named by constants of pycurl: as attributes of the handle, they cost ten times
        # more.
        self._curl = curl = pycurl.Curl()
        # The connection belongs to the handle, also among other transfers, and ends with it.
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
        curl.setopt(pycurl.SHARE, self._share)
        endpoint.apply(curl)
        curl.setopt(pycurl.HTTPHEADER, self._headers)
        curl.setopt(pycurl.HEADERFUNCTION, response.head.extend)
        curl.setopt(pycurl.WRITEFUNCTION, response.receive)
        if resolve:
            curl.setopt(pycurl.RESOLVE, list(resolve))
        self._has_credentials = credentials is not None
        self._login: DigestConnection | NtlmConnection | None = None
        self._certificate: ClientCertificate | None = None
        self._is_digest = False
        self._was_accepted = False  # whether the last response was other than 401
        is_tls = endpoint.url.lower().startswith("https:")
        self._early_detector = EarlyResponseDetector(curl, response) if is_tls else None
        self._is_early = False  # whether the response began before its request was sent
        self._deadline = 0.0
        if credentials is None:
            Transport().apply(curl, endpoint.url)
            return
        credentials.apply(curl, endpoint.url)
        self.set_extra_headers(credentials.headers)
        self._certificate = credentials.transport.client_certificate
        login = credentials.login
        self._is_digest = login is not None and login.scheme == "digest"
        if self._is_digest:
            from chalicelib.integrator.legacy.authentication.digest import (  # noqa: PLC0415 - rare
                DigestConnection,
            )

            self._login = DigestConnection(curl, self._exchange, response.head)
        elif login and login.scheme == "ntlm":
            from chalicelib.integrator.legacy.authentication.ntlm import (  # noqa: PLC0415 - rare
                NtlmConnection,
            )

            self._login = NtlmConnection(
                curl, self._exchange, response.head, login.user, login.password
            )

    def set_extra_headers(self, headers: Sequence[str]) -> None:
        """Add these header lines to each further request, in place of the last such lines."""
        self._headers = [*self._own_headers, *headers]
        self._curl.setopt(pycurl.HTTPHEADER, self._headers)

    @property
    def is_new(self) -> bool:
        """Whether the present or last call opened a connection."""
        return bool(self._curl.getinfo(pycurl.NUM_CONNECTS))

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return bool(self._curl.getinfo(pycurl.ACTIVESOCKET) != -1)

    @property
    def is_quiet(self) -> bool:
        """Whether the idle connection has received nothing since its last response.

        Bytes that wait there are no response to the next request: a server may have sent more than
        one, or 408 before it closes. libcurl looks for them only once a second.
        """
        if (fd := self._curl.getinfo(pycurl.ACTIVESOCKET)) == -1:
            return True
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return not poll.poll(0)

    @property
    def is_answered(self) -> bool:
        """Whether the present or last call has received a byte."""
        return bool(self._response.head)

    def send(self, record_id: str, record: bytes) -> CallResult:
        """Send a record and return how the call ended; arguments as of ``call``."""
        return perform(self.call(record_id, record))

    def call(self, record_id: str, record: bytes, started: float | None = None) -> Call:
        """Send a record; see ``Call``.

        Args:
            record_id: the id of the record, which is the idempotency key of the request.
            record: the JSON of the record.
            started: since when the call's time runs; by default since now.
        """
        started = time.monotonic() if started is None else started
        curl, received = self._curl, self._response
        received.clear()
        if self._is_rendered:
            try:
                url, record = self._format.render(record)
            except UnsendableError as reason:
                # Counted like a refusal: it may park the record, and a run that sends nothing else
                # brakes and raises the alarm.
                latency_s = time.monotonic() - started
                return CallResult(Outcome.REFUSED, latency_s, log=f"Not sent: {reason}.")
            if url:
                curl.setopt(pycurl.URL, url)
        key = [self._key_prefix + record_id] if self._key_prefix else []
        if key:
            curl.setopt(pycurl.HTTPHEADER, [*self._headers, *key])
        curl.setopt(pycurl.POSTFIELDS, record)
        self._deadline = started + self._call_timeout_s
        error = yield from self._transfer(key, record)
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        # Nearly every call: by the default rules, a delivery needs no more of the headers.
        if (
            not error
            and 200 <= status < 300
            and self._conditions is None
            and received.has_whole_head
            and not self._is_early
            and self._is_sent(has_body=bool(record))
        ):
            latency_s = time.monotonic() - started
            result = judge_by_rules(status, bytes(received.body), latency_s, None)
            if result.outcome is Outcome.DELIVERED and _PROBLEM not in received.head.lower():
                self._was_accepted = True
                return result
        elif repetition := reason_to_repeat(
            curl,
            error,
            received.head,
            is_early=self._is_early,
            may_be_challenged=self._is_digest and self._was_accepted,
        ):
            error = yield from self._repeat(repetition, key, record)
            status = curl.getinfo(pycurl.RESPONSE_CODE)
        if not error:
            self._was_accepted = status != 401
        latency_s = time.monotonic() - started
        return self._judge(error, status, latency_s, has_body=bool(record))

    def close(self) -> None:
        """Close the connection for good."""
        self._curl.close()
        self._share.close()

    def _transfer(self, key: Sequence[str], record: bytes) -> Transfer:
        """Send the request and receive the response; return libcurl's code."""
        if self._login:
            return (yield from self._login.perform(self._headers, key, record))
        return (yield from self._exchange())

    def _is_sent(self, *, has_body: bool) -> bool:
        """Return whether the record was sent: Digest and NTLM may end before its body."""
        return self._login is None or not has_body or self._curl.getinfo(pycurl.SIZE_UPLOAD_T) > 0

    def _exchange(self) -> Transfer:
        """Exchange one request and one response in what is left of the call's time."""
        self._response.clear()
        if self._has_credentials:
            # A token request or an earlier message of a handshake may have used part of it.
            remaining_s = self._deadline - time.monotonic()
            if remaining_s <= 0:
                return int(pycurl.E_OPERATION_TIMEDOUT)
            self._curl.setopt(pycurl.TIMEOUT_MS, milliseconds(remaining_s))
        if self._early_detector:
            self._early_detector.before_request()
        error = yield self._curl
        self._curl.setopt(pycurl.FRESH_CONNECT, 0)  # the messages of NTLM belong to one connection
        self._is_early = self._early_detector is not None and self._early_detector.is_early()
        return int(pycurl.E_OK) if self._response.is_ended else error

    def _repeat(self, reason: Repetition, key: Sequence[str], record: bytes) -> Transfer:
        """Repeat the call in the time that is left; return libcurl's code."""
        curl, response = self._curl, self._response
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            if self._is_early:
                response.clear()
            return int(pycurl.E_OPERATION_TIMEDOUT)
        response.ignores_length = reason is Repetition.INVALID_LENGTH
        curl.setopt(pycurl.TIMEOUT_MS, milliseconds(remaining_s))
        curl.setopt(pycurl.IGNORE_CONTENT_LENGTH, response.ignores_length)
        curl.setopt(pycurl.FRESH_CONNECT, reason is not Repetition.NEW_CHALLENGE)
        error = yield from self._transfer(key, record)
        response.ignores_length = False
        curl.setopt(pycurl.TIMEOUT_MS, milliseconds(self._call_timeout_s))
        curl.setopt(pycurl.IGNORE_CONTENT_LENGTH, 0)
        return error

    def _judge(self, error: int, status: int, latency_s: float, *, has_body: bool) -> CallResult:
        """Judge a call that is no plain delivery.

        Only the body of a 2xx says whether the record was accepted. If the body of any other
        response breaks off, times out or is too long, its status is enough. But the status may be
        that of a challenge of Digest: libcurl answers it in the same transfer, which then broke
        off. And a record that was not sent is neither delivered nor refused: the response is that
        to a request without it.
        """
        fields = final_fields(bytes(self._response.head))
        is_broken = error not in _WHOLE
        may_lack_response = 200 <= status < 300 or (status == 401 and self._is_digest)
        if fields is None or (is_broken and may_lack_response):
            head_bytes = len(self._response.head)
            return judge_error(
                self._curl, error, head_bytes, latency_s, self._certificate, has_body=has_body
            )
        decoded = decode(bytes(self._response.body), fields.get("content-encoding"))
        is_sent = self._is_sent(has_body=has_body)
        result = judge(
            self._conditions if is_sent else None,
            status,
            fields,
            decoded.body,
            latency_s,
            is_whole=not error and decoded.is_whole and len(decoded.body) < MAX_BODY_BYTES,
        )
        if not is_sent:
            result = replace(result, outcome=Outcome.OVERLOADED)
        if result.log and (redact := self._format.redact):
            return replace(result, log=redact(result.log))
        return result
