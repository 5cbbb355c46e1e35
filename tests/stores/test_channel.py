"""One call to the legacy over real sockets, whatever answers at the other end."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chalicelib.integrator import legacy
from chalicelib.integrator.legacy import Channel, Legacy
from chalicelib.integrator.reply import Outcome, Reply
from chalicelib.settings import SettingsError

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"message": "success"}'

Answer = Callable[[socket.socket], None]


class Server:
    """Reads one request after another and answers each with the next of ``answers``."""

    def __init__(self, *answers: Answer | bytes) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/point-records?unit=7"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._listener.accept()
            self.connections += 1
            with connection:
                while self._answers and (request := _read_request(connection)):
                    self.requests.append(request)
                    answer = self._answers.pop(0)
                    try:
                        if isinstance(answer, bytes):
                            connection.sendall(answer)
                        else:
                            answer(connection)
                            break
                    except OSError:  # the client has hung up
                        break

    @contextmanager
    def running(self) -> Iterator["Server"]:
        self._thread.start()
        yield self
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"}" not in request:
        part = connection.recv(65_536)
        if not part:
            break
        request += part
    return request


def channel_to(url: str, call_timeout_s: float = 5.0) -> Channel:
    return Channel(Legacy(url, 1.0, 1.0, call_timeout_s))


def send(channel: Channel) -> Reply:
    return channel.send("a-key", b'{"id": "a-key"}')


def drip(connection: socket.socket) -> None:
    for byte in GOOD:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(GOOD[:45])
    drip(connection)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_sends_json_under_the_idempotency_key_and_keeps_the_connection() -> None:
    with Server(GOOD, GOOD).running() as server:
        channel = channel_to(server.url)
        assert [send(channel).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        channel.close()
    assert server.connections == 1
    request = server.requests[0]
    assert request.startswith(b"POST /point-records?unit=7 HTTP/1.1\r\n")
    assert b"Idempotency-Key: a-key\r\n" in request
    assert b"Content-Type: application/json\r\n" in request
    assert request.endswith(b'{"id": "a-key"}')


def test_opens_another_connection_when_the_kept_one_was_closed() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    with Server(lambda peer: peer.sendall(closing), GOOD).running() as server:
        channel = channel_to(server.url)
        assert [send(channel).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2
        channel.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (reset, Outcome.OVERLOADED),
        (lambda _: None, Outcome.OVERLOADED),  # closed without a word
        (lambda _: time.sleep(1.5), Outcome.OVERLOADED),  # silence
        (lambda peer: peer.sendall(GOOD[:60]), Outcome.OVERLOADED),  # broken off in the body
        (lambda peer: peer.sendall(GOOD[:10]), Outcome.FAILED),  # broken off in the status
        (lambda peer: peer.sendall(GOOD[:20]), Outcome.OVERLOADED),  # broken off in the headers
        (lambda peer: peer.sendall(b"220 smtp.example ESMTP\r\n\r\n"), Outcome.FAILED),
        (lambda peer: peer.sendall(b"HTTP/1.1 abc\r\n\r\n"), Outcome.FAILED),
        (
            lambda peer: peer.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            ),
            Outcome.OVERLOADED,
        ),
        (lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999), Outcome.FAILED),
    ],
)
def test_whatever_the_peer_does_is_an_outcome(answer: Answer, outcome: Outcome) -> None:
    with Server(answer, GOOD).running() as server:
        channel = channel_to(server.url)
        reply = send(channel)
        assert reply.outcome is outcome, reply
        assert reply.log
        # What is left of a broken answer is not met by the next call.
        assert send(channel).outcome is Outcome.DELIVERED
        channel.close()


def test_reads_no_more_of_an_endless_answer_than_it_needs() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65_536)

    with Server(endless, GOOD).running() as server:
        channel = channel_to(server.url)
        assert send(channel).outcome is Outcome.FAILED
        assert send(channel).outcome is Outcome.DELIVERED
        channel.close()


def unfinished(status: bytes, then: Answer) -> Answer:
    """Begin an answer of this status, with a body that never comes to its end."""

    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 " + status + b"\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nno")
        then(peer)

    return answer


@pytest.mark.parametrize("then", [lambda _: None, reset, lambda peer: peer.recv(1)])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (b"422 No", Outcome.REFUSED),
        (b"500 No", Outcome.FAILED),
        (b"503 No", Outcome.OVERLOADED),
    ],
)
def test_a_status_that_refuses_counts_though_its_body_never_ends(
    status: bytes, outcome: Outcome, then: Answer
) -> None:
    with Server(unfinished(status, then), GOOD).running() as server:
        channel = Channel(Legacy(server.url, 1.0, 0.1, 5.0))
        reply = send(channel)
        assert (reply.outcome, reply.http_status) == (outcome, int(status[:3]))
        assert reply.retry_after_s == 7
        assert send(channel).outcome is Outcome.DELIVERED
        channel.close()


def test_an_answer_that_comes_before_the_request_was_read_is_read() -> None:
    """The peer's end of a connection on which something is unread is a reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(20):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1)
                    peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

        server = threading.Thread(target=serve)
        server.start()
        channel = channel_to(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert {send(channel).http_status for _ in range(20)} == {413}
        channel.close()
        server.join(10)


def test_what_has_switched_its_protocol_is_not_called_again() -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    with Server(lambda peer: peer.sendall(switching), GOOD).running() as server:
        channel = channel_to(server.url)
        outcomes = [send(channel).outcome for _ in range(2)]
        assert outcomes == [Outcome.FAILED, Outcome.DELIVERED]
        channel.close()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a listener whose queue is full: who connects to it waits for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in waiting:
            each.close()


def test_many_addresses_that_are_dead_take_no_longer_than_the_call_may(
    black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def find(host: str, *arguments: Any, **named: Any) -> Any:
        return (
            look_up("127.0.0.1", *arguments, **named) * 100
            if host == "legacy.test"
            else look_up(host, *arguments, **named)
        )

    monkeypatch.setattr(socket, "getaddrinfo", find)
    channel = Channel(Legacy(f"http://legacy.test:{black_hole}/", 0.1, 1.0, 0.3))
    reply = send(channel)
    assert reply.outcome is Outcome.OVERLOADED
    assert reply.log == "No answer: TimeoutError: the whole call took too long"
    assert reply.latency_s < 5  # and not ten


def test_a_redirect_is_not_followed() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    with Server(answer).running() as server:
        channel = channel_to(server.url)
        assert send(channel).outcome is Outcome.FAILED
        channel.close()
    assert len(server.requests) == 1


def test_a_closed_door_is_an_overload() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert send(channel_to(f"http://127.0.0.1:{port}/")).outcome is Outcome.OVERLOADED


def test_a_name_that_nobody_has_is_an_overload() -> None:
    assert send(channel_to("http://legacy.invalid/")).outcome is Outcome.OVERLOADED


def send_until_expired(channel: Channel) -> Reply:
    """Send, in a thread, and look for what takes too long until it ends."""
    replies: list[Reply] = []
    caller = threading.Thread(target=lambda: replies.append(send(channel)))
    caller.start()
    deadline = time.monotonic() + 10
    while caller.is_alive() and time.monotonic() < deadline:
        channel.expire()
        caller.join(0.05)
    (reply,) = replies
    return reply


@pytest.mark.parametrize("answer", [drip, drip_body])
def test_a_drip_of_bytes_ends_when_it_is_expired(answer: Answer) -> None:
    with Server(answer).running() as server:
        channel = channel_to(server.url, call_timeout_s=0.3)
        reply = send_until_expired(channel)
        assert reply.outcome is Outcome.OVERLOADED
        assert reply.latency_s < 2
        channel.close()


def test_expiring_leaves_a_call_in_good_time_alone() -> None:
    with Server(GOOD).running() as server:
        channel = channel_to(server.url)
        channel.expire()
        assert send(channel).outcome is Outcome.DELIVERED
        channel.expire()
        channel.close()


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
    pem = tmp_path / "legacy.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(legacy, "_tls", lambda: trusting)
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


@pytest.mark.parametrize(
    "url",
    [
        *("", "legacy.example", "ftp://x", "http://", "http://u:p@x/", "http://x:99999/"),
        *("http://x/a b?key=secret", "http://x/é", "http://x/a\nb"),
    ],
)
def test_a_url_that_is_none_is_found_out_before_anything_is_claimed(url: str) -> None:
    with pytest.raises(SettingsError, match="LEGACY_URL"):
        Legacy(url, 1.0, 1.0, 1.0)
