"""Why a call is sent once more before it is judged: what libcurl reports is not its response.

Sending again is safe: the legacy recognises the idempotency key.
"""

from enum import Enum, auto

import pycurl

from chalicelib.integrator.legacy.libcurl.call_error import E_WEIRD_SERVER_REPLY
from chalicelib.integrator.legacy.libcurl.raw_response import closes_connection


class Repetition(Enum):
    """Why a call is repeated."""

    INVALID_LENGTH = auto()
    """libcurl discards a response whose Content-Length is invalid, as RFC 9112, section 6.3
    demands. A legacy that always sends one would have its deliveries repeated without end. Now the
    body ends where its JSON or XML ends, or with the connection."""
    EARLY_RESPONSE = auto()
    """The response arrived before the request: it belongs to another record."""
    NEW_CHALLENGE = auto()
    """libcurl takes a new challenge of Digest for a refusal unless it says ``stale=true``. Some
    servers omit that when they forget a nonce, as at a restart, or change their realm. Digest goes
    on, on the same connection."""
    UNREAD_BODY = auto()
    """A server that does not read bodies takes the last body for the start of this request, answers
    400 and closes."""


def reason_to_repeat(
    curl: pycurl.Curl,
    error: int,
    head: bytes | bytearray,
    *,
    is_early: bool,
    may_be_challenged: bool,
) -> Repetition | None:
    """Return why a call must be repeated; None if it can be judged.

    Args:
        curl: the handle of the call.
        error: libcurl's code.
        head: the header lines that the call has received.
        is_early: whether the response arrived before the request.
        may_be_challenged: whether a 401 may be a challenge: Digest has accepted the last call.
    """
    # One code for all invalid headers: only the text tells which.
    if error == E_WEIRD_SERVER_REPLY and "Content-Length" in curl.errstr():
        return Repetition.INVALID_LENGTH
    if is_early:
        return Repetition.EARLY_RESPONSE
    status = curl.getinfo(pycurl.RESPONSE_CODE)
    if status == 401 and may_be_challenged and not error:
        return Repetition.NEW_CHALLENGE
    is_kept = not curl.getinfo(pycurl.NUM_CONNECTS)
    if status == 400 and is_kept and closes_connection(bytes(head)):
        return Repetition.UNREAD_BODY
    return None
