"""Access tokens from a real authorization server, and from token endpoints that misbehave."""

import gzip
import json
import math
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from chalicelib.integrator.legacy.authenticated_connection import AuthenticatedConnection
from chalicelib.integrator.legacy.authentication.access_token import Token, TokenError
from chalicelib.integrator.legacy.authentication.shared_credentials import SharedCredentials
from chalicelib.integrator.legacy.authentication.token_request import TokenClient
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.libcurl.transport import Transport
from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions
from chalicelib.integrator.outcome import Outcome
from chalicelib.settings import Settings, SettingsError
from tests.support.authorization_server import CLIENT_SECRET, AuthorizationServer
from tests.support.credentials import connected, credentials_of, current
from tests.support.http_server import HttpServer, Request, Response
from tests.support.raw_legacy import response as raw_response
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import wait_until

NOW = 1_000_000.0


def client_of(url: str, secret: str = CLIENT_SECRET, *, body: bool = False) -> TokenClient:
    return TokenClient(url, "punch-clock", secret, body, "punches:write", "")


def request(url: str, timeout_s: float = 5.0) -> Token:
    return client_of(url).request(Transport(), timeout_s, lambda: NOW)


def settings_of(server: AuthorizationServer) -> dict[str, str]:
    return {
        "LEGACY_AUTH": "oauth2",
        "LEGACY_TOKEN_URL": server.url,
        "LEGACY_CLIENT_ID": server.client.client_id,
        "LEGACY_CLIENT_SECRET": server.client.secret,
        "LEGACY_SCOPE": server.client.scope,
    }


@pytest.mark.parametrize("body", [False, True])
def test_authorization_server_issues_a_token(body: bool) -> None:
    with AuthorizationServer().running() as server:
        token = client_of(server.url, body=body).request(Transport(), 5.0, lambda: NOW)
    assert server.issued == [token.text]
    assert token.renew_at - NOW == 2_700
    assert token.expires_at - NOW == 3_590


def test_authorization_server_refuses_a_wrong_secret() -> None:
    with AuthorizationServer().running() as server, pytest.raises(TokenError) as raised:
        client_of(server.url, "wrong").request(Transport(), 5.0)
    assert raised.value.is_refused
    assert str(raised.value) == "the token endpoint refuses our client: invalid_client (HTTP 401)"


def test_token_is_renewed_after_a_403_which_may_concern_the_record() -> None:
    with AuthorizationServer().running() as issuer:

        def answer(each: Request) -> Response:
            return Response(200 if issuer.accepts(each.headers["Authorization"]) else 403)

        with (
            HttpServer(answer).running() as legacy,
            connected(legacy.url, settings_of(issuer)) as connection,
        ):
            assert connection.send("a-key", b"{}").outcome is Outcome.DELIVERED
            issuer.valid.clear()
            assert connection.send("a-key", b"{}").outcome is Outcome.OVERLOADED
            wait_until(lambda: connection.send("a-key", b"{}").outcome is Outcome.DELIVERED)
    assert len(issuer.issued) == 2


def test_calls_share_a_token_and_a_revoked_one_is_renewed_within_the_call() -> None:
    with AuthorizationServer().running() as issuer:

        def answer(each: Request) -> Response:
            return Response(200 if issuer.accepts(each.headers["Authorization"]) else 401)

        with (
            HttpServer(answer).running() as legacy,
            connected(legacy.url, settings_of(issuer)) as connection,
        ):
            outcomes = [connection.send("a-key", b"{}").outcome for _ in range(3)]
            assert len(issuer.issued) == 1
            issuer.valid.clear()
            outcomes.append(connection.send("a-key", b"{}").outcome)
    assert outcomes == [Outcome.DELIVERED] * 4
    assert len(issuer.issued) == 2
    assert [each.headers["Authorization"] for each in legacy.requests] == [
        f"Bearer {issuer.issued[number]}" for number in (0, 0, 0, 0, 1)
    ]


@pytest.mark.parametrize(
    ("status", "condition", "outcome", "issued"),
    [
        (401, "LEGACY_REFUSED", Outcome.DELIVERED, 2),
        (401, "LEGACY_RETRY", Outcome.DELIVERED, 2),
        (401, "LEGACY_DUPLICATE", Outcome.DELIVERED, 1),
        (403, "LEGACY_RETRY", Outcome.OVERLOADED, 2),
        # The operator says that it is about the record.
        (403, "LEGACY_REFUSED", Outcome.REFUSED, 1),
        (422, "LEGACY_REFUSED", Outcome.REFUSED, 1),
    ],
)
def test_refused_token_is_renewed_whatever_a_condition_makes_of_a_401(
    status: int, condition: str, outcome: Outcome, issued: int
) -> None:
    with AuthorizationServer().running() as issuer:

        def answer(each: Request) -> Response:
            if issuer.accepts(each.headers["Authorization"]):
                return Response()
            return Response(status, body=b'{"error": "invalid_token"}')

        conditions = ResponseConditions({condition: "body.error == 'invalid_token'"})
        with HttpServer(answer).running() as legacy:
            endpoint = LegacyEndpoint(legacy.url, 5.0, 10.0, 5.0, conditions=conditions)
            connection = AuthenticatedConnection(endpoint, credentials_of(settings_of(issuer)))
            assert connection.send("a-key", b"{}").outcome is Outcome.DELIVERED
            issuer.valid.clear()
            assert connection.send("a-key", b"{}").outcome is outcome
            connection.close()
            wait_until(lambda: len(issuer.issued) == issued)


def test_rotated_secret_brings_a_new_token_though_the_old_one_is_valid() -> None:
    """The legacy refuses the tokens of the old secret, in a way that no rule knows."""
    with AuthorizationServer().running() as issuer:

        def answer(each: Request) -> Response:
            is_new = each.headers["Authorization"] != f"Bearer {issuer.issued[0]}"
            return Response(200 if is_new else 407)

        settings = Settings.from_env(settings_of(issuer))
        values = {name: getattr(settings, name) for name in settings.legacy_credentials}
        now = 1_000.0
        credentials = SharedCredentials(settings, lambda _: dict(values), clock=lambda: now)
        with (
            HttpServer(answer).running() as legacy,
            connected(legacy.url, credentials) as connection,
        ):
            assert connection.send("a-key", b"{}").outcome is Outcome.OVERLOADED
            values["legacy_scope"], now = "", now + 60
            connection.send("a-key", b"{}")
            wait_until(lambda: len(issuer.issued) == 2)
            wait_until(lambda: issuer.issued[1] in str(current(credentials).headers))
            assert connection.send("a-key", b"{}").outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("expires_in", "renewed_after_s", "used_for_s"),
    [
        (100, 75, 90),
        ("3600", 2_700, 3_590),  # Azure AD v1 and ADFS send text
        ("3600.5", 2_700.375, 3_590.5),
        (1e300, 64_800, 86_390),
        (0.001, 0.75, 1),
        (None, 300, math.inf),
        (0, 300, math.inf),
        (-1, 300, math.inf),
        (True, 300, math.inf),
        ("soon", 300, math.inf),
        ("nan", 300, math.inf),
        ([60], 300, math.inf),
    ],
)
def test_lifetime_of_a_token(expires_in: object, renewed_after_s: float, used_for_s: float) -> None:
    body = json.dumps({"access_token": "t", "expires_in": expires_in}).encode()
    with HttpServer(lambda _: Response(body=body)).running() as server:
        token = request(server.url)
    assert (token.renew_at - NOW, token.expires_at - NOW) == pytest.approx(
        (renewed_after_s, used_for_s)
    )


NULL_TYPE = b'{"access_token": "t", "token_type": null}'


@pytest.mark.parametrize(
    "answer",
    [
        Response(body=NULL_TYPE),
        Response(body=NULL_TYPE.replace(b"null", b'"BEARER"')),
        Response(body=NULL_TYPE.replace(b"null", b'"BearerToken"')),  # Apigee's default
        Response(body=NULL_TYPE.replace(b"null", b'" bearer "')),
        Response(body=NULL_TYPE.replace(b"null", b'"JWT"')),
        Response(body=NULL_TYPE.replace(b"null", b'""')),
        Response(body=NULL_TYPE.replace(b"null", b'"bearer", "scope": "two\nlines"') + b"\0"),
        Response(body=b"\xef\xbb\xbf" + NULL_TYPE),
        Response(200, {"Content-Encoding": "gzip"}, gzip.compress(NULL_TYPE)),
    ],
    ids=["null", "capitals", "Apigee", "spaces", "JWT", "empty", "raw", "mark", "gzip"],
)
def test_token_of_an_unusual_response_is_a_bearer_token(answer: Response) -> None:
    with HttpServer(lambda _: answer).running() as server:
        assert request(server.url).text == "t"


def test_token_that_arrives_later_than_it_lives_is_used_for_a_second() -> None:
    clock = iter([NOW, NOW + 5])
    with HttpServer(
        lambda _: Response(body=b'{"access_token": "t", "expires_in": 2}')
    ).running() as s:
        token = client_of(s.url).request(Transport(), 5.0, lambda: next(clock))
    assert token.expires_at == NOW + 6


def refusal(status: int, **fields: str) -> Response:
    return Response(status, body=json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("answer", "is_refused", "reason"),
    [
        (refusal(400, error="invalid_client"), True, "refuses our client: invalid_client"),
        (refusal(400, error="invalid_scope"), True, "refuses our client: invalid_scope (HTTP 400)"),
        (refusal(200, error="invalid_client"), True, "invalid_client (HTTP 200)"),
        (refusal(200, error="busy"), False, "answers HTTP 200"),
        (refusal(401), True, "answers HTTP 401"),
        (refusal(403, error="b\r\nX: y"), True, "answers HTTP 403"),
        (refusal(500, error="invalid_client"), False, "answers HTTP 500"),
        (refusal(503), False, "answers HTTP 503"),
        (refusal(429), False, "answers HTTP 429"),
        (Response(302, {"Location": "http://127.0.0.1:9/"}), False, "answers HTTP 302"),
        (Response(307, {"Location": "//["}), False, "answers HTTP 307"),
        (Response(308, {"Location": "\xff"}), False, "answers HTTP 308"),
        (Response(301, {"Location": "http://h:99999/"}), False, "answers HTTP 301"),
        (Response(body=b"{}"), False, "answers HTTP 200 without an access token"),
        (Response(body=b"<html>"), False, "without an access token"),
        (Response(body=b"[" * 90_000), False, "without an access token"),
        (Response(body=b'"access_token"'), False, "without an access token"),
        (Response(body=b'{"access_token": ""}'), False, "without an access token"),
        (Response(body=b'{"access_token": "a b"}'), False, "without an access token"),
        (Response(body=b'{"access_token": "a\\r\\nb"}'), False, "without an access token"),
        (Response(body=b'{"access_token": 7}'), False, "without an access token"),
        *(
            (
                Response(body=b'{"access_token": "a", "token_type": "%s"}' % each),
                False,
                "of another type than Bearer",
            )
            for each in (b"mac", b" DPoP ", b"PoP", b"hmac", b"N_A")
        ),
        (Response(body=b" " * 100_001), False, "is too long"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_answer_without_a_token_is_an_error(
    answer: Response, is_refused: bool, reason: str
) -> None:
    with HttpServer(lambda _: answer).running() as server, pytest.raises(TokenError) as raised:
        request(server.url)
    assert reason in str(raised.value)
    assert raised.value.is_refused is is_refused


@pytest.mark.parametrize(
    ("answer", "expected_s"),
    [
        (Response(429, {"Retry-After": "20"}), 20.0),
        (Response(429, {"RateLimit-Reset": "7"}), 7.0),
        (Response(400, {"Retry-After": "1.5"}, b'{"error": "invalid_client"}'), 1.5),
        (Response(503, {"Retry-After": "soon"}), 0.0),
        (Response(503), 0.0),
    ],
)
def test_token_endpoint_may_ask_us_to_wait(answer: Response, expected_s: float) -> None:
    with HttpServer(lambda _: answer).running() as server, pytest.raises(TokenError) as raised:
        request(server.url)
    assert raised.value.retry_after_s == expected_s


def drip(peer: socket.socket) -> None:
    for byte in raw_response(b'{"access_token": "t"}'):
        peer.sendall(bytes([byte]))
        time.sleep(0.05)


def endless_headers(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.sendall(b"X: y\r\n" * 1_000)


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (lambda _: time.sleep(1), "did not answer in time"),
        (drip, "did not answer in time"),
        (lambda _: None, "gave no whole response"),
        (lambda peer: peer.sendall(raw_response(b"{}")[:-1]), "gave no whole response"),
        (endless_headers, "gave no whole response"),
    ],
)
def test_broken_answer_ends_in_time(respond: Callable[[socket.socket], None], reason: str) -> None:
    server = ScriptedServer(respond)
    started = time.monotonic()
    with server.running(), pytest.raises(TokenError, match=reason) as raised:
        request(server.url, timeout_s=0.5)
    assert time.monotonic() - started < 3
    assert "127.0.0.1" not in str(raised.value)
    assert not raised.value.is_refused


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/token", "https://issuer.invalid/token"])
def test_absent_token_endpoint_is_an_outage(url: str) -> None:
    with pytest.raises(TokenError, match="cannot be reached") as raised:
        request(url)
    assert not raised.value.is_refused
    assert urlsplit(url).netloc not in str(raised.value)


def test_host_that_no_request_can_go_to_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="LEGACY_TOKEN_URL must be an https URL"):
        request("https://*.invalid/token")
