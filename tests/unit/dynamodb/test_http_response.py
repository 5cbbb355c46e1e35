"""Reading of one HTTP/1.1 response: what is a response, where it ends, and what is rejected."""

import http.client
import io
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.dynamodb.http_response import (
    IncompleteResponseError,
    MalformedResponseError,
    Response,
    read_response,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(*parts: bytes) -> Response:
    """Read a response that arrives in these parts, after which the peer closes the connection."""
    arriving: Iterator[bytes] = iter([*filter(None, parts), b""])
    return read_response(lambda: next(arriving))


def splits(content: bytes) -> st.SearchStrategy[list[bytes]]:
    """Return the ways in which content may arrive."""
    cuts = st.lists(st.integers(0, len(content)), max_size=6).map(sorted)
    return cuts.map(
        lambda at: [content[a:b] for a, b in zip([0, *at], [*at, len(content)], strict=True)]
    )


PUT = OK + b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}"


@given(splits(b"HTTP/1.1 100 Continue\r\n\r\n" + PUT))
def test_response_may_arrive_in_any_parts_and_after_interim_responses(parts: list[bytes]) -> None:
    expected = {"content-type": "application/x-amz-json-1.0", "content-length": "2"}
    assert read(*parts) == Response(200, expected, b"{}", keeps_connection=True)


@given(splits(CHUNKED + b"2;x=y\r\n{}\r\n003\r\n   \r\n0\r\nTrailer: x\r\n\r\n"))
def test_chunked_body_may_arrive_in_any_parts(parts: list[bytes]) -> None:
    response = read(*parts)
    assert (response.body, response.keeps_connection) == (b"{}   ", True)


@pytest.mark.parametrize(
    "content",
    [
        OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nConnection: Keep-Alive, Close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        PUT + b"HTTP/1.1 200 OK",
        CHUNKED + b"2\r\n{}\r\n0\r\n\r\n{}",
    ],
    ids=["close", "close among others", "HTTP/1.0", "bytes after it", "bytes after its chunks"],
)
def test_connection_is_not_kept(content: bytes) -> None:
    assert read(content)[2:] == (b"{}", False)


@pytest.mark.parametrize("end", range(len(PUT)))
def test_truncated_response_is_incomplete(end: int) -> None:
    with pytest.raises(IncompleteResponseError):
        read(PUT[:end])


CHUNKS = CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize("end", range(len(CHUNKED), len(CHUNKS)))
def test_truncated_chunked_response_is_incomplete(end: int) -> None:
    with pytest.raises(IncompleteResponseError):
        read(CHUNKS[:end])


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/2 200\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"\r\n{}",
        OK + b"Content-Length: -1\r\n\r\n{}",
        OK + b"Content-Length: +2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"Content-Length : 2\r\n\r\n{}",
        OK + b" Content-Length: 2\r\n\r\n{}",
        OK + b"Content-Length\r\n\r\n{}",
        OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"X: a\nContent-Length: 2\r\n\r\n{}",
        CHUNKED + b"2\r\n{}}\r\n0\r\n\r\n",
        CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_malformed_response_is_rejected(content: bytes) -> None:
    with pytest.raises(MalformedResponseError, match=r"is not HTTP/1\.1") as caught:
        read(content)
    assert not isinstance(caught.value, IncompleteResponseError)


def endless(start: bytes, part: bytes) -> Callable[[], bytes]:
    """Return a connection on which ``part`` arrives without end, after ``start``."""
    parts = iter([start])
    return lambda: next(parts, part)


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"x", b"x" * 65_536),
        (OK, b"X: " + b"x" * 1_000 + b"\r\n"),
        (CHUNKED, b"ffff\r\n" + b"x" * 65_535 + b"\r\n"),
        (CHUNKED, b"1" * 1_000),
        (CHUNKED + b"0\r\n", b"X: x\r\n" * 100),
        (OK + b"Content-Length: 4194305\r\n\r\n", b"x" * 65_536),
        (OK + b"Content-Length: 9999999999\r\n\r\n", b"x"),
        (CHUNKED + b"ffffffff\r\n", b"x"),
    ],
)
def test_response_without_end_is_rejected(start: bytes, part: bytes) -> None:
    with pytest.raises(MalformedResponseError, match=r"over|malformed"):
        read_response(endless(start, part))


@given(st.binary(max_size=300))
def test_garbage_is_never_a_response(garbage: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        read(b"HTTP/1.1 200" + garbage.replace(b":", b""))


class _Socket:
    """What ``http.client`` reads a response from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._content)


TOKENS = st.text("abcXYZ-09!", min_size=1, max_size=12).map(lambda name: f"x{name}")
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    headers=st.dictionaries(TOKENS.map(str.lower), VALUES, max_size=5),
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=4),
    is_chunked=st.booleans(),
)
def test_response_equals_that_of_the_standard_library(
    status: int, headers: dict[str, str], chunks: list[bytes], is_chunked: bool
) -> None:
    body = b"".join(chunks)
    coding = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    lines = "".join(f"{name}:  {value} \r\n" for name, value in headers.items())
    content = f"HTTP/1.1 {status} x\r\n{lines}{coding}\r\n\r\n".encode()
    if is_chunked:
        content += b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in [*chunks, b""])
    else:
        content += body
    theirs = http.client.HTTPResponse(_Socket(content))  # type: ignore[arg-type]
    theirs.begin()
    response = read(content)
    assert (response.status, response.body) == (theirs.status, theirs.read())
    assert {**response.headers} == {
        name.lower(): value.strip() for name, value in theirs.headers.items()
    }
