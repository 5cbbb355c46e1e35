"""Authenticate by NTLM, which authenticates a connection, not a request.

libcurl's wheel is built without NTLM, so the three messages are made by pyspnego and sent here
([MS-NTHT], https://learn.microsoft.com/openspecs/windows_protocols/ms-ntht).

    us                                      legacy
    ─ POST, no body, NTLM negotiate ──────▶   without the idempotency key
    ◀────────────── 401, NTLM challenge ─
    ─ POST, body, NTLM authenticate ──────▶ the connection is authenticated from now on
    ◀──────────────────────────── answer ─
    ─ POST, body ─────────────────────────▶
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Sequence

import pycurl
import spnego

from chalicelib.integrator.legacy.libcurl.call_steps import Transfer

_CHALLENGE = re.compile(rb"(?im)^www-authenticate:[ \t]*NTLM[ \t]+([\w+/]+=*)")
# The legacy may close the connection between the messages of one.
_MAX_HANDSHAKES = 2


class NtlmConnection:
    """The authentication of one handle, which keeps one connection.

    Args:
        curl: the handle.
        exchange: yields the handle to have its request sent, and returns libcurl's code.
        received: the header lines that the last exchange has received.
        user: the name of the user, perhaps with a domain: ``DOMAIN\\USER`` or ``USER@DOMAIN``.
        password: the password of the user.
    """

    def __init__(
        self,
        curl: pycurl.Curl,
        exchange: Callable[[], Transfer],
        received: bytearray,
        user: str,
        password: str,
    ) -> None:
        self._curl = curl
        self._exchange = exchange
        self._received = received
        self._user = user
        self._password = password
        self._is_authenticated = False  # whether the last call ended authenticated

    def perform(self, headers: Sequence[str], key: Sequence[str], body: bytes) -> Transfer:
        """Send a request, after a handshake if the connection needs one; return libcurl's code.

        The body is sent once the legacy can accept it, so the legacy never gets a record twice.

        Args:
            headers: the header lines of each request.
            key: the header line of the idempotency key, if there is one.
            body: the record; empty if the URL has it.
        """
        keyed = [*headers, *key]
        if self._is_authenticated:
            error = yield from self._send(keyed, body)
            if error or self._status != 401:
                return error
            # A new connection, or a legacy that authenticates each request.
        error = 0
        for _ in range(_MAX_HANDSHAKES):
            error, is_interrupted = yield from self._handshake(headers, keyed, body)
            if not is_interrupted:
                break
        self._is_authenticated = not error and self._status != 401
        return error

    def _handshake(
        self, headers: Sequence[str], keyed: Sequence[str], body: bytes
    ) -> Generator[pycurl.Curl, int, tuple[int, bool]]:
        """Send the messages; return libcurl's code, and whether the connection changed between."""
        context = spnego.client(self._user, self._password, protocol="ntlm")
        error = yield from self._send([*headers, _authorization(context.step())], b"")
        if error:
            return error, False
        if self._status != 401:  # it wants no NTLM, or is at fault: only a whole request tells
            return (yield from self._send(keyed, body)), False
        challenge = _CHALLENGE.search(self._received)
        if challenge is None:
            return error, False
        try:
            answer = context.step(b64decode(challenge[1]))
        except Exception:  # noqa: BLE001 - pyspnego raises anything, such as KeyError
            return error, False  # bytes that are no challenge: the 401 stands
        error = yield from self._send([*keyed, _authorization(answer)], body)
        is_refused = not error and self._status == 401
        return error, is_refused and bool(self._curl.getinfo(pycurl.NUM_CONNECTS))

    def _send(self, headers: Sequence[str], body: bytes) -> Transfer:
        self._curl.setopt(pycurl.HTTPHEADER, list(headers))
        self._curl.setopt(pycurl.POSTFIELDS, body)
        return (yield from self._exchange())

    @property
    def _status(self) -> int:
        return int(self._curl.getinfo(pycurl.RESPONSE_CODE))


def _authorization(message: bytes | None) -> str:
    return f"Authorization: NTLM {b64encode(message or b'').decode()}"
