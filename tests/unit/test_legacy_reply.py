"""What an answer of the legacy means."""

import zlib
from datetime import UTC, datetime

import pytest

from chalicelib.integrator.outcome import Outcome, classify, decode, read_retry_after

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b'{"message": "success"}', Outcome.DELIVERED),
        (200, b'{"id": 1}', Outcome.DELIVERED),
        (201, b"{}", Outcome.DELIVERED),
        (204, b"", Outcome.DELIVERED),
        (200, '{"message": "success", "nome": "João"}'.encode("latin-1"), Outcome.DELIVERED),
        (200, b'{"message": "success", "number": ' + b"9" * 5_000 + b"}", Outcome.DELIVERED),
        (200, b'{"message": "queue full"}', Outcome.FAILED),
        (200, b'{"message": null}', Outcome.FAILED),
        (200, b"", Outcome.FAILED),
        (200, b"<html>Welcome</html>", Outcome.FAILED),
        (200, b"\xff\xfe\x00", Outcome.FAILED),
        (200, b'"success"', Outcome.FAILED),
        (200, b"[" * 100_000, Outcome.FAILED),
        (302, b"", Outcome.FAILED),
        (304, b"", Outcome.FAILED),
        (400, b"", Outcome.REFUSED),
        (404, b"", Outcome.REFUSED),
        (409, b"", Outcome.REFUSED),
        (422, b"", Outcome.REFUSED),
        (401, b"", Outcome.OVERLOADED),
        (403, b"", Outcome.OVERLOADED),
        (407, b"", Outcome.OVERLOADED),
        (408, b"", Outcome.OVERLOADED),
        (425, b"", Outcome.OVERLOADED),
        (429, b"", Outcome.OVERLOADED),
        (503, b"", Outcome.OVERLOADED),
        (500, b"", Outcome.FAILED),
        (502, b"", Outcome.FAILED),
        (504, b"", Outcome.FAILED),
        (599, b"", Outcome.FAILED),
    ],
)
def test_an_answer_is_one_of_four_outcomes(status: int, body: bytes, outcome: Outcome) -> None:
    assert classify(status, body, 0.1, None).outcome is outcome


@pytest.mark.parametrize(
    ("encoding", "wbits"),
    [("gzip", 31), ("x-gzip", 31), ("GZIP ", 31), ("deflate", 15), ("deflate", -15)],
)
def test_an_encoded_answer_is_read_in_whatever_is_called_so(encoding: str, wbits: int) -> None:
    compressor = zlib.compressobj(wbits=wbits)
    encoded = compressor.compress(b'{"message": "success"}') + compressor.flush()
    assert decode(encoded, encoding) == b'{"message": "success"}'


def test_only_refused_credentials_are_denied() -> None:
    denied = {status for status in range(200, 600) if classify(status, b"{}", 0.1, None).denied}
    assert denied == {401, 403, 407}


def test_a_log_is_text_that_postgres_takes() -> None:
    log = classify(500, b"\0" * 20_000, 0.1, None).log
    assert log is not None
    assert "\0" not in log
    assert len(log) <= 8_000


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
def test_reads_retry_after_as_seconds_or_date_and_no_garbage(
    text: str | None, seconds: float | None
) -> None:
    assert read_retry_after(text, NOW) == seconds
