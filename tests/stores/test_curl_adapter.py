"""The adapter of requests over libcurl: what it sends and returns, and its bounds."""

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import trustme

from chalicelib.integrator.legacy.libcurl.curl_adapter import CurlAdapter, CurlError
from chalicelib.integrator.legacy.libcurl.transport import (
    Transport,
    parse_client_certificate,
    parse_proxy,
)
from tests.stores.test_legacy_connection_tls import context_of, pem_of
from tests.support.http_server import HttpServer, Response
from tests.support.raw_legacy import response as raw_response
from tests.support.scripted_server import ScriptedServer
from tests.support.weak_certificate import weak_certificate

TIMEOUT_S = 0.3


def session_of(transport: Transport | None = None) -> requests.Session:
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, CurlAdapter(transport or Transport(), "the server"))
    return session


def test_request_is_sent_as_requests_made_it() -> None:
    with HttpServer(lambda _: Response()).running() as server:
        session = session_of()
        for method in ("GET", "POST", "PUT"):
            data = None if method == "GET" else {"a": "b c", "ä": "€"}
            session.request(method, server.url, data=data, headers={"X-One": "1"}, timeout=5)
    get, post, put = server.requests
    assert (get.method, get.body, get.headers["Content-Length"]) == ("GET", b"", None)
    assert (post.method, put.method) == ("POST", "PUT")
    for each in (post, put):
        assert each.body == b"a=b+c&%C3%A4=%E2%82%AC"
        assert each.headers.get_all("Content-Length") == ["22"]
        assert each.headers.get_all("Content-Type") == ["application/x-www-form-urlencoded"]
        assert each.headers.get_all("X-One") == ["1"]
        assert "Expect" not in each.headers


def test_response_is_the_final_one_with_its_headers_and_its_body() -> None:
    body = gzip.compress(b" " * 100_000)  # not requested: some servers compress in any case
    head = b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
    final = raw_response(body, "404 Gone", X_Late="2", Content_Encoding="gzip", Set_Cookie="a=b")
    server = ScriptedServer(head + final)
    session = session_of()
    with server.running():
        response = session.get(server.url, timeout=5, allow_redirects=False)
    assert (response.status_code, response.url) == (404, server.url)
    assert response.headers["x-late"] == "2"
    assert "X-Early" not in response.headers
    assert response.content == b" " * 100_000
    assert not session.cookies


def drip(text: bytes, then: bytes = b"") -> Callable[[socket.socket], None]:
    def respond(peer: socket.socket) -> None:
        peer.sendall(text)
        for byte in then * 100:
            peer.sendall(bytes([byte]))
            time.sleep(0.02)

    return respond


def no_handshake(peer: socket.socket) -> None:
    """The server has read our first message of TLS until the client gave up."""


def endless(text: bytes, then: bytes) -> Callable[[socket.socket], None]:
    def respond(peer: socket.socket) -> None:
        peer.sendall(text)
        while True:
            peer.sendall(then)

    return respond


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("respond", "scheme", "reason"),
    [
        (drip(OK + b"Content-Length: 1000\r\n\r\n", b"x"), "http", "did not answer in time"),
        (drip(OK, b"X: y\r\n"), "http", "did not answer in time"),
        (drip(b"HTTP/1.1 100 Continue\r\n\r\n", b"x"), "http", "gave no whole response"),
        (no_handshake, "https", "did not answer in time"),
        (drip(raw_response(b"x" * 100_001)), "http", "is too long"),
        (endless(OK + b"\r\n", b"x" * 1_000), "http", "is too long"),
        (drip(OK + 2 * (b"X: " + b"y" * 60_000 + b"\r\n") + b"\r\n"), "http", "is too long"),
        (endless(OK, b"X: y\r\n" * 1_000), "http", "gave no whole response"),
        (drip(raw_response(b"xx")[:-1]), "http", "gave no whole response"),
        (drip(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "http", "gave no whole response"),
        (drip(OK + b"Transfer-Encoding: gzip\r\n\r\n"), "http", "gave no whole response"),
        (drip(b""), "http", "gave no whole response"),
        (drip(OK + b"X: y\r\n"), "http", "gave no whole response: it broke off in its headers"),
        (
            drip(raw_response(gzip.compress(b" " * 100_001), Content_Encoding="gzip")),
            "http",
            "long",
        ),
    ],
)
def test_response_that_exceeds_a_bound_or_is_broken_is_an_error_in_time(
    respond: Callable[[socket.socket], None], scheme: str, reason: str
) -> None:
    server = ScriptedServer(respond)
    started = time.monotonic()
    with server.running(), pytest.raises(CurlError, match=f"the server.*{reason}") as raised:
        session_of().get(f"{scheme}://127.0.0.1:{server.port}/", timeout=TIMEOUT_S)
    assert time.monotonic() - started < 2
    assert "127.0.0.1" not in str(raised.value)
    assert raised.value.request is None
    assert not raised.value.is_refused


def test_name_look_up_that_hangs_ends_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For a name without dots, glibc opens the file of aliases: here a pipe that nobody writes."""
    aliases = tmp_path / "aliases"
    os.mkfifo(aliases)
    monkeypatch.setenv("HOSTALIASES", str(aliases))

    def release() -> None:
        writer = os.open(aliases, os.O_RDWR | os.O_NONBLOCK)
        aliases.unlink()  # the look-up opens it several times
        os.close(writer)

    at_the_latest = threading.Timer(3, release)
    at_the_latest.start()
    started = time.monotonic()
    with pytest.raises(CurlError):
        session_of().get("https://issuer/", timeout=TIMEOUT_S)
    took_s = time.monotonic() - started
    at_the_latest.cancel()
    if aliases.exists():
        release()
    assert took_s < 2


def test_request_has_a_timeout_in_any_case() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(CurlError, match="did not answer in time"):
            session_of().get(url, timeout=0.0)
        for timeout in (None, (1.0, 1.0)):
            with pytest.raises(TypeError):
                session_of().get(url, timeout=timeout)


def test_transport_decides_about_tls_and_no_variable_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    names: list[str | None] = []
    context = context_of(authority.issue_cert("localhost"), clients)
    context.sni_callback = lambda _, name, __: names.append(name)
    trusting = Transport(authorities=authority.cert_pem.bytes())
    with_certificate = Transport(
        authorities=authority.cert_pem.bytes(),
        client_certificate=parse_client_certificate(pem_of(clients.issue_cert("us"))),
    )
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    with HttpServer(lambda _: Response(), context).running() as server:
        assert session_of(with_certificate).get(server.url, timeout=5).status_code == 200
        with pytest.raises(CurlError, match="the server refuses our client certificate") as refused:
            session_of(trusting).get(server.url, timeout=5)
        with pytest.raises(CurlError, match="TLS with the server failed") as untrusted:
            session_of().get(server.url, timeout=5, verify=False)
    assert refused.value.is_refused
    assert not untrusted.value.is_refused
    assert set(names) == {"localhost"}


def test_proxy_that_refuses_the_tunnel_is_an_error_and_learns_no_header() -> None:
    with HttpServer(lambda _: Response(407)).running() as gateway:
        transport = Transport(proxy=parse_proxy(f"http://ann:hush@127.0.0.1:{gateway.port}"))
        with pytest.raises(CurlError, match="the proxy to the server answers HTTP 407") as raised:
            session_of(transport).get(
                "https://a.invalid/", auth=("id", "s3cret"), proxies={"https": "x"}, timeout=5
            )
    assert raised.value.is_refused
    (sent,) = gateway.requests
    assert sent.headers["Proxy-Authorization"] == "Basic YW5uOmh1c2g="
    assert "Authorization" not in sent.headers


def test_threads_share_nothing() -> None:
    sessions = [session_of() for _ in range(8)]
    with HttpServer(lambda each: Response(body=each.body)).running() as server:
        bodies: dict[int, bytes] = {}

        def post(number: int) -> None:
            response = sessions[number].post(server.url, data=f"body {number}", timeout=5)
            bodies[number] = response.content

        threads = [threading.Thread(target=post, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(10)
    assert bodies == {number: f"body {number}".encode() for number in range(8)}


def test_client_certificate_that_libcurl_refuses_is_named() -> None:
    transport = Transport(client_certificate=parse_client_certificate(weak_certificate()))
    context = context_of(trustme.CA().issue_cert("localhost"))
    with (
        HttpServer(lambda _: Response(), context).running() as server,
        pytest.raises(CurlError, match="our client certificate for the server cannot be used"),
    ):
        session_of(transport).get(server.url, timeout=TIMEOUT_S)
