"""Fetching the keys of a misbehaving issuer: bounded time and size, and no redirects."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from chalicelib.identity.jwk_set import JwkSetError
from chalicelib.identity.jwks_fetch import fetch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def serving(respond: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve each connection with ``respond``; yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        respond(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys?v=1"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def send(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(200):
        connection.sendall(b" ")
        time.sleep(0.1)


def test_fetch_returns_the_body() -> None:
    with serving(send(OK)) as url:
        assert fetch(url) == b"{}"


@pytest.mark.parametrize(
    "response",
    [
        send(b""),
        send(b"garbage\r\n\r\n"),
        send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"),
        send(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
        send(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 300_000),
        send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000 + b"\r\n"),
        send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"),
    ],
)
def test_other_response_is_an_error(response: Callable[[socket.socket], None]) -> None:
    with serving(response) as url, pytest.raises(JwkSetError):
        fetch(url)


@pytest.mark.slow
@pytest.mark.parametrize("response", [drip, lambda _: time.sleep(6)], ids=["drip", "silence"])
def test_slow_response_is_aborted(response: Callable[[socket.socket], None]) -> None:
    with serving(response) as url:
        started = time.monotonic()
        with pytest.raises(JwkSetError):
            fetch(url)
        assert time.monotonic() - started < 5.5


def test_dns_lookup_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def look_up(*_: object) -> None:
        is_over.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    started = time.monotonic()
    with pytest.raises(JwkSetError, match="in time"):
        fetch("https://issuer.example/keys", timeout_s=0.2)
    assert time.monotonic() - started < 2
    is_over.set()


def test_refused_connection_is_an_error() -> None:
    with pytest.raises(JwkSetError):
        fetch("http://127.0.0.1:9/keys")
