"""One call to a server that breaks HTTP or is unreachable: it ends, with the right outcome."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib.integrator.legacy_client import LegacyConnection, LegacyEndpoint
from chalicelib.integrator.outcome import Outcome
from tests.support.scripted_server import (
    SUCCESS,
    Respond,
    ScriptedServer,
    connection_to,
    reset,
    send,
)


def test_endless_body_is_read_up_to_a_bound_only() -> None:
    sent = 0

    def endless(peer: socket.socket) -> None:
        nonlocal sent
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += peer.send(b"x" * 65_536)

    with ScriptedServer(endless, SUCCESS).running() as server:
        connection = connection_to(server.url)
        assert send(connection).outcome is Outcome.FAILED
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()
    # 1 MB is read; the rest is in the buffers of both sockets.
    assert 1_000_000 <= sent <= 10_000_000


def unfinished(status: bytes, end: Respond) -> Respond:
    """Respond with two bytes of a body of nine, and then end as ``end`` does."""

    def respond(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 " + status + b"\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nno")
        end(peer)

    return respond


@pytest.mark.parametrize("end", [lambda _: None, reset, lambda peer: peer.recv(1)])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (b"422 No", Outcome.REFUSED),
        (b"500 No", Outcome.FAILED),
        (b"503 No", Outcome.OVERLOADED),
    ],
)
def test_status_other_than_success_counts_even_if_the_body_breaks_off(
    status: bytes, outcome: Outcome, end: Respond
) -> None:
    with ScriptedServer(unfinished(status, end), SUCCESS).running() as server:
        connection = LegacyConnection(LegacyEndpoint(server.url, 1.0, 0.1, 5.0))
        result = send(connection)
        assert (result.outcome, result.http_status) == (outcome, int(status[:3]))
        assert result.retry_after_s == 7
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()


def test_retry_after_as_a_date_is_measured_by_the_clock_of_the_legacy() -> None:
    response = (
        b"HTTP/1.1 429 Too Many Requests\r\nDate: Sun, 22 Nov 2026 12:01:00 GMT\r\n"
        b"Retry-After: Sun, 22 Nov 2026 12:01:02 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    with ScriptedServer(response).running() as server:
        connection = connection_to(server.url)
        assert send(connection).retry_after_s == 2.0
        connection.close()


def test_response_sent_before_the_request_was_read_is_received() -> None:
    """A server that closes a connection with unread bytes resets it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(20):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1)
                    peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

        server = threading.Thread(target=serve)
        server.start()
        connection = connection_to(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert {send(connection).http_status for _ in range(20)} == {413}
        connection.close()
        server.join(10)


@pytest.mark.parametrize("status", [200, 503])
def test_server_that_ignores_bodies_does_not_cost_the_record_an_attempt(status: int) -> None:
    """Such a server takes an unread body for the start of the next request, a bad request."""

    class IgnoresBodies(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), IgnoresBodies) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        connection = connection_to(f"http://127.0.0.1:{server.server_port}/")
        assert [send(connection).http_status for _ in range(5)] == [status] * 5
        connection.close()
        server.shutdown()


@pytest.mark.parametrize("is_kept", [True, False])
def test_refused_request_is_not_sent_again_on_another_connection(is_kept: bool) -> None:
    """The one exception, a 400 on a kept connection that closes, is tested above."""
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    closing = refusal.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    responses = (SUCCESS, refusal) if is_kept else (lambda peer: peer.sendall(closing),)
    with ScriptedServer(*responses).running() as server:
        connection = connection_to(server.url)
        *_, result = [send(connection) for _ in responses]
        assert result.outcome is Outcome.REFUSED
        assert len(server.requests) == len(responses)
        connection.close()


def test_connection_that_switched_protocols_is_not_used_again() -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    with ScriptedServer(switching, SUCCESS).running() as server:
        connection = connection_to(server.url)
        outcomes = [send(connection).outcome for _ in range(2)]
        assert outcomes == [Outcome.FAILED, Outcome.DELIVERED]
        connection.close()
    assert server.connections == 2


@pytest.fixture
def unresponsive_port() -> Iterator[int]:
    """The port of a listener whose backlog is full: a connection attempt waits for ever."""
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
def test_many_unresponsive_addresses_share_the_deadline_of_the_call(
    unresponsive_port: int, monkeypatch: pytest.MonkeyPatch, connect_timeout_s: float
) -> None:
    getaddrinfo = socket.getaddrinfo

    def hundred_addresses(host: str, *arguments: Any, **named: Any) -> Any:
        return (
            getaddrinfo("127.0.0.1", *arguments, **named) * 100
            if host == "legacy.test"
            else getaddrinfo(host, *arguments, **named)
        )

    monkeypatch.setattr(socket, "getaddrinfo", hundred_addresses)
    url = f"http://legacy.test:{unresponsive_port}/"
    connection = LegacyConnection(LegacyEndpoint(url, connect_timeout_s, 1.0, 0.3))
    result = send(connection)
    assert result.outcome is Outcome.OVERLOADED
    assert result.log == "No response: TimeoutError: the call exceeded its deadline"
    assert result.latency_s < 5  # a connect timeout for each address would be ten
