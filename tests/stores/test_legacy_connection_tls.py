"""Calls to the legacy over TLS: its certificate, ours, and the authorities that are trusted."""

import re
import socket
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from chalicelib.integrator.legacy.authenticated_connection import AuthenticatedConnection
from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions
from chalicelib.integrator.outcome import CallResult, Outcome
from tests.support.credentials import connected, credentials_of
from tests.support.http_server import HttpServer, Response
from tests.support.raw_legacy import response as raw_response
from tests.support.raw_server import RawServer, read_request
from tests.support.scripted_server import reset
from tests.support.weak_certificate import weak_certificate


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(
    certificate: trustme.LeafCert, clients: trustme.CA | None = None, version: str = "TLSv1_3"
) -> ssl.SSLContext:
    """A server's side of TLS, which asks for client certificates of ``clients``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion[version]
    certificate.configure_cert(context)
    if clients:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def server_of(context: ssl.SSLContext) -> HttpServer:
    return HttpServer(lambda _: Response(), context)


def pem_of(certificate: trustme.LeafCert) -> str:
    return certificate.private_key_and_cert_chain_pem.bytes().decode()


def call(url: str, environ: dict[str, str], call_timeout_s: float = 5.0) -> CallResult:
    with connected(url, environ, call_timeout_s) as connection:
        return connection.send("a-key", b"{}")


def trusting(authority: trustme.CA) -> dict[str, str]:
    return {"LEGACY_CA": authority.cert_pem.bytes().decode()}


def test_call_to_a_legacy_of_the_given_authority_is_delivered(authority: trustme.CA) -> None:
    with server_of(context_of(authority.issue_cert("localhost"))).running() as server:
        assert call(server.url, trusting(authority)).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("prefix", ["", "file:"])
def test_authorities_may_be_a_file(authority: trustme.CA, tmp_path: Path, prefix: str) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with server_of(context_of(authority.issue_cert("localhost"))).running() as server:
        result = call(server.url, {"LEGACY_CA": f"{prefix}{tmp_path / 'ca.pem'}"})
    assert result.outcome is Outcome.DELIVERED


def test_given_authorities_replace_those_of_the_system(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The system's are simulated by the variables that OpenSSL and libcurl read."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setattr(
        "chalicelib.integrator.legacy.libcurl.transport.default_ca_file",
        lambda: str(tmp_path / "ca.pem"),
    )
    with server_of(context_of(authority.issue_cert("localhost"))).running() as server:
        endpoint = LegacyEndpoint(server.url, 5.0, 10.0, 5.0)
        connection = LegacyConnection(endpoint)
        assert connection.send("a-key", b"{}").outcome is Outcome.DELIVERED
        connection.close()
        result = call(server.url, trusting(trustme.CA()))
    assert result.outcome is Outcome.OVERLOADED


def test_certificate_of_another_host_is_an_overload_and_the_log_omits_the_host(
    authority: trustme.CA,
) -> None:
    with server_of(context_of(authority.issue_cert("legacy.example"))).running() as server:
        result = call(server.url, trusting(authority))
    assert result.outcome is Outcome.OVERLOADED
    assert not result.broke_off
    assert result.log == "No response: the certificate is for another host"


def test_certificate_of_an_unknown_authority_is_an_overload(authority: trustme.CA) -> None:
    with server_of(context_of(authority.issue_cert("localhost"))).running() as server:
        results = [call(server.url, trusting(trustme.CA())), call(server.url, {})]
    for result in results:
        assert result.outcome is Outcome.OVERLOADED
        assert result.log == "No response: the authority of the certificate is not trusted"


def test_expired_certificate_is_an_overload_whose_log_says_so(authority: trustme.CA) -> None:
    expired = authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(hours=1))
    with server_of(context_of(expired)).running() as server:
        result = call(server.url, trusting(authority))
    assert result.outcome is Outcome.OVERLOADED
    assert result.log == "No response: the certificate has expired"
    assert not result.broke_off


def test_unanswered_handshake_ends_at_the_timeout_of_the_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = call(f"https://localhost:{listener.getsockname()[1]}/", {}, call_timeout_s=0.2)
    assert result.outcome is Outcome.OVERLOADED
    assert not result.broke_off
    assert result.log == "No response: timeout while waiting for the connection"
    assert result.latency_s < 2


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_client_certificate_opens_a_legacy_that_demands_one(
    authority: trustme.CA, version: str
) -> None:
    clients = trustme.CA()
    certificate = pem_of(clients.create_child_ca().issue_cert("punch-clock"))  # with a chain
    context = context_of(authority.issue_cert("localhost"), clients, version)
    with server_of(context).running() as server:
        environ = {**trusting(authority), "LEGACY_CLIENT_CERTIFICATE": certificate}
        with connected(server.url, environ) as connection:
            outcomes = [connection.send("a-key", b"{}").outcome for _ in range(2)]
    assert outcomes == [Outcome.DELIVERED] * 2
    assert {each.connection for each in server.requests} == {1}


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("kind", ["of another authority", "expired"])
def test_client_certificate_that_the_legacy_refuses_is_an_overload(
    authority: trustme.CA, version: str, kind: str
) -> None:
    clients = trustme.CA()
    expiry = datetime.now(UTC) + timedelta(hours=-1 if kind == "expired" else 1)
    issuer = clients if kind == "expired" else trustme.CA()
    certificate = pem_of(issuer.issue_cert("punch-clock", not_after=expiry))
    context = context_of(authority.issue_cert("localhost"), clients, version)
    with server_of(context).running() as server:
        result = call(server.url, {**trusting(authority), "LEGACY_CLIENT_CERTIFICATE": certificate})
    assert result.outcome is Outcome.OVERLOADED
    assert result.log == "No response: the legacy refuses our client certificate"
    assert result.credentials_refused
    assert not result.broke_off


def test_client_certificate_that_libcurl_refuses_is_an_overload(authority: trustme.CA) -> None:
    environ = {**trusting(authority), "LEGACY_CLIENT_CERTIFICATE": weak_certificate()}
    with server_of(context_of(authority.issue_cert("localhost"))).running() as server:
        result = call(server.url, environ)
    assert not server.requests
    assert result.outcome is Outcome.OVERLOADED
    assert (
        result.log == "No response: our client certificate cannot be used; its key may be too short"
    )
    assert not result.broke_off


def test_missing_client_certificate_is_an_overload(authority: trustme.CA) -> None:
    context = context_of(authority.issue_cert("localhost"), trustme.CA())
    with server_of(context).running() as server:
        result = call(server.url, trusting(authority))
    assert result.outcome is Outcome.OVERLOADED
    assert result.log == "No response: the legacy refuses our client certificate"
    assert result.credentials_refused
    assert not result.broke_off


class TwoResponses(RawServer):
    """Answers the first request twice, in one segment, and refuses every other one."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context
        self.keys: list[str] = []

    def serve(self, peer: socket.socket) -> None:
        with suppress(OSError), self._context.wrap_socket(peer, server_side=True) as secured:
            while request := read_request(secured):
                self.keys += re.findall(r"(?i)idempotency-key: (\S+)", request[0])
                if len(self.keys) > 1:
                    time.sleep(0.05)  # longer than the client needs to see what it has read
                    secured.sendall(raw_response(b"no", "422 Unprocessable"))
                    continue
                secured.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                secured.sendall(raw_response())
                secured.sendall(raw_response())
                secured.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_second_response_to_a_request_is_not_taken_for_that_of_the_next_record(
    authority: trustme.CA, version: str
) -> None:
    """OpenSSL has read both responses from the socket: nothing waits there."""
    server = TwoResponses(context_of(authority.issue_cert("127.0.0.1"), version=version))
    url = f"https://{server.origin}/"
    with server.running(), connected(url, trusting(authority)) as connection:
        results = [connection.send(key, b"{}") for key in ("a", "b", "c")]
    assert [each.http_status for each in results] == [200, 422, 422]
    assert server.keys == ["a", "b", "b", "c"]
    assert server.connections == 2


class Abrupt(RawServer):
    """Answers a request by a body without a length, and hangs, or ends TCP without ending TLS."""

    def __init__(self, context: ssl.SSLContext, body: bytes, *, hangs: bool) -> None:
        super().__init__()
        self._context = context
        self._body = body
        self._hangs = hangs

    def serve(self, peer: socket.socket) -> None:
        with suppress(OSError), self._context.wrap_socket(peer, server_side=True) as secured:
            read_request(secured)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
            for part in (self._body[:-1], self._body[-1:]):
                secured.sendall(part)
            if self._hangs:
                secured.recv(1)  # until the other side closes


@pytest.mark.parametrize("hangs", [True, False])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"<r><a>stored</a></r>", Outcome.DELIVERED),
        (b'<?xml version="1.0"?><r>stored \xe3</r>\r\n', Outcome.DELIVERED),
        (b"<r><a>stored</a>", Outcome.OVERLOADED),  # a part may be missing
    ],
)
def test_xml_without_a_length_ends_where_its_root_element_ends(
    authority: trustme.CA, body: bytes, outcome: Outcome, version: str, hangs: bool
) -> None:
    server = Abrupt(
        context_of(authority.issue_cert("127.0.0.1"), version=version), body, hangs=hangs
    )
    conditions = ResponseConditions({"LEGACY_DELIVERED": "contains(body, 'stored')"})
    credentials = credentials_of({**trusting(authority), "LEGACY_CALL_TIMEOUT_S": "1"})
    with server.running():
        endpoint = LegacyEndpoint(
            f"https://{server.origin}/", 1.0, 10.0, 1.0, conditions=conditions
        )
        connection = AuthenticatedConnection(endpoint, credentials)
        result = connection.send("a-key", b"{}")
        connection.close()
    assert result.outcome is outcome


class Resetting(RawServer):
    """Resets each connection once it has read a request, as if its alert were lost."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def serve(self, peer: socket.socket) -> None:
        with suppress(OSError), self._context.wrap_socket(peer, server_side=True) as secured:
            read_request(secured)
            reset(secured)


@pytest.mark.parametrize("is_expired", [True, False])
def test_reset_of_a_new_connection_is_the_fault_of_a_client_certificate_that_has_expired(
    authority: trustme.CA, is_expired: bool
) -> None:
    """Kept connections go on delivering, so that the records of such calls would be parked."""
    expiry = datetime.now(UTC) + timedelta(hours=-1 if is_expired else 1)
    certificate = pem_of(authority.issue_cert("punch-clock", not_after=expiry))
    environ = {**trusting(authority), "LEGACY_CLIENT_CERTIFICATE": certificate}
    server = Resetting(context_of(authority.issue_cert("127.0.0.1")))
    with server.running():
        result = call(f"https://{server.origin}/", environ)
    assert result.outcome is Outcome.OVERLOADED
    assert result.credentials_refused is is_expired
    assert result.may_be_the_records_fault is not is_expired
    assert ("our client certificate has expired" in (result.log or "")) is is_expired
