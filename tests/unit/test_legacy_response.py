"""A Content-Encoding that was not requested is undone within bounds."""

import zlib

import pytest

from chalicelib.integrator.legacy_response import decode


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
