"""What a token request sends, and how it reaches the token endpoint."""

import json
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import trustme

from chalicelib.integrator.legacy.authentication.access_token import TokenError
from chalicelib.integrator.legacy.authentication.token_request import TokenClient
from chalicelib.integrator.legacy.libcurl.transport import Transport, parse_proxy
from chalicelib.integrator.outcome import Outcome
from tests.stores.test_legacy_connection_tls import context_of
from tests.stores.test_token_endpoint import client_of, request, settings_of
from tests.support.authorization_server import AuthorizationServer
from tests.support.credentials import connected, credentials_of, current
from tests.support.http_server import HttpServer, Request, Response


def test_secret_that_the_server_does_not_decode_is_sent_as_it_is() -> None:
    with AuthorizationServer().running() as server:
        server.client.secret = "p&s s+%"
        settings = settings_of(server)
        with pytest.raises(TokenError, match="invalid_client"):
            current(credentials_of(settings))
        assert current(credentials_of({**settings, "LEGACY_CLIENT_AUTH": "basic-raw"})).token
    assert len(server.issued) == 1


@pytest.mark.parametrize("in_body", [False, True])
def test_request_has_the_form_of_the_grant(in_body: bool) -> None:
    answer = Response(body=json.dumps({"access_token": "t", "token_type": "bearer"}).encode())
    with HttpServer(lambda _: answer).running() as server:
        client = TokenClient(server.url, "a:b c", "p&ss", in_body, "x y", "urn:hr")
        client.request(Transport(), 5.0)
    (sent,) = server.requests
    form = parse_qs(sent.body.decode(), strict_parsing=True)
    expected = {"grant_type": ["client_credentials"], "scope": ["x y"], "audience": ["urn:hr"]}
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (sent.headers["Accept"], sent.headers["Accept-Encoding"]) == (
        "application/json",
        "identity",
    )
    assert sent.headers.get_all("User-Agent") == ["punch-clock"]
    assert not {"Cookie", "Expect"} & set(sent.headers)
    if in_body:
        assert form == {**expected, "client_id": ["a:b c"], "client_secret": ["p&ss"]}
        assert "Authorization" not in sent.headers
    else:
        assert form == expected
        assert sent.headers["Authorization"] == "Basic YSUzQWIrYzpwJTI2c3M="  # a%3Ab+c:p%26ss


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, b"%C3%A4pp:p%C3%A4%E2%82%AC%26"),
        ({"LEGACY_CLIENT_AUTH": "basic-raw"}, "äpp:pä€&".encode()),
        ({"LEGACY_CLIENT_AUTH": "body"}, None),
    ],
)
def test_client_id_and_secret_are_sent_in_utf_8_and_nothing_empty(
    environ: dict[str, str], expected: bytes | None
) -> None:
    with HttpServer(lambda _: Response(body=b'{"access_token": "t"}')).running() as server:
        client = {"LEGACY_CLIENT_ID": "äpp", "LEGACY_CLIENT_SECRET": "pä€&"}
        url = {"LEGACY_AUTH": "oauth2", "LEGACY_TOKEN_URL": server.url}
        assert current(credentials_of({**url, **client, **environ})).token
    (sent,) = server.requests
    form = parse_qs(sent.body.decode(), keep_blank_values=True, strict_parsing=True)
    if expected:
        assert sent.headers["Authorization"] == f"Basic {b64encode(expected).decode()}"
        assert form == {"grant_type": ["client_credentials"]}
    else:
        assert (form["client_id"], form["client_secret"]) == (["äpp"], ["pä€&"])
        assert form.keys() == {"grant_type", "client_id", "client_secret"}
        assert "Authorization" not in sent.headers


def test_request_reads_neither_netrc_nor_the_variables_of_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("requests reads its environment")

    for name in ("get_environ_proxies", "get_netrc_auth"):
        monkeypatch.setattr(f"requests.sessions.{name}", fail)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ann password hush\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.setenv(variable, str(tmp_path / ".netrc"))
    with HttpServer(lambda _: Response(body=b'{"access_token": "t"}')).running() as server:
        for body in (False, True):
            client_of(server.url, body=body).request(Transport(), 5.0)
    basic, in_body = server.requests
    assert basic.headers["Authorization"] == f"Basic {client_of(server.url).basic}"
    assert "Authorization" not in in_body.headers


def test_requests_of_two_clients_at_once_do_not_mix() -> None:
    both = threading.Barrier(2)

    def answer(request: Request) -> Response:
        both.wait(5)
        token = request.headers["Authorization"].removeprefix("Basic ")
        return Response(body=json.dumps({"access_token": token}).encode())

    with HttpServer(answer).running() as server, ThreadPoolExecutor() as pool:
        clients = [client_of(server.url, secret) for secret in ("one", "two")]
        tokens = pool.map(lambda each: each.request(Transport(), 5.0).text, clients)
        assert list(tokens) == [each.basic for each in clients]


def test_token_endpoint_uses_the_authorities_and_the_proxy_of_the_legacy() -> None:
    authority = trustme.CA()
    answer = Response(body=b'{"access_token": "t"}')
    context = context_of(authority.issue_cert("localhost"))
    transport = Transport(authorities=authority.cert_pem.bytes())
    with HttpServer(lambda _: answer, context).running() as server:
        assert client_of(server.url).request(transport, 5.0).text == "t"
        with pytest.raises(TokenError, match="TLS with the token endpoint failed"):
            request(server.url)
    with HttpServer(lambda _: Response(407)).running() as gateway:
        transport = Transport(proxy=parse_proxy(f"http://ann:hush@127.0.0.1:{gateway.port}"))
        with pytest.raises(TokenError, match="the proxy to the token endpoint") as raised:
            client_of("https://issuer.example/token").request(transport, 5.0)
    assert raised.value.is_refused
    assert gateway.requests[0].headers["Proxy-Authorization"] == "Basic YW5uOmh1c2g="


@pytest.mark.parametrize("issuer_is_private", [False, True])
def test_token_endpoint_may_have_an_authority_of_the_system_or_of_the_legacy(
    issuer_is_private: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    public, private = trustme.CA(), trustme.CA()
    public.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setattr(
        "chalicelib.integrator.legacy.libcurl.transport.default_ca_file",
        lambda: str(tmp_path / "ca.pem"),
    )

    def issue(_: Request) -> Response:
        return Response(body=json.dumps({"access_token": "t0ken", "token_type": "Bearer"}).encode())

    def deliver(request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer t0ken"
        return Response(body=b'{"message": "success"}')

    def over_tls(answer: Callable[[Request], Response], authority: trustme.CA) -> HttpServer:
        return HttpServer(answer, tls=context_of(authority.issue_cert("localhost")))

    with (
        over_tls(issue, private if issuer_is_private else public).running() as issuer,
        over_tls(deliver, private).running() as legacy,
        over_tls(deliver, public).running() as other,
    ):
        environ = {
            "LEGACY_AUTH": "oauth2",
            "LEGACY_TOKEN_URL": issuer.url,
            "LEGACY_CLIENT_ID": "punch-clock",
            "LEGACY_CLIENT_SECRET": "s3cret",
            "LEGACY_CA": private.cert_pem.bytes().decode(),
        }
        with connected(legacy.url, environ) as connection:
            assert connection.send("1", b"{}").outcome is Outcome.DELIVERED
        # The token endpoint's authorities do not count for the legacy.
        with connected(other.url, environ) as connection:
            log = connection.send("1", b"{}").log or ""
        assert "the authority of the certificate is not trusted" in log
