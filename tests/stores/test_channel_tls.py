"""One call to the legacy over TLS."""

import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chalicelib.integrator import legacy_client
from chalicelib.integrator.legacy_client import Channel, Legacy
from chalicelib.integrator.outcome import Outcome
from tests.support.scripted_server import GOOD, Answer, channel_to, send, send_until_expired


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side of TLS, with a certificate that the channel trusts."""
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
    pem = tmp_path / "legacy_client.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(legacy_client, "_tls", lambda: trusting)
    return context


def over_tls(context: ssl.SSLContext) -> Answer:
    """Answer one call over TLS."""

    def answer(peer: socket.socket) -> None:
        with context.wrap_socket(peer.dup(), server_side=True) as secure:
            while b"}" not in secure.recv(65_536):
                pass
            secure.sendall(GOOD)

    return answer


def test_speaks_tls_to_whom_it_trusts(trusted: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/point-records"

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                over_tls(trusted)(peer)

        server = threading.Thread(target=serve)
        server.start()
        channel = channel_to(url)
        assert send(channel).outcome is Outcome.DELIVERED
        channel.close()
        server.join(10)


def test_a_certificate_that_is_not_trusted_is_an_outage_and_the_log_names_no_host(
    trusted: ssl.SSLContext,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/point-records"

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, suppress(OSError):
                over_tls(trusted)(peer)

        server = threading.Thread(target=serve)
        server.start()
        channel = channel_to(url)  # the certificate is localhost's
        reply = send(channel)
        channel.close()
        server.join(10)
    assert reply.outcome is Outcome.OVERLOADED
    assert reply.log is not None
    assert reply.log.startswith("No answer: SSLCertVerificationError: IP address mismatch")
    assert "127.0.0.1" not in reply.log


def test_a_handshake_that_nobody_answers_ends_when_it_is_expired(trusted: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/point-records"
        channel = Channel(Legacy(url, 30.0, 30.0, 0.2))
        assert send_until_expired(channel).outcome is Outcome.OVERLOADED
