"""Calls authenticate at the legacy in each mode of LEGACY_AUTH, on the wire."""

import hashlib
import re
import secrets
import socket
from base64 import b64decode, b64encode
from contextlib import suppress
from itertools import pairwise

import pytest
import spnego
from spnego.exceptions import SpnegoError

from chalicelib.integrator.legacy.authenticated_connection import AuthenticatedConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.messages.record_values import sample_record
from chalicelib.integrator.legacy.messages.request_format import read
from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.settings import Settings
from tests.support.credentials import connected, credentials_of
from tests.support.http_server import HttpServer, Request, Response
from tests.support.raw_legacy import response
from tests.support.raw_server import RawServer, read_request
from tests.support.scripted_server import ScriptedServer

BODY = b'{"id": "a-key"}'
LOGIN = {"LEGACY_USER": "punch-clock", "LEGACY_PASSWORD": "pässword: 7"}


def send(connection: AuthenticatedConnection) -> CallResult:
    return connection.send("a-key", BODY)


def authorizations(server: HttpServer) -> list[str | None]:
    return [each.headers["Authorization"] for each in server.requests]


@pytest.mark.parametrize(
    ("environ", "headers"),
    [
        (
            {"LEGACY_AUTH": "basic", **LOGIN},
            {"Authorization": f"Basic {b64encode('punch-clock:pässword: 7'.encode()).decode()}"},
        ),
        (
            {"LEGACY_AUTH": "basic", "LEGACY_USER": "api-key"},
            {"Authorization": f"Basic {b64encode(b'api-key:').decode()}"},
        ),
        (
            {"LEGACY_AUTH": "bearer", "LEGACY_TOKEN": "t.o-k_e=n"},
            {"Authorization": "Bearer t.o-k_e=n"},
        ),
        (
            {"LEGACY_AUTH": "header", "LEGACY_AUTH_HEADERS": "X-Api-Key: k 1\n\n x-tenant :acme\n"},
            {"X-Api-Key": "k 1", "x-tenant": "acme"},
        ),
    ],
    ids=["basic", "basic without a password", "bearer", "header"],
)
def test_each_request_carries_the_credentials_from_the_first_on(
    environ: dict[str, str], headers: dict[str, str]
) -> None:
    with (
        HttpServer(lambda _: Response()).running() as server,
        connected(server.url, environ) as connection,
    ):
        assert [send(connection).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
    assert len(server.requests) == 2
    for request in server.requests:
        assert {name: request.headers[name] for name in headers} == headers
        assert request.headers["Idempotency-Key"] == "a-key"
        assert request.body == BODY
        assert request.connection == 1


class DigestLegacy:
    """Challenges by Digest (RFC 7616, SHA-256 or MD5), and checks each answer itself."""

    def __init__(
        self,
        algorithm: str,
        password: str = LOGIN["LEGACY_PASSWORD"],
        *,
        says_stale: bool = True,
        nonces_once: bool = False,
    ) -> None:
        self._algorithm = algorithm
        self._password = password
        self._says_stale = says_stale
        self._nonces_once = nonces_once
        self.realm = "hr"
        self.nonce = ""
        self.counts: list[int] = []  # the nc of each request that was accepted

    def renew_nonce(self) -> None:
        self.nonce = secrets.token_hex(8)

    def __call__(self, request: Request) -> Response:
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers["Authorization"] or ""))
        if fields.get("nonce") == self.nonce and fields["response"] == self._expected(fields):
            self.counts.append(int(fields["nc"], 16))
            if self._nonces_once:
                self.renew_nonce()
            return Response()
        is_stale = self._says_stale and fields and fields["nonce"] != self.nonce
        stale = ", stale=true" if is_stale else ""
        self.renew_nonce()
        challenge = (
            f'Digest realm="{self.realm}", nonce="{self.nonce}", qop="auth",'
            f" algorithm={self._algorithm}"
        )
        return Response(401, {"WWW-Authenticate": challenge + stale}, b"who?")

    def _expected(self, fields: dict[str, str]) -> str:
        def digest(text: str) -> str:
            new = hashlib.md5 if self._algorithm == "MD5" else hashlib.sha256
            return new(text.encode()).hexdigest()

        first = digest(f"{LOGIN['LEGACY_USER']}:{self.realm}:{self._password}")
        second = digest("POST:/point-records")
        middle = ":".join(fields[name] for name in ("nonce", "nc", "cnonce", "qop"))
        return digest(f"{first}:{middle}:{second}")


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_digest_is_challenged_once_and_its_nonce_is_reused(algorithm: str) -> None:
    legacy = DigestLegacy(algorithm)
    with (
        HttpServer(legacy).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        assert [send(connection).outcome for _ in range(3)] == [Outcome.DELIVERED] * 3
        legacy.renew_nonce()
        assert send(connection).outcome is Outcome.DELIVERED
    assert legacy.counts == [1, 2, 3, 1]
    # The first request waits for its challenge without the body, so no body is sent in vain.
    assert [each.body for each in server.requests] == [b"", BODY, BODY, BODY, BODY, BODY]
    assert {each.connection for each in server.requests} == {1}


@pytest.mark.parametrize("nonces_once", [False, True])
def test_digest_goes_on_if_the_legacy_forgets_a_nonce_without_calling_it_stale(
    nonces_once: bool,
) -> None:
    legacy = DigestLegacy("MD5", says_stale=False, nonces_once=nonces_once)
    with (
        HttpServer(legacy).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        outcomes = [send(connection).outcome for _ in range(3)]
        legacy.renew_nonce()
        outcomes.append(send(connection).outcome)
        legacy.realm = "payroll"
        outcomes.append(send(connection).outcome)
    assert outcomes == [Outcome.DELIVERED] * 5
    assert len(legacy.counts) == 5
    assert {each.connection for each in server.requests} == {1}


def test_digest_repeats_only_the_first_call_after_its_password_was_changed() -> None:
    legacy = DigestLegacy("MD5")
    with (
        HttpServer(legacy).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        assert send(connection).outcome is Outcome.DELIVERED
        legacy._password = "another"
        sent = [len(server.requests)]
        for _ in range(3):
            assert send(connection).credentials_refused
            sent.append(len(server.requests))
    first, *others = [after - before for before, after in pairwise(sent)]
    assert first <= 2 * min(others)
    assert others == [3, 3]  # what libcurl makes of a call


def test_digest_with_a_wrong_password_is_an_overload_after_one_round_trip() -> None:
    with (
        HttpServer(DigestLegacy("MD5", "another")).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        result = send(connection)
    assert (result.outcome, result.http_status) == (Outcome.OVERLOADED, 401)
    assert result.credentials_refused
    assert len(server.requests) == 2


def test_digest_whose_nonces_are_all_stale_ends_after_few_requests() -> None:
    challenge = 'Digest realm="hr", nonce="n", qop="auth", stale=true'
    with (
        HttpServer(lambda _: Response(401, {"WWW-Authenticate": challenge})).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        assert send(connection).credentials_refused
    assert 2 < len(server.requests) < 6


class DeadBackEnd(RawServer):
    """Challenges each request by Digest or NTLM, if it may, and does not answer what follows.

    Args:
        challenges: how many requests of a connection it answers by a challenge.
        hangs: whether it is silent then; otherwise it closes the connection.
    """

    def __init__(self, challenges: int, *, hangs: bool) -> None:
        super().__init__()
        self._challenges = challenges
        self._hangs = hangs

    def serve(self, peer: socket.socket) -> None:
        challenge = 'Digest realm="hr", nonce="n", qop="auth"'
        with peer, suppress(OSError):
            while request := read_request(peer):
                if self._challenges and "Authorization: Digest" not in request[0]:
                    peer.sendall(response(b"who?", "401 No", WWW_Authenticate=challenge))
                elif self._hangs:
                    peer.recv(1)  # until the other side closes
                else:
                    return


@pytest.mark.parametrize("hangs", [True, False])
def test_call_that_breaks_off_after_the_challenge_of_digest_has_no_response(hangs: bool) -> None:
    with (
        DeadBackEnd(1, hangs=hangs).running() as server,
        connected(
            f"http://{server.origin}/", {"LEGACY_AUTH": "digest", **LOGIN}, call_timeout_s=0.5
        ) as connection,
    ):
        result = send(connection)
    assert (result.outcome, result.http_status) == (Outcome.OVERLOADED, None)
    assert result.broke_off
    assert not result.credentials_refused


@pytest.mark.parametrize("mode", ["digest", "ntlm"])
def test_silence_before_the_record_was_sent_is_not_the_fault_of_the_record(mode: str) -> None:
    with (
        DeadBackEnd(0, hangs=True).running() as server,
        connected(
            f"http://{server.origin}/", {"LEGACY_AUTH": mode, **LOGIN}, call_timeout_s=0.5
        ) as connection,
    ):
        result = send(connection)
    assert result.log == "No response: timeout while waiting for the response"
    assert not result.may_be_the_records_fault


class NtlmLegacy:
    """Authenticates each connection by NTLM, with pyspnego's acceptor.

    Args:
        persists: whether an authenticated connection needs no further handshake, as in IIS.
    """

    def __init__(self, *, persists: bool = True) -> None:
        self._persists = persists
        self._contexts: dict[int, spnego.ContextProxy] = {}
        self._authenticated: set[int] = set()
        self.accepted = 0

    def forget_connections(self) -> None:
        self._authenticated.clear()

    def __call__(self, request: Request) -> Response:
        number, offered = request.connection, request.headers["Authorization"]
        if offered:
            message = b64decode(offered.removeprefix("NTLM "))
            if message[8] == 1:  # negotiate
                self._contexts[number] = spnego.server(protocol="ntlm")
                challenge = self._contexts[number].step(message)
                value = f"NTLM {b64encode(challenge or b'').decode()}"
                return Response(401, {"WWW-Authenticate": value}, b"challenge")
            try:
                self._contexts.pop(number).step(message)
            except SpnegoError:
                return Response(401, {"WWW-Authenticate": "NTLM"}, b"denied")
            self._authenticated.add(number)
        if number not in self._authenticated:
            return Response(401, {"WWW-Authenticate": "NTLM"}, b"who?")
        if not self._persists:
            self._authenticated.remove(number)
        self.accepted += 1
        return Response()


@pytest.fixture
def ntlm_users(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounts of the NTLM server, in the file that pyspnego reads."""
    path = tmp_path_factory.mktemp("ntlm") / "users"
    path.write_text("CORP:punch-clock:hush-hush\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(path))


NTLM = {"LEGACY_AUTH": "ntlm", "LEGACY_USER": "CORP\\punch-clock", "LEGACY_PASSWORD": "hush-hush"}


@pytest.mark.usefixtures("ntlm_users")
def test_ntlm_authenticates_a_connection_once() -> None:
    legacy = NtlmLegacy()
    with HttpServer(legacy).running() as server, connected(server.url, NTLM) as connection:
        assert [send(connection).outcome for _ in range(3)] == [Outcome.DELIVERED] * 3
    assert [each.body for each in server.requests] == [b"", BODY, BODY, BODY]
    assert legacy.accepted == 3
    assert {each.connection for each in server.requests} == {1}


@pytest.mark.usefixtures("ntlm_users")
def test_ntlm_authenticates_a_get() -> None:
    with HttpServer(NtlmLegacy()).running() as server:
        settings = Settings(legacy_url=f"{server.url}?ref={{id}}", legacy_method="GET")
        request = read(settings, lambda name: str(getattr(settings, name)))
        endpoint = LegacyEndpoint(server.url, 5.0, 10.0, 5.0, request)
        legacy = AuthenticatedConnection(endpoint, credentials_of(NTLM))
        results = [legacy.send("1", sample_record()) for _ in range(2)]
        legacy.close()
    assert [each.outcome for each in results] == [Outcome.DELIVERED] * 2
    assert [(each.method, each.body) for each in server.requests] == [("GET", b"")] * 3


@pytest.mark.usefixtures("ntlm_users")
def test_ntlm_repeats_the_handshake_when_the_legacy_forgets_the_connection() -> None:
    legacy = NtlmLegacy()
    with HttpServer(legacy).running() as server, connected(server.url, NTLM) as connection:
        assert send(connection).outcome is Outcome.DELIVERED
        legacy.forget_connections()
        assert send(connection).outcome is Outcome.DELIVERED
    assert legacy.accepted == 2


@pytest.mark.usefixtures("ntlm_users")
def test_ntlm_works_with_a_legacy_that_authenticates_each_request() -> None:
    legacy = NtlmLegacy(persists=False)
    with HttpServer(legacy).running() as server, connected(server.url, NTLM) as connection:
        assert [send(connection).outcome for _ in range(3)] == [Outcome.DELIVERED] * 3
    assert legacy.accepted == 3


@pytest.mark.usefixtures("ntlm_users")
@pytest.mark.parametrize(
    "answer",
    [
        NtlmLegacy(),
        *(
            lambda _, value=value: Response(401, {"WWW-Authenticate": f"NTLM {value}"})
            for value in ("!", b64encode(bytes(range(200))).decode())
        ),
    ],
)
def test_ntlm_with_a_wrong_password_or_no_challenge_is_an_overload(answer: NtlmLegacy) -> None:
    with (
        HttpServer(answer).running() as server,
        connected(server.url, {**NTLM, "LEGACY_PASSWORD": "wrong"}) as connection,
    ):
        results = [send(connection) for _ in range(2)]
    for result in results:
        assert (result.outcome, result.http_status) == (Outcome.OVERLOADED, 401)
        assert result.credentials_refused


def test_ntlm_sends_the_record_to_a_legacy_that_does_not_ask_for_it() -> None:
    with (
        HttpServer(lambda each: Response(200 if each.body else 400)).running() as server,
        connected(server.url, NTLM) as connection,
    ):
        assert [send(connection).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
    assert [each.body for each in server.requests] == [b"", BODY, BODY]


def conditional(url: str, mode: str, conditions: dict[str, str]) -> AuthenticatedConnection:
    endpoint = LegacyEndpoint(url, 5.0, 10.0, 5.0, conditions=ResponseConditions(conditions))
    return AuthenticatedConnection(endpoint, credentials_of({"LEGACY_AUTH": mode, **LOGIN}))


@pytest.mark.parametrize("mode", ["digest", "ntlm"])
@pytest.mark.parametrize("status", [200, 202, 303, 400, 409, 411, 422, 500])
def test_answer_to_the_request_without_the_record_says_nothing_about_it(
    mode: str, status: int
) -> None:
    conditions = {
        "LEGACY_DELIVERED": f"contains([`202`, `303`], `{status}`) && status == `{status}`",
        "LEGACY_DUPLICATE": "status == `409`",
        "LEGACY_REFUSED": "status == `422`",
    }

    def answer(each: Request) -> Response:
        return Response(204, body=b"") if each.body else Response(status)

    with HttpServer(answer).running() as server:
        connection = conditional(server.url, mode, conditions)
        result = send(connection)
        connection.close()
    assert (result.outcome, result.http_status) == (Outcome.DELIVERED, 204)
    assert [each.body for each in server.requests] == [b"", BODY]


@pytest.mark.parametrize("mode", ["digest", "ntlm"])
@pytest.mark.parametrize(
    ("setting", "outcome"),
    [
        ("LEGACY_DELIVERED", Outcome.DELIVERED),
        ("LEGACY_DUPLICATE", Outcome.DELIVERED),
        ("LEGACY_REFUSED", Outcome.REFUSED),
    ],
)
def test_answer_to_the_record_is_judged_though_the_legacy_challenges_nothing(
    mode: str, setting: str, outcome: Outcome
) -> None:
    with HttpServer(lambda _: Response(303, body=b"")).running() as server:
        connection = conditional(server.url, mode, {setting: "status == `303`"})
        result = send(connection)
        connection.close()
    assert (result.outcome, result.decided_by) == (outcome, setting)
    assert server.requests[-1].body == BODY


@pytest.mark.parametrize("mode", ["digest", "ntlm"])
@pytest.mark.parametrize("setting", ["LEGACY_DELIVERED", "LEGACY_DUPLICATE", "LEGACY_REFUSED"])
@pytest.mark.parametrize("challenge", ['Basic realm="hr"', 'Negotiate, Basic realm="a Digest b"'])
def test_record_that_no_challenge_lets_through_is_neither_delivered_nor_refused(
    mode: str, setting: str, challenge: str
) -> None:
    with HttpServer(lambda _: Response(401, {"WWW-Authenticate": challenge})).running() as server:
        connection = conditional(server.url, mode, {setting: "status == `401`"})
        result = send(connection)
        connection.close()
    assert {each.body for each in server.requests} == {b""}
    assert (result.outcome, result.credentials_refused) == (Outcome.OVERLOADED, True)
    assert not result.may_be_the_records_fault


def test_success_without_a_length_to_the_request_without_the_record_delivers_nothing() -> None:
    """Its JSON ends it, before libcurl would send the record."""
    endless = b'HTTP/1.1 200 OK\r\n\r\n{"message": "success"}'
    with (
        ScriptedServer(endless, response(b"full", "503 No")).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        assert (send(connection).outcome, len(server.requests)) == (Outcome.OVERLOADED, 2)
    assert [each.endswith(BODY) for each in server.requests] == [False, True]


def test_digest_authenticates_at_a_legacy_that_challenges_whole_requests_only() -> None:
    legacy = DigestLegacy("SHA-256")
    with (
        HttpServer(lambda each: legacy(each) if each.body else Response(400)).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        assert [send(connection).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
    assert legacy.counts == [1, 2]
    assert [each.body for each in server.requests] == [b"", BODY, BODY, BODY]


def test_digest_finds_its_challenge_among_others() -> None:
    legacy = DigestLegacy("MD5")

    def answer(each: Request) -> Response:
        given = legacy(each)
        challenge = given.headers.get("WWW-Authenticate")
        if challenge is None:
            return given
        return Response(401, {"www-authenticate": f'Basic realm="a, b", {challenge}'})

    with (
        HttpServer(answer).running() as server,
        connected(server.url, {"LEGACY_AUTH": "digest", **LOGIN}) as connection,
    ):
        assert send(connection).outcome is Outcome.DELIVERED


@pytest.mark.usefixtures("ntlm_users")
@pytest.mark.parametrize("mode", ["digest", "ntlm"])
def test_request_without_the_record_has_no_idempotency_key(mode: str) -> None:
    """A gateway that keeps the keys of all requests would refuse the record under the same key."""
    legacy = DigestLegacy("MD5") if mode == "digest" else NtlmLegacy()
    login = {"LEGACY_AUTH": mode, **LOGIN} if mode == "digest" else NTLM
    with HttpServer(legacy).running() as server, connected(server.url, login) as connection:
        assert [send(connection).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
    assert [(each.body, each.headers["Idempotency-Key"]) for each in server.requests] == [
        (b"", None),
        (BODY, "a-key"),
        (BODY, "a-key"),
    ]


def test_digest_authenticates_a_get() -> None:
    with HttpServer(DigestLegacy("MD5")).running() as server:
        settings = Settings(legacy_url=f"{server.url}?ref={{id}}", legacy_method="GET")
        request = read(settings, lambda name: str(getattr(settings, name)))
        endpoint = LegacyEndpoint(server.url, 5.0, 10.0, 5.0, request)
        legacy = AuthenticatedConnection(
            endpoint, credentials_of({"LEGACY_AUTH": "digest", **LOGIN})
        )
        legacy.send("1", sample_record())
        legacy.close()
    assert [each.method for each in server.requests] == ["GET"] * len(server.requests)
    assert "Digest" in str(server.requests[-1].headers["Authorization"])


@pytest.mark.parametrize("status", [401, 403, 407])
def test_refused_credentials_are_an_overload(status: int) -> None:
    with (
        HttpServer(lambda _: Response(status, body=b"no")).running() as server,
        connected(server.url, {"LEGACY_AUTH": "basic", **LOGIN}) as connection,
    ):
        result = send(connection)
    assert (result.outcome, result.http_status) == (Outcome.OVERLOADED, status)
    assert result.credentials_refused
    assert len(server.requests) == 1
