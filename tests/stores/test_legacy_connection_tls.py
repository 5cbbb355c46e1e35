"""One call to the legacy over TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chalicelib.integrator.legacy_client import LegacyConnection, LegacyEndpoint
from chalicelib.integrator.outcome import Outcome
from tests.support.scripted_server import SUCCESS, send


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of localhost, with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "legacy.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return pem


def connection_to(url: str, certificate: Path, call_timeout_s: float = 5.0) -> LegacyConnection:
    """Return a connection that trusts the certificate, and no other."""
    endpoint = LegacyEndpoint(url, 30.0, 30.0, call_timeout_s)
    return LegacyConnection(endpoint, ca_file=str(certificate))


@contextmanager
def tls_server(certificate: Path) -> Iterator[int]:
    """Respond to one call over TLS; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            # The client closes the connection if it does not trust the certificate.
            with suppress(OSError), context.wrap_socket(peer, server_side=True) as secure:
                while part := secure.recv(65_536):
                    if b"}" in part:
                        secure.sendall(SUCCESS)
                        break

        server = threading.Thread(target=serve)
        server.start()
        yield listener.getsockname()[1]
        server.join(10)
        assert not server.is_alive()


def test_call_over_tls_is_delivered(certificate: Path) -> None:
    with tls_server(certificate) as port:
        connection = connection_to(f"https://localhost:{port}/point-records", certificate)
        assert send(connection).outcome is Outcome.DELIVERED
        connection.close()


def test_certificate_of_another_host_is_an_overload_and_the_log_omits_the_host(
    certificate: Path,
) -> None:
    with tls_server(certificate) as port:
        # The certificate is for localhost, not for this address.
        connection = connection_to(f"https://127.0.0.1:{port}/point-records", certificate)
        result = send(connection)
        connection.close()
    assert result.outcome is Outcome.OVERLOADED
    assert not result.broke_off
    assert result.log == "No response: the certificate is for another host"


def test_certificate_of_an_unknown_authority_is_an_overload(certificate: Path) -> None:
    with tls_server(certificate) as port:
        connection = LegacyConnection(LegacyEndpoint(f"https://localhost:{port}/", 30.0, 30.0, 5.0))
        result = send(connection)
        connection.close()
    assert result.outcome is Outcome.OVERLOADED
    assert not result.broke_off
    assert result.log == "No response: the certificate is not trusted (OpenSSL error 18)"


def test_unanswered_handshake_ends_at_the_timeout_of_the_call(certificate: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/point-records"
        connection = connection_to(url, certificate, call_timeout_s=0.2)
        result = send(connection)
        connection.close()
    assert result.outcome is Outcome.OVERLOADED
    assert not result.broke_off
    assert result.log == "No response: timeout while waiting for the connection"
    assert result.latency_s < 2
