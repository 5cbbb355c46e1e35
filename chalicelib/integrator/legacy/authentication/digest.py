"""Authenticate by Digest: get the first challenge; libcurl answers it, and those that follow.

libcurl, too, would send an empty request first. But it takes the answer to that for the answer to
the record if it is neither 401 nor a success, and the empty request would carry the idempotency
key, for which some gateways store an answer before they ask who calls.

    us                                      legacy
    ─ POST, no body, no key ──────────────▶
    ◀───────────────────────── challenge ─
    ─ POST, body, answer to the challenge ▶ also in further calls, with the same nonce
    ◀──────────────────────────── answer ─
"""

import re
from collections.abc import Callable, Sequence

import pycurl

from chalicelib.integrator.legacy.libcurl.call_steps import Transfer

# A line may have several challenges.
_CHALLENGE = re.compile(rb"(?im)^www-authenticate:(?:[^\n]*,)?[ \t]*digest[ \t]")


class DigestConnection:
    """The authentication of one handle, which keeps the nonce.

    Args:
        curl: the handle, which has the user and the password.
        exchange: yields the handle to have its request sent, and returns libcurl's code.
        received: the header lines that the last exchange has received.
    """

    def __init__(
        self, curl: pycurl.Curl, exchange: Callable[[], Transfer], received: bytearray
    ) -> None:
        self._curl = curl
        self._exchange = exchange
        self._received = received
        self._is_challenged = False  # whether libcurl has a nonce

    def perform(self, headers: Sequence[str], key: Sequence[str], body: bytes) -> Transfer:
        """Send a request, after its challenge if there was none; return libcurl's code.

        A legacy that does not challenge the empty request gets the whole one without credentials,
        and may challenge that.

        Args:
            headers: the header lines of each request.
            key: the header line of the idempotency key, if there is one.
            body: the record; empty if the URL has it.
        """
        if not body:  # libcurl sends nothing but whole requests
            return (yield from self._exchange())
        keyed = [*headers, *key]
        if not self._is_challenged:
            error = yield from self._send(pycurl.HTTPAUTH_NONE, headers, b"")
            if not self._status:
                return error
            if self._status != 401:
                error = yield from self._send(pycurl.HTTPAUTH_NONE, keyed, body)
            if self._status != 401 or not _CHALLENGE.search(self._received):
                return error
            self._is_challenged = True
        return (yield from self._send(pycurl.HTTPAUTH_DIGEST, keyed, body))

    def _send(self, scheme: int, headers: Sequence[str], body: bytes) -> Transfer:
        """Send one request. libcurl keeps a challenge of Digest also if it is not to answer it."""
        self._curl.setopt(pycurl.HTTPAUTH, scheme)
        self._curl.setopt(pycurl.HTTPHEADER, list(headers))
        self._curl.setopt(pycurl.POSTFIELDS, body)
        return (yield from self._exchange())

    @property
    def _status(self) -> int:
        return int(self._curl.getinfo(pycurl.RESPONSE_CODE))
