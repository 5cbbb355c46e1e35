"""The wait that a legacy asks for is read from every header and form that servers use."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.legacy.messages.retry_after import requested_wait_s

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
UNIX_NOW = int(NOW.timestamp())
FIELDS = (
    *("date", "retry-after", "retry-after-ms"),
    *("ratelimit", "ratelimit-reset", "x-ratelimit-reset"),
    *("x-ratelimit-reset-after", "x-rate-limit-reset"),
)


def wait_s(status: int = 429, **headers: str) -> float | None:
    fields = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return requested_wait_s(fields, status, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("3, 7", 7.0),
        ("7,3", 7.0),
        ("999999", 300.0),
        ("999999999", 300.0),
        (str(UNIX_NOW + 30), 30.0),
        (f"{UNIX_NOW + 30}.5", 30.5),
        (str(UNIX_NOW - 30), 0.0),
        (str((UNIX_NOW + 30) * 1000), 30.0),
        ("9" * 400, 300.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("-3", None),
        ("3, soon", None),
        ("1e3", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [200, 422, 429, 500, 503])
def test_retry_after_is_seconds_or_a_date_with_any_status(
    text: str, seconds: float | None, status: int
) -> None:
    assert wait_s(status, Retry_After=text) == seconds


def test_missing_header_asks_for_no_wait() -> None:
    assert wait_s() is None


@pytest.mark.parametrize("minutes", [-60, -1, 1, 60])
def test_retry_after_date_is_measured_by_the_clock_of_the_legacy(minutes: int) -> None:
    hour, minute = divmod(12 * 60 + minutes, 60)
    sent_at, until = (f"Sun, 22 Nov 2026 {hour:02}:{minute:02}:{s:02} GMT" for s in (0, 30))
    assert wait_s(Date=sent_at, Retry_After=until) == 30.0


@pytest.mark.parametrize("name", ["retry-after", "ratelimit-reset", "x-rate-limit-reset"])
@pytest.mark.parametrize("seconds", [-3_600, 0, 3_600])
def test_unix_time_is_measured_by_the_clock_of_the_legacy(name: str, seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    fields = {"date": date, name: str(UNIX_NOW + seconds + 30)}
    assert requested_wait_s(fields, 429, NOW) == 30.0


@pytest.mark.parametrize("date", ["", "today", "Sun, 99 Nov 2026 12:00:00 GMT"])
def test_our_clock_stands_in_for_a_malformed_date_header(date: str) -> None:
    assert wait_s(Date=date, Retry_After="Sun, 22 Nov 2026 12:00:30 GMT") == 30.0


def test_milliseconds_take_precedence_over_rounded_seconds() -> None:
    assert wait_s(200, Retry_After_Ms="1500", Retry_After="2") == 1.5
    assert wait_s(200, Retry_After_Ms="soon", Retry_After="2") == 2.0


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit_Reset": "50"},
        {"RateLimit": "limit=100, remaining=0, reset=50"},
        {"RateLimit": '"default";r=0;t=50'},
        {"RateLimit": '"burst";r=0;t=5, "daily";r=0;t=50'},
        {"RateLimit_Reset": str(UNIX_NOW + 50)},
        {"RateLimit": f"limit=100, remaining=0, reset={UNIX_NOW + 50}"},
        {"X_RateLimit_Reset": "50"},
        {"X_Rate_Limit_Reset": "50"},
        {"X_Rate_Limit_Reset": str(UNIX_NOW + 50)},
        {"X_RateLimit_Reset_After": "50"},
        {"X_RateLimit_Reset_After": "50", "X_RateLimit_Reset": str(UNIX_NOW + 60)},
        {"X_RateLimit_Reset_After": "soon", "X_RateLimit_Reset": "50"},
        {"X_RateLimit_Reset": str(UNIX_NOW + 50)},
        {"X_RateLimit_Reset": str((UNIX_NOW + 50) * 1000)},
    ],
    ids=str,
)
def test_rate_limit_reset_counts_only_when_the_legacy_throttles(headers: dict[str, str]) -> None:
    assert wait_s(429, **headers) == wait_s(503, **headers) == 50.0
    assert wait_s(200, **headers) is None
    assert wait_s(429, Retry_After="7", **headers) == 7.0


@given(st.dictionaries(st.sampled_from(FIELDS), st.text()), st.integers(100, 999))
def test_any_fields_ask_for_a_wait_within_bounds(fields: dict[str, str], status: int) -> None:
    requested = requested_wait_s(fields, status, NOW)
    assert requested is None or 0 <= requested <= 300
