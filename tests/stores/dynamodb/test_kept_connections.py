"""Connections to an HTTP server: kept, closed by either side, too slow, over TLS."""

import gc
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.httpsession
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.dynamodb import tls
from chalicelib.dynamodb.kept_connections import KeptConnections, NoResponseError, Server
from local.loopback import free_port
from tests.support.raw_dynamodb import RawDynamoDB, drips, hangs, resets, response, sends

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: D.PutItem\r\nContent-Length: 2\r\n\r\n{}"
OK = response({})


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def pool_of(
    url: str,
    *,
    certificates: str = "",
    timeout_s: float = 5.0,
    clock: Callable[[], float] = time.time,
) -> KeptConnections:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    server = Server(parts.hostname, parts.port, parts.scheme == "https", certificates)
    return KeptConnections(server, connect_timeout_s=2, response_timeout_s=timeout_s, clock=clock)


@pytest.fixture
def endpoint() -> Iterator[RawDynamoDB]:
    with RawDynamoDB().running() as endpoint:
        yield endpoint


def test_connection_is_kept_for_the_next_request(endpoint: RawDynamoDB) -> None:
    pool = pool_of(endpoint.url)
    assert [pool.send(REQUEST).status for _ in range(5)] == [200] * 5
    assert (len(endpoint.requests), endpoint.connections) == (5, 1)


def test_connection_that_the_server_has_closed_is_replaced(endpoint: RawDynamoDB) -> None:
    pool = pool_of(endpoint.url)
    for _ in range(3):
        pool.send(REQUEST)
        endpoint.close_connections()
        time.sleep(0.05)  # the end of the connection arrives
    assert endpoint.connections == 3


def test_connection_with_bytes_that_nobody_asked_for_is_replaced(endpoint: RawDynamoDB) -> None:
    endpoint.script += [OK + response({"Item": {}}), OK]
    pool = pool_of(endpoint.url)
    assert [pool.send(REQUEST).body for _ in range(2)] == [b"{}", b"{}"]
    assert endpoint.connections == 2


def test_connection_that_was_idle_too_long_is_replaced(endpoint: RawDynamoDB) -> None:
    clock = Clock()
    pool = pool_of(endpoint.url, clock=clock)
    for idle_s in (0, 59, 3_600, -3_600):
        clock.now += idle_s
        pool.send(REQUEST)
    assert endpoint.connections == 3


def test_process_does_not_use_the_connections_of_its_parent(
    endpoint: RawDynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(endpoint.url)
    pool.send(REQUEST)
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    pool.send(REQUEST)
    pool.send(REQUEST)
    assert endpoint.connections == 2


def test_response_that_ends_the_connection_is_returned(endpoint: RawDynamoDB) -> None:
    endpoint.script += [sends(response({}, Connection="close"), keep=False)]
    pool = pool_of(endpoint.url)
    assert [pool.send(REQUEST).body for _ in range(2)] == [b"{}", b"{}"]
    assert endpoint.connections == 2


@pytest.mark.parametrize("close", [resets, hangs(0)], ids=["reset", "end"])
def test_kept_connection_that_ends_is_told_from_a_new_one(
    close: Callable[[socket.socket], bool],
) -> None:
    with RawDynamoDB(close, OK, close).running() as endpoint:
        pool = pool_of(endpoint.url)
        with pytest.raises(NoResponseError) as caught:
            pool.send(REQUEST)
        assert (caught.value.is_transient, caught.value.was_kept) == (True, False)
        pool.send(REQUEST)
        with pytest.raises(NoResponseError) as caught:
            pool.send(REQUEST)
        assert (caught.value.is_transient, caught.value.was_kept) == (True, True)
        assert pool.send(REQUEST).status == 200


def test_kept_connection_that_ends_amid_a_response_was_not_stale() -> None:
    with RawDynamoDB(OK, sends(OK[:30], keep=False)).running() as endpoint:
        pool = pool_of(endpoint.url)
        pool.send(REQUEST)
        with pytest.raises(NoResponseError) as caught:
            pool.send(REQUEST)
        assert (caught.value.is_transient, caught.value.was_kept) == (True, False)


def test_garbage_is_not_transient() -> None:
    with RawDynamoDB(b"SSH-2.0\r\n\r\n").running() as endpoint:
        pool = pool_of(endpoint.url)
        with pytest.raises(NoResponseError, match="status line") as caught:
            pool.send(REQUEST)
        assert not caught.value.is_transient
        assert pool.send(REQUEST).status == 200
        assert endpoint.connections == 2


@pytest.mark.parametrize(
    "silence",
    [hangs(1.5), drips(OK, 0.05), drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 20, 0.02)],
    ids=["hang", "drip", "interim responses"],
)
def test_response_that_takes_too_long_ends_at_the_timeout(
    silence: Callable[[socket.socket], bool],
) -> None:
    with RawDynamoDB(silence).running() as endpoint:
        pool = pool_of(endpoint.url, timeout_s=0.3)
        started = time.monotonic()
        with pytest.raises(NoResponseError) as caught:
            pool.send(REQUEST)
        assert 0.25 < time.monotonic() - started < 1.2
        assert (caught.value.is_transient, caught.value.was_kept) == (True, False)


def test_server_that_does_not_read_ends_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = pool_of(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3)
        started = time.monotonic()
        with pytest.raises(NoResponseError):
            pool.send(REQUEST + b"x" * 20_000_000)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_refused_connection_and_unknown_host_are_transient(host: str) -> None:
    with pytest.raises(NoResponseError) as caught:
        pool_of(f"http://{host}:{free_port()}").send(REQUEST)
    assert (caught.value.is_transient, caught.value.was_kept) == (True, False)


class InterruptError(BaseException):
    """Like KeyboardInterrupt, which would end the tests."""


def test_interrupted_request_does_not_leave_its_response_to_the_next() -> None:
    def interrupt(peer: socket.socket) -> bool:
        peer.sendall(OK[:-1])
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.1)
        peer.sendall(OK[-1:])
        return True

    def handle(*_: object) -> None:
        raise InterruptError

    previous = signal.signal(signal.SIGUSR1, handle)
    try:
        with RawDynamoDB(interrupt).running() as endpoint:
            pool = pool_of(endpoint.url)
            with pytest.raises(InterruptError):
                pool.send(REQUEST)
            assert pool.send(REQUEST).body == b"{}"
            assert endpoint.connections == 2
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_each_thread_gets_the_response_to_its_own_request() -> None:
    class Echo(RawDynamoDB):
        """Responds with the body of each request."""

        def serve(self, peer: socket.socket) -> None:
            with peer:
                while received := peer.recv(65_536):
                    peer.sendall(response(received.partition(b"\r\n\r\n")[2]))

    with Echo().running() as endpoint:
        pool = pool_of(endpoint.url)

        def send(number: int) -> bool:
            body = b"%d" % number
            head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
            return pool.send(head + body).body == body

        with ThreadPoolExecutor(80) as threads:
            assert all(threads.map(send, range(2_000)))
        assert endpoint.connections <= 80
        assert len(pool._kept) <= 64


def test_discarded_pool_closes_its_connections(endpoint: RawDynamoDB) -> None:
    pool = pool_of(endpoint.url)
    pool.send(REQUEST)
    del pool
    gc.collect()  # an open socket would be a ResourceWarning, which is an error
    endpoint._threads[0].join(5)
    assert not endpoint._threads[0].is_alive()


class Authority:
    """A certificate authority, and the certificate of a server that it has issued."""

    def __init__(self, directory: Path, host: str) -> None:
        directory.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of a test")])
        now = datetime.now(UTC)
        names = [x509.IPAddress(ip_address(host))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.path = directory / "ca.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path = directory / "key.pem"
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.path, key_path)


def rejects(reason: str) -> Any:
    return pytest.raises(NoResponseError, match=reason)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority", "127.0.0.1")


def test_request_over_tls_keeps_its_connection(authority: Authority) -> None:
    with RawDynamoDB(tls=authority.server).running() as endpoint:
        pool = pool_of(endpoint.url, certificates=str(authority.path))
        assert [pool.send(REQUEST).status for _ in range(3)] == [200] * 3
        assert endpoint.connections == 1


def test_server_whose_certificate_is_not_in_the_directory_gets_no_request(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with (
        RawDynamoDB(tls=authority.server).running() as endpoint,
        pytest.raises(NoResponseError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        pool_of(endpoint.url, certificates=str(tmp_path / "empty")).send(REQUEST)
    assert endpoint.requests == []


def test_server_with_an_unknown_certificate_gets_no_request(authority: Authority) -> None:
    with (
        RawDynamoDB(tls=authority.server).running() as endpoint,
        pytest.raises(NoResponseError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        pool_of(endpoint.url).send(REQUEST)
    assert endpoint.requests == []


def test_server_with_the_certificate_of_another_host_gets_no_request(tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "127.0.0.2")
    with (
        RawDynamoDB(tls=other.server).running() as endpoint,
        pytest.raises(NoResponseError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        pool_of(endpoint.url, certificates=str(other.path)).send(REQUEST)
    assert endpoint.requests == []


def test_missing_certificates_are_an_error_and_not_ignored(
    authority: Authority, tmp_path: Path
) -> None:
    with (
        RawDynamoDB(tls=authority.server).running() as endpoint,
        pytest.raises(NoResponseError, match="No such file"),
    ):
        pool_of(endpoint.url, certificates=str(tmp_path / "missing.pem")).send(REQUEST)
    assert endpoint.requests == []


def test_tls_handshake_that_hangs_ends_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = pool_of(f"https://127.0.0.1:{listener.getsockname()[1]}")
        pool._connect_timeout_s = 0.3
        started = time.monotonic()
        with pytest.raises(NoResponseError):
            pool.send(REQUEST)
        assert time.monotonic() - started < 2


def test_trusted_certificates_are_those_of_boto3() -> None:
    assert tls.certificates_of_boto3() == botocore.httpsession.where()
    assert tls.context().minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls.context().verify_mode == ssl.CERT_REQUIRED
    assert tls.context().check_hostname
