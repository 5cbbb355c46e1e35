"""Headers of a response that servers write in many ways: Content-Encoding and Retry-After."""

import zlib
from datetime import UTC, datetime

import pytest

from chalicelib.integrator.legacy_response import decode, parse_retry_after

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("encoding", "wbits"),
    [("gzip", 31), ("x-gzip", 31), ("GZIP ", 31), ("deflate", 15), ("deflate", -15)],
)
def test_known_content_encoding_is_undone(encoding: str, wbits: int) -> None:
    compressor = zlib.compressobj(wbits=wbits)
    encoded = compressor.compress(b'{"message": "success"}') + compressor.flush()
    assert decode(encoded, encoding) == b'{"message": "success"}'


@pytest.mark.parametrize("encoding", [None, "identity", "br", "gzip"])
def test_body_that_cannot_be_decoded_is_unchanged(encoding: str | None) -> None:
    assert decode(b"plain", encoding) == b"plain"


def test_decoded_body_is_bounded() -> None:
    bomb = zlib.compress(b" " * 50_000_000)
    assert len(decode(bomb, "deflate")) == 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999", 300.0),
        ("9" * 400, 300.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("-3", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_parsed_as_seconds_or_as_a_date(
    text: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(text, NOW) == seconds
