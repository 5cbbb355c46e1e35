"""Read from a response how long the legacy asks us to wait.

    header                          value                          example
    ───────────────────────────────────────────────────────────────────────────────────────────
    Retry-After-Ms (1)              milliseconds                   1500
    Retry-After (2)                 seconds, or a date             30 | 1.5 | 3, 7 | Sun, 22 Nov …
    RateLimit-Reset, RateLimit (3)  seconds until the window ends  50 | "default";r=0;t=50
    X-RateLimit-Reset-After (3)     the same                       49.5
    X-RateLimit-Reset (3)           the same                       50 | 1795348800
    X-Rate-Limit-Reset (3)          the same                       50 | 1795348800

The first one that can be read counts; of several values, the largest. From 1,000,000,000 on, a
number is a Unix time, against the standards. A date or a Unix time is compared with the response's
own ``Date``, so that a clock that is off on either side does not matter.

(1) Azure services send it beside Retry-After, which is rounded. (2) RFC 9110, section 10.2.3.
(3) draft-ietf-httpapi-ratelimit-headers, old and new form, and older custom headers. They also
stand in responses of success, so they count only with 429 and 503.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_WAIT_S = 300.0
_NUMBER = re.compile(r"[0-9]{1,400}(?:\.[0-9]{1,400})?", re.ASCII)
# "reset" in drafts 3 to 7, "t" since draft 8.
_RATE_LIMIT_RESET = re.compile(r"(?:^|[;,\s])(?:reset|t)=([0-9]{1,18})", re.ASCII | re.IGNORECASE)
_CUSTOM = ("x-ratelimit-reset-after", "x-ratelimit-reset", "x-rate-limit-reset")
_THROTTLING = frozenset({429, 503})
# Larger numbers are a Unix time, which services write in seconds or in ms. The first is 32 years.
_UNIX_TIME_S = 1e9
_UNIX_TIME_MS = 1e12


def requested_wait_s(fields: Mapping[str, str], status: int, now: datetime) -> float | None:
    """Return how long the legacy asks us to wait, from 0 to 300 s; None if it does not ask.

    Args:
        fields: the header fields of the response, by their names in lower case.
        status: of the response.
        now: our time, in place of the response's ``Date`` if that is missing or malformed.
    """
    sent_at = _date(fields.get("date", "")) or now
    wait_s = _milliseconds(fields.get("retry-after-ms", ""))
    if wait_s is None:
        wait_s = _seconds_or_date(fields.get("retry-after", ""), sent_at)
    if wait_s is None and status in _THROTTLING:
        wait_s = _rate_limit_reset(fields, sent_at)
    return None if wait_s is None else min(_MAX_WAIT_S, max(0.0, wait_s))


def _milliseconds(text: str) -> float | None:
    milliseconds = _largest(text)
    return None if milliseconds is None else milliseconds / 1000


def _seconds_or_date(text: str, sent_at: datetime) -> float | None:
    date = _date(text)
    return _seconds(text, sent_at) if date is None else (date - sent_at).total_seconds()


def _rate_limit_reset(fields: Mapping[str, str], sent_at: datetime) -> float | None:
    resets = ", ".join(_RATE_LIMIT_RESET.findall(fields.get("ratelimit", "")))
    texts = (fields.get("ratelimit-reset", ""), resets, *(fields.get(each, "") for each in _CUSTOM))
    waits_s = (_seconds(text, sent_at) for text in texts)
    return next((each for each in waits_s if each is not None), None)


def _seconds(text: str, sent_at: datetime) -> float | None:
    """Return a number of seconds; a Unix time gives those since ``sent_at``."""
    seconds = _largest(text)
    if seconds is None or seconds < _UNIX_TIME_S:
        return seconds
    unix_time_s = seconds / 1000 if seconds >= _UNIX_TIME_MS else seconds
    return unix_time_s - sent_at.timestamp()


def _largest(text: str) -> float | None:
    """Return the largest of the numbers that a comma separates; None if any is malformed."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    # A number of hundreds of digits is infinity.
    return max(float(part) for part in parts)


def _date(text: str) -> datetime | None:
    """Parse an HTTP date, in each of the three formats of RFC 9110, section 5.6.7."""
    if not text or text[:1].isdigit():  # email.utils reads some lists of numbers as a date
        return None
    try:
        date = parsedate_to_datetime(text)
        # A date without a zone, in the asctime format, is in UTC.
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError, IndexError, TypeError):  # all that email.utils raises
        return None
