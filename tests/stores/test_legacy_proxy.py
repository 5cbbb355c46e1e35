"""Calls to the legacy go through a proxy: proxy.py, and proxies that refuse."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import proxy
import pytest
import trustme

from chalicelib.integrator.legacy.authentication.access_token import TokenError
from chalicelib.integrator.outcome import CallResult, Outcome
from tests.stores.test_legacy_connection_tls import context_of, trusting
from tests.support.credentials import connected, credentials_of, current
from tests.support.http_server import HttpServer, Request, Response
from tests.support.raw_server import RawServer

OAUTH2 = {
    "LEGACY_AUTH": "oauth2",
    "LEGACY_TOKEN_URL": "https://issuer.invalid/token",
    "LEGACY_CLIENT_ID": "punch-clock",
    "LEGACY_CLIENT_SECRET": "s3cret",
}


@pytest.fixture(scope="module")
def proxy_port() -> Iterator[int]:
    """The port of a proxy that asks for the user ann with the password pass-word."""
    arguments = [
        "--hostname",
        "127.0.0.1",
        "--port",
        "0",
        "--num-workers",
        "1",
        "--num-acceptors",
        "1",
    ]
    arguments += ["--basic-auth", "ann:pass-word", "--log-level", "ERROR", "--threadless"]
    with proxy.Proxy(arguments) as running:
        yield running.flags.port


def call(url: str, environ: dict[str, str]) -> CallResult:
    with connected(url, environ) as connection:
        return connection.send("a-key", b'{"id": "a-key"}')


def delivering(request: Request) -> Response:
    return Response()


def test_call_goes_through_the_proxy(proxy_port: int) -> None:
    with HttpServer(delivering).running() as server:
        result = call(server.url, {"LEGACY_PROXY": f"http://ann:pass-word@127.0.0.1:{proxy_port}"})
    assert result.outcome is Outcome.DELIVERED
    (request,) = server.requests
    assert "Via" in request.headers or "Proxy" in str(request.headers)


def test_call_over_tls_goes_through_the_proxy_on_one_connection(proxy_port: int) -> None:
    authority = trustme.CA()
    with HttpServer(delivering, context_of(authority.issue_cert("localhost"))).running() as server:
        environ = {
            **trusting(authority),
            "LEGACY_PROXY": f"http://ann:pass-word@127.0.0.1:{proxy_port}",
        }
        with connected(server.url, environ) as connection:
            results = [connection.send("a-key", b"{}") for _ in range(2)]
    assert [each.outcome for each in results] == [Outcome.DELIVERED] * 2
    assert {each.connection for each in server.requests} == {1}
    assert "Proxy-Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "https://localhost:9/"])
def test_refused_proxy_credentials_are_an_overload(proxy_port: int, url: str) -> None:
    result = call(url, {"LEGACY_PROXY": f"http://ann:wrong@127.0.0.1:{proxy_port}"})
    assert result.outcome is Outcome.OVERLOADED
    assert result.credentials_refused
    assert result.log
    assert "407" in result.log
    assert "ann" not in result.log


class SocksProxy(RawServer):
    """Answers the greeting by one message, and the next message by another."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self._answers = answers

    def serve(self, peer: socket.socket) -> None:
        with peer:
            for answer in self._answers:
                peer.recv(1_000)
                peer.sendall(answer)


@pytest.mark.parametrize(
    ("answers", "log"),
    [
        ([b"\5\xff"], "the proxy refuses our credentials"),  # RFC 1928: no acceptable methods
        ([b"\5\2", b"\1\1"], "the proxy refuses our credentials"),  # RFC 1929: failure
        ([b"\5\0", b"\5\4\0\1" + bytes(6)], "the proxy made no connection"),
    ],
)
def test_socks_proxy_that_refuses_is_an_overload(answers: list[bytes], log: str) -> None:
    with SocksProxy(*answers).running() as server:
        environ = {"LEGACY_PROXY": f"socks5h://ann:pass-word@{server.origin}"}
        result = call("http://legacy.invalid/", environ)
        with pytest.raises(TokenError) as raised:
            current(credentials_of({**environ, **OAUTH2}))
    assert (result.outcome, result.log) == (Outcome.OVERLOADED, f"No response: {log}")
    assert ("the proxy to the token endpoint refuses" in str(raised.value)) is ("refuses" in log)
    assert result.credentials_refused is raised.value.is_refused is ("refuses" in log)
    assert not result.may_be_the_records_fault


def test_proxy_that_cannot_reach_the_legacy_is_an_overload() -> None:
    with HttpServer(lambda _: Response(502, body=b"oops")).running() as gateway:
        environ = {"LEGACY_PROXY": f"http://127.0.0.1:{gateway.port}"}
        result = call("https://legacy.example/", environ)
    assert result.outcome is Outcome.OVERLOADED
    assert result.log == "No response: the proxy answers HTTP 502"
    assert not result.credentials_refused


class Babbler(RawServer):
    """Answers each request by the same bytes, and closes."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self._answer = answer

    def serve(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.recv(10_000)
            peer.sendall(self._answer)


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"])
@pytest.mark.parametrize("url", ["https://legacy.example/", "http://legacy.example/"])
def test_garbage_of_a_proxy_is_the_records_fault_only_if_the_record_was_sent(
    answer: bytes, url: str
) -> None:
    with Babbler(answer).running() as server:
        result = call(url, {"LEGACY_PROXY": f"http://{server.origin}"})
    is_sent = url.startswith("http:")
    assert result.outcome is (Outcome.FAILED if is_sent else Outcome.OVERLOADED)
    assert result.may_be_the_records_fault is is_sent


def test_absent_proxy_is_an_overload() -> None:
    result = call("https://legacy.example/", {"LEGACY_PROXY": "http://127.0.0.1:9"})
    assert result.outcome is Outcome.OVERLOADED
    assert result.log == "No response: the connection was not established"


def refuse_tunnel(request: Request) -> Response:
    return Response(502)


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_proxy_of_the_environment_is_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpServer(refuse_tunnel).running() as gateway:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{gateway.port}")
        result = call("https://legacy.example/", {"LEGACY_AUTH": "bearer", "LEGACY_TOKEN": "t"})
    assert result.log == "No response: the proxy answers HTTP 502"
    assert [each.path for each in gateway.requests] == ["legacy.example:443"]
    assert "Authorization" not in gateway.requests[0].headers


@pytest.mark.parametrize("url", ["https://legacy.invalid/", "https://localhost:9/"])
def test_proxy_of_the_environment_is_not_used_for_excepted_hosts_and_this_machine(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpServer(refuse_tunnel).running() as gateway:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{gateway.port}")
        # The lower-case variable wins, as the one of the tests does.
        monkeypatch.setenv("no_proxy", ".invalid")
        call(url, {"LEGACY_AUTH": "bearer", "LEGACY_TOKEN": "t"})
    assert gateway.requests == []


def test_proxy_setting_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")
    with HttpServer(refuse_tunnel).running() as gateway:
        environ = {"LEGACY_PROXY": f"http://127.0.0.1:{gateway.port}"}
        call("https://legacy.example/", environ)
    assert len(gateway.requests) == 1
