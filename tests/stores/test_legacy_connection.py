"""One call to the legacy over a real socket, with every kind of server at the other end."""

import socket
import time

import pycurl
import pytest

from chalicelib.integrator.legacy import legacy_endpoint
from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.outcome import Outcome
from chalicelib.settings import SettingsError
from tests.support.http_server import HttpServer, Response
from tests.support.scripted_server import (
    SUCCESS,
    Respond,
    ScriptedServer,
    connection_to,
    reset,
    send,
)

CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


def drip(peer: socket.socket) -> None:
    for byte in SUCCESS:
        peer.sendall(bytes([byte]))
        time.sleep(0.05)


def hang(peer: socket.socket) -> None:
    peer.recv(1)


def drip_body(peer: socket.socket) -> None:
    peer.sendall(SUCCESS[:45])
    drip(peer)


def test_call_sends_json_and_the_idempotency_key_and_keeps_the_connection() -> None:
    with ScriptedServer(SUCCESS, SUCCESS).running() as server:
        connection = connection_to(server.url)
        assert [send(connection).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        connection.close()
    assert server.connections == 1
    request = server.requests[0]
    assert request.startswith(b"POST /point-records?unit=7 HTTP/1.1\r\n")
    assert b"Idempotency-Key: a-key\r\n" in request
    assert b"Content-Type: application/json\r\n" in request
    assert request.endswith(b'{"id": "a-key"}')


def test_call_opens_another_connection_if_the_server_closed_the_kept_one() -> None:
    with ScriptedServer(CLOSING, SUCCESS).running() as server:
        connection = connection_to(server.url)
        assert [send(connection).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        connection.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("respond", "outcome"),
    [
        (reset, Outcome.OVERLOADED),
        (lambda _: None, Outcome.OVERLOADED),  # closes without a response
        (lambda _: time.sleep(6), Outcome.OVERLOADED),  # silence
        (lambda peer: peer.sendall(SUCCESS[:60]), Outcome.OVERLOADED),  # breaks off in the body
        (lambda peer: peer.sendall(SUCCESS[:10]), Outcome.OVERLOADED),  # … in the status line
        (lambda peer: peer.sendall(SUCCESS[:20]), Outcome.OVERLOADED),  # … in the headers
        (lambda peer: peer.sendall(b"220 smtp.example ESMTP\r\n\r\n"), Outcome.FAILED),
        (lambda peer: peer.sendall(b"HTTP/1.1 abc\r\n\r\n"), Outcome.FAILED),
        (
            lambda peer: peer.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            ),
            Outcome.OVERLOADED,
        ),
        (lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 110_000), Outcome.FAILED),
    ],
)
def test_broken_response_is_an_outcome_and_does_not_affect_the_next_call(
    respond: Respond, outcome: Outcome
) -> None:
    with ScriptedServer(respond, SUCCESS).running() as server:
        connection = connection_to(server.url)
        result = send(connection)
        assert result.outcome is outcome, result
        assert result.may_be_the_records_fault
        assert result.log
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()


def test_redirect_is_not_followed() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer(redirect).running() as server:
        connection = connection_to(server.url)
        assert send(connection).outcome is Outcome.FAILED
        connection.close()
    assert len(server.requests) == 1


def test_refused_connection_is_an_overload() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = send(connection_to(f"http://127.0.0.1:{port}/"))
    assert result.outcome is Outcome.OVERLOADED
    assert not result.may_be_the_records_fault


def test_connection_that_is_refused_after_a_delivery_is_an_overload() -> None:
    with ScriptedServer(CLOSING).running() as server:
        connection = connection_to(server.url)
        assert send(connection).outcome is Outcome.DELIVERED
    result = send(connection)
    connection.close()
    assert result.outcome is Outcome.OVERLOADED
    assert not result.may_be_the_records_fault


@pytest.mark.parametrize("is_silent", [False, True])
def test_request_that_finds_no_connection_after_a_kept_one_broke_may_not_be_the_records_fault(
    is_silent: bool,
) -> None:
    """libcurl has sent it over the kept connection, and connects again."""

    def away(_: socket.socket) -> None:
        server._listener.close()
        if is_silent:
            backlog.append(silent_listener(server.port))

    backlog: list[list[socket.socket]] = []
    server = ScriptedServer(SUCCESS, away)
    with server.running():
        connection = connection_to(server.url)
        assert send(connection).outcome is Outcome.DELIVERED
        result = send(connection)
        connection.close()
    for each in backlog:
        for opened in each:
            opened.close()
    what = "timeout while waiting for the connection" if is_silent else "connection was not"
    assert what in (result.log or "")
    assert result.outcome is Outcome.OVERLOADED
    assert not result.may_be_the_records_fault


def silent_listener(port: int) -> list[socket.socket]:
    """Return a listener that is full, so that the system drops what connects to it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", port))
    return [*waiting, listener]


def test_address_and_connection_are_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The legacy may fail over to another address, and the old one may go on answering."""
    monkeypatch.setattr(legacy_endpoint, "_DNS_CACHE_S", 1)
    monkeypatch.setattr(legacy_endpoint, "_MAX_CONNECTION_AGE_S", 1)
    lines: list[str] = []
    with HttpServer(lambda _: Response()).running() as server:
        connection = connection_to(server.url.replace("127.0.0.1", "localhost"))
        connection._curl.setopt(pycurl.VERBOSE, 1)
        connection._curl.setopt(pycurl.DEBUGFUNCTION, lambda _, line: lines.append(line.decode()))
        for pause_s in (0, 0, 2.1):
            time.sleep(pause_s)
            assert send(connection).outcome is Outcome.DELIVERED
        connection.close()
    assert [each.connection for each in server.requests] == [1, 1, 2]
    assert not [each for each in lines if "found in DNS cache" in each]


def test_unknown_host_name_is_an_overload() -> None:
    result = send(connection_to("http://legacy.invalid/"))
    assert result.outcome is Outcome.OVERLOADED
    assert not result.may_be_the_records_fault


@pytest.mark.parametrize("respond", [drip, drip_body])
def test_dripping_response_ends_at_the_timeout_of_the_call(respond: Respond) -> None:
    with ScriptedServer(respond).running() as server:
        connection = connection_to(server.url, call_timeout_s=0.3)
        result = send(connection)
        assert result.outcome is Outcome.OVERLOADED
        assert result.log == "No response: timeout while waiting for the response"
        assert result.broke_off
        assert result.latency_s < 2
        connection.close()


@pytest.mark.slow
def test_silence_of_the_read_timeout_ends_a_call_within_the_granularity_of_libcurl() -> None:
    """libcurl's mean of the speed makes the shortest read timeout one of 8 s.

    With 7 s, a call in some 50 ended after its first second, whatever it had received.
    """
    with ScriptedServer(hang).running() as server:
        connection = LegacyConnection(LegacyEndpoint(server.url, 1.0, 0.1, 60.0))
        result = send(connection)
        connection.close()
    assert result.outcome is Outcome.OVERLOADED
    assert 7.5 < result.latency_s < 12


def test_request_has_no_header_that_libcurl_adds_by_itself() -> None:
    with ScriptedServer(SUCCESS).running() as server:
        connection = connection_to(server.url)
        send(connection)
        connection.close()
    head = server.requests[0].partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n")[1:]}
    assert names == {
        "host",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "idempotency-key",
        "user-agent",
    }


def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ScriptedServer(SUCCESS).running() as server:
        connection = connection_to(server.url)
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "legacy.example", "ftp://x", "http://", "http://u:p@x/", "http://x:99999/"),
        *("http://a..b/", f"http://{'a' * 64}.example/"),
        *("http://x/a b?key=secret", "http://x/é", "http://x/a\nb"),
    ],
)
def test_invalid_url_of_the_legacy_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="LEGACY_URL"):
        LegacyEndpoint(url, 1.0, 1.0, 1.0)


def test_retry_after_date_is_measured_by_the_clock_of_the_legacy() -> None:
    """The clock of this legacy is years ahead of ours."""
    response = (
        b"HTTP/1.1 503 Busy\r\nDate: Sun, 22 Nov 2099 12:00:00 GMT\r\n"
        b"Retry-After: Sun, 22 Nov 2099 12:00:07 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    with ScriptedServer(response).running() as server:
        connection = connection_to(server.url)
        assert send(connection).retry_after_s == 7.0
        connection.close()


@pytest.mark.parametrize(
    ("media_type", "outcome"),
    [
        ("application/problem+json", Outcome.FAILED),
        ("Application/Problem+JSON; charset=utf-8", Outcome.FAILED),
        ("application/json; profile=problem+json", Outcome.DELIVERED),
        ("application/hal+json", Outcome.DELIVERED),
    ],
)
def test_success_in_the_media_type_of_errors_is_no_delivery(
    media_type: str, outcome: Outcome
) -> None:
    body = b'{"title": "Out of service"}'
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    with ScriptedServer(head.encode() + body, SUCCESS).running() as server:
        connection = connection_to(server.url)
        assert send(connection).outcome is outcome
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()
