"""One call to a server that breaks HTTP or is unreachable: it ends, with the right outcome."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
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


def test_body_whose_parts_all_look_like_its_end_costs_little_cpu() -> None:
    """All calls of a thread wait while one of them parses."""

    def many_ends(peer: socket.socket) -> None:
        peer.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"a":[' + b"{}," * 300_000 + b"{}")
        ends_at = time.monotonic() + 3
        while time.monotonic() < ends_at:
            peer.sendall(b",{}")
            time.sleep(0.001)

    with ScriptedServer(many_ends).running() as server:
        connection = connection_to(server.url, call_timeout_s=30.0)
        started = time.thread_time()
        assert send(connection).outcome is Outcome.FAILED
        assert time.thread_time() - started < 1.5
        connection.close()


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
        connection = LegacyConnection(LegacyEndpoint(server.url, 1.0, 1.0, 0.3))
        result = send(connection)
        assert (result.outcome, result.http_status) == (outcome, int(status[:3]))
        assert result.retry_after_s == 7
        assert send(connection).outcome is Outcome.DELIVERED
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


@pytest.mark.parametrize(("connect_timeout_s", "call_timeout_s"), [(0.3, 30.0), (30.0, 0.3)])
def test_many_unresponsive_addresses_share_the_timeouts_of_the_call(
    unresponsive_port: int, connect_timeout_s: float, call_timeout_s: float
) -> None:
    addresses = ",".join(f"127.0.0.{number}" for number in range(1, 101))
    connection = LegacyConnection(
        LegacyEndpoint(
            f"http://legacy.test:{unresponsive_port}/", connect_timeout_s, 1.0, call_timeout_s
        ),
        resolve=[f"legacy.test:{unresponsive_port}:{addresses}"],
    )
    result = send(connection)
    connection.close()
    assert result.outcome is Outcome.OVERLOADED
    assert result.log == "No response: timeout while waiting for the connection"
    assert not result.broke_off
    assert result.latency_s < 5  # a connect timeout for each address would be 30


def test_dead_addresses_of_the_legacy_do_not_prevent_a_delivery() -> None:
    with ScriptedServer(SUCCESS).running() as server:
        port = int(server.url.split(":")[2].partition("/")[0])
        connection = LegacyConnection(
            LegacyEndpoint(f"http://legacy.test:{port}/", 3.0, 10.0, 15.0),
            resolve=[f"legacy.test:{port}:127.0.0.2,127.0.0.3,127.0.0.1"],
        )
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()


@pytest.mark.parametrize("lengths", [("many",), ("-5",), ("22", "9")])
@pytest.mark.parametrize("closes", [True, False])
def test_success_with_an_invalid_length_is_delivered_by_the_second_request(
    lengths: tuple[str, ...], closes: bool
) -> None:
    """libcurl discards it; without the retry, the record would be sent until it is parked."""
    fields = "".join(f"Content-Length: {each}\r\n" for each in lengths)
    response = f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + b'{"message": "success"}'

    def respond(peer: socket.socket) -> None:
        peer.sendall(response)
        if not closes:
            peer.recv(1)  # until the client closes

    with ScriptedServer(respond, respond, SUCCESS).running() as server:
        connection = connection_to(server.url)
        assert send(connection).outcome is Outcome.DELIVERED
        assert len(server.requests) == 2
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()
    assert len(server.requests) == 3


def test_retry_does_not_outlast_the_timeout_of_the_call() -> None:
    def invalid_and_late(peer: socket.socket) -> None:
        time.sleep(0.3)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}")

    with ScriptedServer(invalid_and_late, lambda _: time.sleep(1)).running() as server:
        connection = connection_to(server.url, call_timeout_s=0.6)
        result = send(connection)
        connection.close()
    assert result.outcome is Outcome.OVERLOADED
    assert result.latency_s < 0.9


def test_headers_without_a_colon_are_a_failure_and_are_not_sent_again() -> None:
    invalid = b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\n{}"
    with ScriptedServer(lambda peer: peer.sendall(invalid)).running() as server:
        connection = connection_to(server.url)
        result = send(connection)
        connection.close()
    assert result.outcome is Outcome.FAILED
    assert result.log == "No response: the headers of the response are invalid"
    assert len(server.requests) == 1


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "unknown"])
def test_transfer_coding_that_was_not_requested_is_a_failure(coding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n".encode()
    with ScriptedServer(
        lambda peer: peer.sendall(head + b"2\r\n{}\r\n0\r\n\r\n")
    ).running() as server:
        connection = connection_to(server.url)
        result = send(connection)
        connection.close()
    assert result.outcome is Outcome.FAILED
    assert result.log == "No response: the response has a transfer coding that was not requested"


# Delays each look-up, and resolves every name to this machine.
SLOW_RESOLVER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    int (*original)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    usleep(1000000);
    write(2, "resolved\\n", 9);
    return original("127.0.0.1", service, hints, found);
}
"""
CALL_LEGACY_TEST = """
import json, socket, sys, time
from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
with socket.create_server(("127.0.0.1", 0)) as listener:
    url = f"http://legacy.test:{listener.getsockname()[1]}/"
    connection = LegacyConnection(LegacyEndpoint(url, 30.0, 30.0, float(sys.argv[1])))
    result = connection.send("a-key", b"{}")
    time.sleep(2)  # the look-up ends meanwhile
    listener.settimeout(0.1)
    try:
        was_called = bool(listener.accept())
    except TimeoutError:
        was_called = False
print(json.dumps([result.outcome, result.log, result.latency_s, was_called]))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, to delay getaddrinfo")
@pytest.mark.parametrize(("call_timeout_s", "is_called"), [(0.3, False), (1.5, True)])
def test_name_that_is_resolved_after_the_timeout_is_not_called(
    tmp_path: Path, call_timeout_s: float, is_called: bool
) -> None:
    """By then another run may hold the record."""
    library = tmp_path / "slow_resolver.so"
    (tmp_path / "slow_resolver.c").write_text(SLOW_RESOLVER)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, tmp_path / "slow_resolver.c", "-ldl"], check=True
    )
    done = subprocess.run(
        [sys.executable, "-c", CALL_LEGACY_TEST, str(call_timeout_s)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "resolved" in done.stderr  # the call's look-up did go through the delayed one
    outcome, log, latency_s, was_called = json.loads(done.stdout)
    assert outcome == "OVERLOADED"
    awaited = "response" if is_called else "connection"
    assert log == f"No response: timeout while waiting for the {awaited}"
    assert latency_s < call_timeout_s + 0.5
    assert was_called is is_called
