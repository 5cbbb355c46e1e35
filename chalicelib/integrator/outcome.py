"""Judge how a call to the legacy ended: one of four outcomes.

    how the call ended                                   outcome      the record is
    ─────────────────────────────────────────────────────────────────────────────────────────────
    204, 205; other 2xx with a body of success (*)       DELIVERED    integrated
    429, 503, 408, 425: too busy, or too early           OVERLOADED   retried, no attempt used up
    401, 403, 407: our credentials are refused (***)     OVERLOADED   retried, no attempt used up
    no connection, untrusted certificate                 OVERLOADED   retried, no attempt used up
    reset, timeout, response cut short                   OVERLOADED   retried, then parked (**)
    any other 4xx                                        REFUSED      retried, then parked (**)
    2xx with another body                                FAILED       retried, then parked (**)
    any other status                                     FAILED       retried, then parked (**)
    bytes that are not HTTP, or too many                 FAILED       retried, then parked (**)
    the same, before the record was sent                 OVERLOADED   retried, no attempt used up

(*) The body is a JSON object that reports no error. If it has a ``message``, the message is
"success". It must have one if LEGACY_DELIVERED is set. ``_reports_error`` has what reports errors:
``"ok": false``, for example, or an ``error`` that is not empty. A 207 has a status for each part of
a request (RFC 4918, section 13): only LEGACY_DELIVERED can say that it is a delivery.
(**) After MAX_ATTEMPTS attempts. A call uses up an attempt only if the legacy was alive for others:
a call that was sent later was delivered. Otherwise the record waits as after an overload, with any
status. ``liveness`` decides it.
(***) Also nginx's own page of status 400 for a client certificate that is missing, expired or not
trusted.

The operator's conditions are asked before these rules: ``legacy.messages.response_outcome``. A
record from which no request can be made is REFUSED: it is not sent.

The limiter counts OVERLOADED and FAILED as failures of the legacy. A REFUSED record says nothing
against the legacy's health while others are delivered, and nothing about its capacity: only
DELIVERED calls measure latency. If nothing is delivered, a refusal is a failure as well.
``retry_policy`` decides when a record is retried. ``docs/decisions/0004`` and ``0024`` have the
reasons.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CREDENTIALS_REFUSED = frozenset({401, 403, 407})
_TOO_BUSY = frozenset({408, 425, 429, 503})
_MULTI_STATUS = 207
# The pages of nginx for its errors 495 and 496, which it sends with status 400:
# https://nginx.org/en/docs/http/ngx_http_ssl_module.html#errors
# Only as the title of the page: a legacy may quote a record that has the same text.
_CERTIFICATE_REFUSED = re.compile(
    rb"\s*(?:<!doctype[^<>]*>\s*)?<html>\s*<head>\s*<title>"
    rb"400 (?:The SSL certificate error|No required SSL certificate was sent)</title>",
    re.IGNORECASE,
)
# How APIs report an error in a 2xx: members, in lower case and without underscores, whose value
# says so. The words are those of JSend, https://github.com/omniti-labs/jsend, and others in use.
_ERRORS = frozenset(
    {
        *("error", "errorcode", "errormessage", "errormsg", "errors", "exception", "fault"),
        *("haserror", "haserrors", "iserror", "err", "errcode", "errmsg", "errno"),
    }
)
_SUCCESSES = frozenset({"issuccess", "ok", "succeeded", "success", "successful"})
_RESULTS = frozenset({"result", "status"})
_FAILED = frozenset(
    {
        *("error", "fail", "failed", "failure", "invalid", "ko", "nok"),
        *("denied", "maintenance", "refused", "rejected", "unavailable"),
    }
)
# Members with a status of HTTP; ``code`` may have one, too.
_STATUSES = frozenset({"status", "statuscode"})
# Members that report an error if they are false.
_VERDICTS = frozenset({"code", *_RESULTS, *_STATUSES})
_ERROR_STATUS = re.compile(r"[45][0-9]{2}", re.ASCII)
# Numbers and texts that some languages have in place of false.
_FALSE = frozenset({"0", "f", "false", "n", "no"})
_NOTHING = frozenset({"", "none", "null", "ok", "success", *_FALSE})
_MAX_LOG_CHARS = 8_000
# Integers become floats: Python refuses integers of thousands of digits, which JSON allows. A text
# may have a raw line feed, which some systems do not escape.
# Kept, since json.loads with an argument makes a decoder for each call.
_DECODER = json.JSONDecoder(parse_int=float, strict=False)
# A byte order mark before JSON; the NUL that ends a text in C, and white space after it.
_AROUND_JSON = "\ufeff\0 \t\r\n"


class Outcome(StrEnum):
    """How a call ended; the table at the head of this module has the rules."""

    DELIVERED = "DELIVERED"  # the legacy has the record
    OVERLOADED = "OVERLOADED"  # the legacy is too busy or unreachable; the record is not at fault
    FAILED = "FAILED"  # the legacy met a fault, perhaps because of the record
    REFUSED = "REFUSED"  # the legacy refuses the record, or something before the legacy does


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of one call.

    ``log`` describes the result to people. It is cut, and freed of what Postgres does not store,
    which would fail the flush of all other outcomes. ``credentials_refused`` is true if the legacy
    rejected our credentials. ``broke_off`` is true if the request was sent, and the call then ended
    without a complete response: by a timeout, a reset or a truncated response. ``decided_by`` is
    the setting whose condition decided; None if the rules of this module did.
    """

    outcome: Outcome
    latency_s: float
    http_status: int | None = None
    log: str | None = None
    retry_after_s: float | None = None
    credentials_refused: bool = False
    decided_by: str | None = None
    broke_off: bool = False

    def __post_init__(self) -> None:
        if self.log:
            object.__setattr__(self, "log", _storable(self.log))  # it is frozen

    @property
    def may_be_the_records_fault(self) -> bool:
        """Whether the record may have caused this result, if others are delivered."""
        return self.broke_off or self.outcome in (Outcome.FAILED, Outcome.REFUSED)


def judge_by_rules(
    status: int,
    body: bytes,
    latency_s: float,
    retry_after_s: float | None,
    *,
    is_problem: bool = False,
    without_message: str | None = None,
    text: str | None = None,
) -> CallResult:
    """Judge a call that ended with a response, by the rules of this module.

    Args:
        status: the HTTP status.
        body: the body, without a Content-Encoding.
        latency_s: how long the call took.
        retry_after_s: how long the legacy asks us to wait; None if it does not.
        is_problem: whether the media type of the body is that of an error (RFC 9457).
        without_message: why a JSON object without a ``message`` is no success; None if it is one.
        text: the body as people read it; by default it is taken for UTF-8.
    """
    what = f"HTTP {status}"
    credentials_refused = status in CREDENTIALS_REFUSED or (
        status == 400 and _CERTIFICATE_REFUSED.match(body) is not None
    )
    if 200 <= status < 300:
        fault = _fault_of_success(status, body, without_message, is_problem)
        if fault is None:
            return CallResult(Outcome.DELIVERED, latency_s, status)
        what += f", but {fault}"
        outcome = Outcome.FAILED
    elif credentials_refused or status in _TOO_BUSY:
        outcome = Outcome.OVERLOADED
    elif 400 <= status < 500:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.FAILED
    if text is None:
        text = body.decode("utf-8", "replace")
    log = f"{what}: {text}"
    return CallResult(outcome, latency_s, status, log, retry_after_s, credentials_refused)


def judge_no_response(
    outcome: Outcome,
    reason: str,
    latency_s: float,
    *,
    broke_off: bool,
    credentials_refused: bool = False,
) -> CallResult:
    """Judge a call that ended without a complete response, for a reason that people read.

    Silence and refused connections are signs of a system that is too busy or down: OVERLOADED.
    Bytes that are not HTTP are a fault of that system: FAILED.

    Args:
        outcome: one of these two.
        reason: why there is no response, without the legacy's name.
        latency_s: the time since the call began.
        broke_off: whether the request was sent, so that the record may be the cause.
        credentials_refused: whether the proxy or TLS refuses our credentials.
    """
    log = f"No response: {reason}"
    return CallResult(
        outcome,
        latency_s,
        log=log,
        broke_off=broke_off,
        credentials_refused=credentials_refused,
    )


def _storable(text: str) -> str:
    """Return the text without what Postgres does not store, cut to the length of a log."""
    text = text[:_MAX_LOG_CHARS].replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode()  # a lone surrogate has no encoding


def parse_json(body: bytes) -> Any:
    """Parse JSON in any Unicode encoding, or in Latin-1, which some old systems send as JSON.

    Control characters in texts, and a NUL at the end, do not matter. Integers become floats.

    Raises:
        ValueError: the body is not JSON.
        RecursionError: it is nested too deep.
    """
    with contextlib.suppress(ValueError):
        return _DECODER.decode(body.decode().strip(_AROUND_JSON))
    try:
        return json.loads(body, parse_int=float, strict=False)
    except UnicodeDecodeError:
        return _DECODER.decode(body.decode("latin-1").strip(_AROUND_JSON))


def _fault_of_success(
    status: int, body: bytes, without_message: str | None, is_problem: bool
) -> str | None:
    """Return why a 2xx response is not a success after all; None if it is one."""
    if status in (204, 205):  # these never have a body
        return None
    try:
        document = parse_json(body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    if not isinstance(document, dict):
        return "the body is not a JSON object"
    if is_problem:
        return "its media type is that of an error"
    if status == _MULTI_STATUS:
        return "a status for each part of a request needs LEGACY_DELIVERED"
    has_message = says_success = False
    for name, value in document.items():
        plain_name = name.lower().replace("_", "")
        if plain_name == "message":
            has_message = says_success = True
            if not (isinstance(value, str) and value.strip().lower() == "success"):
                return f'the "{name}" is not "success"'
        elif plain_name in _SUCCESSES:
            says_success = True
            if _is_false(value):
                return f'"{name}" reports an error'
        elif _reports_error(plain_name, value):
            return f'"{name}" reports an error'
    if not says_success:  # else it may be the number of the punch
        for name, value in document.items():
            if name.lower() == "code" and _is_error_status(value):
                return f'"{name}" reports an error'
    if without_message and not has_message:
        return f'it has no "message", and {without_message}'
    return None


def _reports_error(name: str, value: object) -> bool:
    """Return whether a member of a JSON object reports an error.

    Args:
        name: its name, in lower case and without underscores.
        value: its value.
    """
    text = value.strip().lower() if isinstance(value, str) else None
    return (
        (name in _VERDICTS and (value is False or text == "false"))
        or (name in _RESULTS and text in _FAILED)
        or (name in _STATUSES and _is_error_status(value))
        or (name in _ERRORS and not _is_nothing(value))
    )


def _is_false(value: object) -> bool:
    """Return whether a JSON value is false, 0, or a text for it."""
    return value in (False, 0) or (isinstance(value, str) and value.strip().lower() in _FALSE)


def _is_error_status(value: object) -> bool:
    """Return whether a JSON value is a status of HTTP from 400 to 599, as a number or a text."""
    if isinstance(value, str):
        return _ERROR_STATUS.fullmatch(value.strip()) is not None
    # Integers are floats here: see ``_DECODER``.
    return isinstance(value, float) and 400 <= value < 600 and value.is_integer()


def _is_nothing(value: object) -> bool:
    """Return whether a JSON value says nothing, or "ok", or has only such members.

    Nothing is null, false, 0, empty, and each of these as a text; a code may have several zeros.
    """
    if isinstance(value, dict):
        parts = list(value.values())
    else:
        parts = value if isinstance(value, list) else [value]
    return all(
        not each or (isinstance(each, str) and _says_nothing(each.strip().lower()))
        for each in parts
    )


def _says_nothing(text: str) -> bool:
    return text in _NOTHING or not text.strip("0")
