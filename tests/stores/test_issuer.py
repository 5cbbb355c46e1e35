"""Reading the keys of an issuer that answers oddly: in bounded time and size, by no detour."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from chalicelib.identity import jwks
from chalicelib.identity.jwks import KeysUnreadableError, read_url

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that treats each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        answer(connection)

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


def test_the_body_is_read() -> None:
    with answering(send(OK)) as url:
        assert read_url(url) == b"{}"


@pytest.mark.parametrize(
    "answer",
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
def test_any_other_answer_is_an_outage(answer: Callable[[socket.socket], None]) -> None:
    with answering(answer) as url, pytest.raises(KeysUnreadableError):
        read_url(url)


@pytest.mark.parametrize("answer", [drip, lambda _: time.sleep(6)], ids=["drip", "silence"])
def test_a_slow_answer_is_cut_off(answer: Callable[[socket.socket], None]) -> None:
    with answering(answer) as url:
        started = time.monotonic()
        with pytest.raises(KeysUnreadableError):
            read_url(url)
        assert time.monotonic() - started < 5.5


def test_a_name_that_is_looked_up_for_ever_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()

    def look_up(*_: object) -> None:
        told.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(jwks, "_LONGEST_READ_S", 0.2)
    started = time.monotonic()
    with pytest.raises(KeysUnreadableError, match="in time"):
        read_url("https://issuer.example/keys")
    assert time.monotonic() - started < 2
    told.set()


def test_nobody_there_is_an_outage() -> None:
    with pytest.raises(KeysUnreadableError):
        read_url("http://127.0.0.1:9/keys")
