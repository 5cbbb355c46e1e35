"""The clock of the simulated legacy, which may be off, and the headers that show its time."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Literal


def http_date(ahead_s: float, after_s: float = 0.0) -> str:
    """Return the date ``after_s`` from now, by a clock that is ``ahead_s`` ahead of ours."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s + after_s), usegmt=True)


def retry_after(wait_s: int, form: Literal["seconds", "date"], ahead_s: float) -> str:
    """Return a Retry-After (RFC 9110, section 10.2.3)."""
    return str(wait_s) if form == "seconds" else http_date(ahead_s, wait_s)
