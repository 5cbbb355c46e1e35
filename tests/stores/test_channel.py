"""One call to the legacy over real sockets, whatever answers at the other end."""

import socket
import time

import pytest

from chalicelib.integrator.legacy_client import Legacy
from chalicelib.integrator.outcome import Outcome
from chalicelib.settings import SettingsError
from tests.support.scripted_server import (
    GOOD,
    Answer,
    Server,
    channel_to,
    reset,
    send,
    send_until_expired,
)


def drip(connection: socket.socket) -> None:
    for byte in GOOD:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(GOOD[:45])
    drip(connection)


def test_sends_json_under_the_idempotency_key_and_keeps_the_connection() -> None:
    with Server(GOOD, GOOD).running() as server:
        channel = channel_to(server.url)
        assert [send(channel).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        channel.close()
    assert server.connections == 1
    request = server.requests[0]
    assert request.startswith(b"POST /point-records?unit=7 HTTP/1.1\r\n")
    assert b"Idempotency-Key: a-key\r\n" in request
    assert b"Content-Type: application/json\r\n" in request
    assert request.endswith(b'{"id": "a-key"}')


def test_opens_another_connection_when_the_kept_one_was_closed() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    with Server(lambda peer: peer.sendall(closing), GOOD).running() as server:
        channel = channel_to(server.url)
        assert [send(channel).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        channel.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (reset, Outcome.OVERLOADED),
        (lambda _: None, Outcome.OVERLOADED),  # closed without a word
        (lambda _: time.sleep(1.5), Outcome.OVERLOADED),  # silence
        (lambda peer: peer.sendall(GOOD[:60]), Outcome.OVERLOADED),  # broken off in the body
        (lambda peer: peer.sendall(GOOD[:10]), Outcome.FAILED),  # broken off in the status
        (lambda peer: peer.sendall(GOOD[:20]), Outcome.OVERLOADED),  # broken off in the headers
        (lambda peer: peer.sendall(b"220 smtp.example ESMTP\r\n\r\n"), Outcome.FAILED),
        (lambda peer: peer.sendall(b"HTTP/1.1 abc\r\n\r\n"), Outcome.FAILED),
        (
            lambda peer: peer.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            ),
            Outcome.OVERLOADED,
        ),
        (lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999), Outcome.FAILED),
    ],
)
def test_whatever_the_peer_does_is_an_outcome(answer: Answer, outcome: Outcome) -> None:
    with Server(answer, GOOD).running() as server:
        channel = channel_to(server.url)
        reply = send(channel)
        assert reply.outcome is outcome, reply
        assert reply.log
        # What is left of a broken answer is not met by the next call.
        assert send(channel).outcome is Outcome.DELIVERED
        channel.close()


def test_a_redirect_is_not_followed() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    with Server(answer).running() as server:
        channel = channel_to(server.url)
        assert send(channel).outcome is Outcome.FAILED
        channel.close()
    assert len(server.requests) == 1


def test_a_closed_door_is_an_overload() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert send(channel_to(f"http://127.0.0.1:{port}/")).outcome is Outcome.OVERLOADED


def test_a_name_that_nobody_has_is_an_overload() -> None:
    assert send(channel_to("http://legacy.invalid/")).outcome is Outcome.OVERLOADED


@pytest.mark.parametrize("answer", [drip, drip_body])
def test_a_drip_of_bytes_ends_when_it_is_expired(answer: Answer) -> None:
    with Server(answer).running() as server:
        channel = channel_to(server.url, call_timeout_s=0.3)
        reply = send_until_expired(channel)
        assert reply.outcome is Outcome.OVERLOADED
        assert reply.latency_s < 2
        channel.close()


def test_expiring_leaves_a_call_in_good_time_alone() -> None:
    with Server(GOOD).running() as server:
        channel = channel_to(server.url)
        channel.expire()
        assert send(channel).outcome is Outcome.DELIVERED
        channel.expire()
        channel.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "legacy.example", "ftp://x", "http://", "http://u:p@x/", "http://x:99999/"),
        *("http://a..b/", f"http://{'a' * 64}.example/"),
        *("http://x/a b?key=secret", "http://x/é", "http://x/a\nb"),
    ],
)
def test_a_url_that_is_none_is_found_out_before_anything_is_claimed(url: str) -> None:
    with pytest.raises(SettingsError, match="LEGACY_URL"):
        Legacy(url, 1.0, 1.0, 1.0)
