"""The API of the stack reads requests strictly, and no client can keep a thread for ever."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus

import pytest
from chalice import Chalice
from chalice.config import Config

from local import api, timed_requests
from local.timed_requests import RefusedError, read_head

HOST = b"Host: localhost\r\n"
Serve = Callable[[], AbstractContextManager[socket.socket]]

echo = Chalice(app_name="echo")


@echo.route("/echo", methods=["POST"], content_types=["application/json"])  # type: ignore[untyped-decorator]
def post_echo() -> dict[str, int]:
    return {"bytes": len(echo.current_request.raw_body)}


def head(*lines: bytes, request: bytes = b"POST /echo HTTP/1.1\r\n") -> bytes:
    return request + b"".join(lines) + b"\r\n"


@pytest.mark.parametrize(
    "text",
    [
        head(HOST, b"Content-Length: 2\r\n", b"Content-Length: 2\r\n"),
        head(HOST, b"Content-Length: 2\r\n", b"content-length: 3\r\n"),
        head(HOST, b"Content-Length: 2, 2\r\n"),
        head(HOST, b"Content-Length : 2\r\n"),
        head(HOST, b"Content-Length\t: 2\r\n"),
        head(HOST, b" Content-Length: 2\r\n"),
        head(b" folded: 1\r\n", HOST),
        head(HOST, b"Content-Length: +2\r\n"),
        head(HOST, b"Content-Length: -2\r\n"),
        head(HOST, b"Content-Length: 2 2\r\n"),
        head(HOST, b"Content-Length: 0x2\r\n"),
        head(HOST, b"Content-Length: \xb2\r\n"),
        head(HOST, b"Content-Length: \r\n"),
        head(HOST, b"no colon\r\n"),
        head(HOST, b": no name\r\n"),
        head(HOST, b"a(b): 1\r\n"),
        head(HOST, b"A: 1\x002\r\n"),
        head(HOST, b"A: 1\rB: 2\r\n"),
        head(HOST, HOST),
        head(b"A: 1\r\n"),
        head(HOST, request=b"POST /echo\r\n"),
        head(HOST, request=b"POST  /echo HTTP/1.1\r\n"),
        head(HOST, request=b"POST /e cho HTTP/1.1\r\n"),
        head(HOST, request=b"P(OST /echo HTTP/1.1\r\n"),
        b"\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a",
    ],
    ids=repr,
)
def test_malformed_head_is_refused(text: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        read_head(io.BytesIO(text + b"{}"), 10_240)
    assert refused.value.status == HTTPStatus.BAD_REQUEST


def test_other_version_of_http_is_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        read_head(io.BytesIO(head(HOST, request=b"PRI * HTTP/2.0\r\n")), 10_240)
    assert refused.value.status == HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


def test_head_is_read_up_to_its_end_and_no_further() -> None:
    stream = io.BytesIO(
        head(HOST, b"CONTENT-LENGTH:2\r\n", b"Accept: a\r\n", b"accept:  b \r\n") + b"{}"
    )
    read = read_head(stream, 10_240)
    assert (read.method, read.target, read.version) == ("POST", "/echo", "HTTP/1.1")
    assert dict(read.headers.items()) == {
        "host": "localhost",
        "content-length": "2",
        "accept": "b",  # the last value counts
    }
    assert stream.read() == b"{}"


def test_head_that_is_too_long_is_refused_before_it_has_arrived() -> None:
    stream = io.BytesIO(head(HOST, b"A: " + b"a" * 50_000))
    with pytest.raises(RefusedError) as refused:
        read_head(stream, 10_240)
    assert refused.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert stream.tell() == 10_241


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    for name in ("IDLE_S", "HEAD_S", "BODY_S"):
        monkeypatch.setattr(api, name, 0.3)
    monkeypatch.setattr(timed_requests, "WRITE_S", 0.3)
    config = Config.create(chalice_app=echo, lambda_timeout=5)

    @contextmanager
    def connected() -> Iterator[socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname(), timeout=5)
            server, address = listener.accept()

        def handle() -> None:
            with server:
                api._Handler(server, address, None, app_object=echo, config=config)

        thread = threading.Thread(target=handle)
        thread.start()
        with client:
            yield client
        thread.join(5)
        assert not thread.is_alive()

    return connected


def received(client: socket.socket) -> bytes:
    """Return all that the server sends until it ends the connection."""
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (b"", head(HOST, b"A: " + b"a" * 100)),
        (head(HOST, b"Content-Type: application/json\r\nContent-Length: 100\r\n"), b" " * 100),
    ],
    ids=["head", "body"],
)
def test_request_that_arrives_byte_by_byte_ends(begin: bytes, rest: bytes, serve: Serve) -> None:
    """A timeout of each read would allow a byte each time."""
    with serve() as client:
        client.sendall(begin)
        started = time.monotonic()
        for byte in rest:
            try:
                client.sendall(bytes([byte]))
                client.settimeout(0.05)
                answer = client.recv(1_000)
                break
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert time.monotonic() - started < 3


def test_idle_connection_ends_without_a_response(
    serve: Serve,
) -> None:
    with serve() as client:
        client.sendall(
            head(HOST, b"Content-Type: application/json\r\nContent-Length: 2\r\n") + b"{}"
        )
        answer = received(client)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"bytes":2}')


def test_body_that_breaks_off_is_not_served(
    serve: Serve,
) -> None:
    with serve() as client:
        client.sendall(
            head(HOST, b"Content-Type: application/json\r\nContent-Length: 9\r\n") + b"{}"
        )
        client.shutdown(socket.SHUT_WR)
        answer = received(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"shorter than its Content-Length" in answer


def test_malformed_request_is_not_followed_by_another(
    serve: Serve,
) -> None:
    with serve() as client:
        first = head(HOST, b"Content-Length : 100\r\n")
        client.sendall(first + head(HOST, b"Content-Length: 0\r\n"))
        client.shutdown(socket.SHUT_WR)
        answer = received(client)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")
