"""What an answer of the legacy means, or that there was none: one of four outcomes."""

import contextlib
import http.client
import json
import ssl
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from chalicelib.integrator.legacy_response import MAX_BODY_BYTES

_MAX_LOG = 8_000
_MAX_RETRY_AFTER_S = 300.0
# zlib's: read either of gzip's header and zlib's own, as the data has it; and data without any,
# which is what some servers call deflate.
_HEADERS = (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS)


class Outcome(StrEnum):
    """What a call came to."""

    DELIVERED = "DELIVERED"  # the legacy has the record
    OVERLOADED = "OVERLOADED"  # it is too busy, or not there: this says nothing of the record
    FAILED = "FAILED"  # it met a fault, perhaps with the record
    REFUSED = "REFUSED"  # it refuses the record: a fault of the record


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended. ``log`` says it to people; ``denied`` that our credentials are at fault."""

    outcome: Outcome
    latency_s: float
    http_status: int | None = None
    log: str | None = None
    retry_after_s: float | None = None
    denied: bool = False


def classify(status: int, body: bytes, latency_s: float, retry_after_s: float | None) -> Reply:
    """Say what an answer of the legacy means."""
    text = body.decode("utf-8", "replace").replace("\0", "\ufffd")
    log = f"HTTP {status}: {text}"[:_MAX_LOG]
    denied = status in (401, 403, 407)
    if 200 <= status < 300:
        fault = _fault_of_success(status, body)
        if fault is None:
            return Reply(Outcome.DELIVERED, latency_s, status)
        log = f"HTTP {status}, but {fault}: {text}"[:_MAX_LOG]
        outcome = Outcome.FAILED
    elif denied or status in (408, 425, 429, 503):
        outcome = Outcome.OVERLOADED
    elif 400 <= status < 500:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.FAILED
    return Reply(outcome, latency_s, status, log, retry_after_s, denied)


def decode(body: bytes, encoding: str | None) -> bytes:
    """Undo a Content-Encoding that nobody asked for, within bounds; as it is, if that fails."""
    if encoding is None or encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    for header in _HEADERS:
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(header).decompress(body, MAX_BODY_BYTES)
    return body


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a Retry-After (RFC 9110, section 10.2.3) as seconds from ``now``, within bounds.

    Returns:
        None where there is none or it is neither seconds nor a date.
    """
    if text is None:
        return None
    try:
        if text.strip().isascii() and text.strip().isdigit():
            seconds = float(text)
        else:
            date = parsedate_to_datetime(text)
            # A date without a zone, as asctime writes it, is in UTC.
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError, IndexError, TypeError):  # what email.utils comes to
        return None
    return min(_MAX_RETRY_AFTER_S, max(0.0, seconds))


def _fault_of_success(status: int, body: bytes) -> str | None:
    """Say why an answer of 2xx is no success after all, or None."""
    if status in (204, 205):  # these have no body in which to say anything else
        return None
    try:
        document = _read_json(body)
    except (ValueError, RecursionError):
        return "its body is not JSON"
    if not isinstance(document, dict):
        return "its body is not a JSON object"
    if document.get("message", "success") != "success":
        return "its message is not success"
    return None


def _read_json(body: bytes) -> Any:
    """Read JSON in the Unicode it is in, or in Latin-1, which old systems take for it.

    Raises ValueError, or RecursionError where it is nested too deep.
    """
    # Whole numbers as floats: Python refuses to read one of thousands of digits, which JSON allows.
    try:
        return json.loads(body, parse_int=float)
    except UnicodeDecodeError:
        return json.loads(body.decode("latin-1"), parse_int=float)


def broken(error: Exception, latency_s: float) -> Reply:
    """Say what a call without an answer means.

    Silence and closed doors are the marks of a system that is too busy or away; bytes that are not
    HTTP are a fault of its own.
    """
    garbage = isinstance(error, (http.client.HTTPException, ValueError)) and not isinstance(
        error, (OSError, http.client.IncompleteRead)
    )
    outcome = Outcome.FAILED if garbage else Outcome.OVERLOADED
    said: object = error
    if isinstance(error, ssl.SSLCertVerificationError):
        # Without the host's name, for whoever's record it is may read the log.
        said = error.verify_message.partition(",")[0]
    log = f"No answer: {type(error).__name__}: {said}".replace("\0", "\ufffd")
    return Reply(outcome, latency_s, log=log[:_MAX_LOG])
