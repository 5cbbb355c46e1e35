"""One call to a server that breaks HTTP, or has no use for it: it ends, and in good time."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib.integrator.legacy_client import Channel, Legacy
from chalicelib.integrator.outcome import Outcome
from tests.support.scripted_server import GOOD, Answer, Server, channel_to, reset, send


def test_reads_no_more_of_an_endless_answer_than_it_needs() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65_536)

    with Server(endless, GOOD).running() as server:
        channel = channel_to(server.url)
        assert send(channel).outcome is Outcome.FAILED
        assert send(channel).outcome is Outcome.DELIVERED
        channel.close()


def unfinished(status: bytes, then: Answer) -> Answer:
    """Begin an answer of this status, with a body that never comes to its end."""

    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 " + status + b"\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nno")
        then(peer)

    return answer


@pytest.mark.parametrize("then", [lambda _: None, reset, lambda peer: peer.recv(1)])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (b"422 No", Outcome.REFUSED),
        (b"500 No", Outcome.FAILED),
        (b"503 No", Outcome.OVERLOADED),
    ],
)
def test_a_status_that_refuses_counts_though_its_body_never_ends(
    status: bytes, outcome: Outcome, then: Answer
) -> None:
    with Server(unfinished(status, then), GOOD).running() as server:
        channel = Channel(Legacy(server.url, 1.0, 0.1, 5.0))
        reply = send(channel)
        assert (reply.outcome, reply.http_status) == (outcome, int(status[:3]))
        assert reply.retry_after_s == 7
        assert send(channel).outcome is Outcome.DELIVERED
        channel.close()


def test_an_answer_that_comes_before_the_request_was_read_is_read() -> None:
    """The peer's end of a connection on which something is unread is a reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(20):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1)
                    peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

        server = threading.Thread(target=serve)
        server.start()
        channel = channel_to(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert {send(channel).http_status for _ in range(20)} == {413}
        channel.close()
        server.join(10)


@pytest.mark.parametrize("status", [200, 503])
def test_a_server_that_never_reads_a_body_is_not_blamed_on_the_record(status: int) -> None:
    """What it has not read is the beginning of the next request for it, and a bad one."""

    class Careless(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        channel = channel_to(f"http://127.0.0.1:{server.server_port}/")
        assert [send(channel).http_status for _ in range(5)] == [status] * 5
        channel.close()
        server.shutdown()


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_request_that_is_refused_is_not_sent_again(is_kept: bool) -> None:
    """But for one that the server may have taken for another: it says so by closing."""
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    closing = refusal.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answers = (GOOD, refusal) if is_kept else (lambda peer: peer.sendall(closing),)
    with Server(*answers).running() as server:
        channel = channel_to(server.url)
        *_, reply = [send(channel) for _ in answers]
        assert reply.outcome is Outcome.REFUSED
        assert len(server.requests) == len(answers)
        channel.close()


def test_what_has_switched_its_protocol_is_not_called_again() -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    with Server(switching, GOOD).running() as server:
        channel = channel_to(server.url)
        outcomes = [send(channel).outcome for _ in range(2)]
        assert outcomes == [Outcome.FAILED, Outcome.DELIVERED]
        channel.close()
    assert server.connections == 2


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a listener whose queue is full: who connects to it waits for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in waiting:
            each.close()


@pytest.mark.parametrize("connect_timeout_s", [0.1, 30.0])
def test_many_addresses_that_are_dead_take_no_longer_than_the_call_may(
    black_hole: int, monkeypatch: pytest.MonkeyPatch, connect_timeout_s: float
) -> None:
    look_up = socket.getaddrinfo

    def find(host: str, *arguments: Any, **named: Any) -> Any:
        return (
            look_up("127.0.0.1", *arguments, **named) * 100
            if host == "legacy.test"
            else look_up(host, *arguments, **named)
        )

    monkeypatch.setattr(socket, "getaddrinfo", find)
    channel = Channel(Legacy(f"http://legacy.test:{black_hole}/", connect_timeout_s, 1.0, 0.3))
    reply = send(channel)
    assert reply.outcome is Outcome.OVERLOADED
    assert reply.log == "No answer: TimeoutError: the whole call took too long"
    assert reply.latency_s < 5  # and not ten
