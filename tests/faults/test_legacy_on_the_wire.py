"""A legacy that breaks HTTP in ways that no server library would: every record still arrives."""

import gzip
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.raw_legacy import SUCCESS, Answer, RawLegacy, response
from tests.support.record_counts import assert_not_stuck, fill
from tests.support.service import Service, wired
from tests.support.waiting import wait_until

# Fewer than the limit begins with: all are called at once, and the run has no more to do.
RECORDS = range(1, 9)
CALL_TIMEOUT_S = 1.0
# For calls whose end is no silence: however busy the machine is, they end before.
PATIENT = {
    "LEGACY_CONNECT_TIMEOUT_S": "30",
    "LEGACY_READ_TIMEOUT_S": "30",
    "LEGACY_CALL_TIMEOUT_S": "30",
}
IMPATIENT = {
    "LEGACY_CONNECT_TIMEOUT_S": "0.5",
    "LEGACY_READ_TIMEOUT_S": "0.6",
    "LEGACY_CALL_TIMEOUT_S": str(CALL_TIMEOUT_S),
}
WEEK_S = 7 * 86_400.0
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def says(answer: bytes, *, keep: bool = False) -> Answer:
    """Answer so, and close the connection or keep it."""

    def say(peer: socket.socket) -> bool:
        peer.sendall(answer)
        return keep

    return say


def goes_on(start: bytes, part: bytes, pause_s: float = 0.0) -> Answer:
    """Begin so and then repeat a part for ever."""

    def answer(peer: socket.socket) -> bool:
        peer.sendall(start)
        while True:
            peer.sendall(part)
            time.sleep(pause_s)

    return answer


def reset(peer: socket.socket) -> bool:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def hang(peer: socket.socket) -> bool:
    peer.recv(1)
    return False


def succeeds_without_end(peer: socket.socket) -> bool:
    """Neither say how long the answer is nor close."""
    peer.sendall(plain(SUCCESS))
    return hang(peer)


def late(peer: socket.socket) -> bool:
    """Succeed when nobody waits for it any more."""
    time.sleep(CALL_TIMEOUT_S + 0.5)
    peer.sendall(response())
    return False


def keeps_alive_then_resets(peer: socket.socket) -> bool:
    peer.sendall(response())
    peer.recv(65_536)
    return reset(peer)


def plain(body: bytes, *headers: bytes) -> bytes:
    return OK + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + body


# What it does, and whether a call is delivered by it, uses up an attempt, or neither.
DELIVERED, ATTEMPT, NEITHER = "delivered", "attempt", "neither"
FAULTS: dict[str, tuple[Answer, str]] = {
    "chunks without end": (goes_on(CHUNKED, b"1\r\nx\r\n", 0.05), NEITHER),
    "chunks fast without end": (goes_on(CHUNKED, b"ffff\r\n" + b"x" * 65_535 + b"\r\n"), ATTEMPT),
    "chunk of a negative size": (says(CHUNKED + b"-1\r\nx\r\n"), NEITHER),
    "chunk of a gigantic size": (says(CHUNKED + b"f" * 40 + b"\r\nx"), NEITHER),
    "trailers without end": (goes_on(CHUNKED + b"0\r\n", b"X: y\r\n" * 1_000), ATTEMPT),
    "gigantic body": (
        goes_on(OK + b"Content-Length: 9999999999\r\n\r\n", b"x" * 65_536),
        ATTEMPT,
    ),
    "gigantic header": (says(OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n" + SUCCESS), ATTEMPT),
    "headers without end": (goes_on(OK, b"X: y\r\n"), ATTEMPT),
    "headers a byte at a time": (goes_on(OK, b"x", 0.05), NEITHER),
    "interim answers without end": (
        goes_on(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
        ATTEMPT,
    ),
    "interim answers, then success": (
        says(
            b"HTTP/1.1 102 Processing\r\n\r\n"
            + b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
            + response(),
            keep=True,
        ),
        DELIVERED,
    ),
    "another protocol": (says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), ATTEMPT),
    "closes in the headers": (says(OK + b"Content-Len"), NEITHER),
    "closes in the headers of no content": (says(b"HTTP/1.1 204 No Content\r\nX: "), NEITHER),
    "closes after the headers": (says(OK + b"Content-Length: 22\r\n\r\n"), NEITHER),
    "closes in a refusal": (
        says(b"HTTP/1.1 422 No\r\nContent-Length: 22\r\n\r\n{"),
        ATTEMPT,
    ),
    "closes in a refusal for now": (
        says(b"HTTP/1.1 503 No\r\nContent-Length: 22\r\n\r\n{"),
        NEITHER,
    ),
    "a length too long": (says(plain(SUCCESS, b"Content-Length: 23")), NEITHER),
    "a length too short": (says(plain(SUCCESS, b"Content-Length: 21")), ATTEMPT),
    "a length that is none": (says(plain(SUCCESS, b"Content-Length: many")), DELIVERED),
    "a negative length": (says(plain(SUCCESS, b"Content-Length: -5")), DELIVERED),
    "two lengths": (says(plain(SUCCESS, b"Content-Length: 22", b"Content-Length: 9")), DELIVERED),
    "gzip that nobody asked for": (
        says(response(gzip.compress(SUCCESS), Content_Encoding="gzip"), keep=True),
        DELIVERED,
    ),
    "gzip that is none": (
        says(response(b"\x1f\x8bxx", Content_Encoding="gzip"), keep=True),
        ATTEMPT,
    ),
    "a bomb of gzip": (
        says(response(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"), keep=True),
        ATTEMPT,
    ),
    "HTTP/1.0": (says(b"HTTP/1.0 200 OK\r\n\r\n" + SUCCESS), DELIVERED),
    "a success that has no end": (succeeds_without_end, DELIVERED),
    "HTTP/0.9": (says(SUCCESS), ATTEMPT),
    "garbage": (says(bytes(range(256))), ATTEMPT),
    "a status that is none": (says(b"HTTP/1.1 2000 OK\r\n\r\n"), ATTEMPT),
    "nothing at all": (says(b""), NEITHER),
    "TLS where none is spoken": (says(b"\x15\x03\x01\x00\x02\x02\x50"), ATTEMPT),
    "hangs": (hang, NEITHER),
    "resets": (reset, NEITHER),
    "success after the timeout": (late, NEITHER),
    "keeps the connection, then resets": (keeps_alive_then_resets, DELIVERED),
    "redirects to itself": (
        says(response(b"", "307 Temporary Redirect", Location="/point-records"), keep=True),
        ATTEMPT,
    ),
    "a byte-order mark": (says(response(b"\xef\xbb\xbf" + SUCCESS), keep=True), DELIVERED),
    "nobody's text": (says(response(SUCCESS.decode().encode("utf-16")), keep=True), DELIVERED),
    **{
        status: (says(response(b'{"message": "no"}', status), keep=True), kind)
        for status, kind in {
            "408 Request Timeout": NEITHER,
            "409 Conflict": ATTEMPT,
            "418 I'm a teapot": ATTEMPT,
            "425 Too Early": NEITHER,
            "507 Insufficient Storage": ATTEMPT,
            "999 ": ATTEMPT,
        }.items()
    },
}


@contextmanager
def calling(variables: dict[str, str], url: str, timeouts: dict[str, str]) -> Iterator[None]:
    changes = {"LEGACY_URL": url, "LIMIT_MAX": "12", **timeouts}
    with wired(variables | changes):
        yield


def senders() -> int:
    """Count the threads that hold a connection to the legacy, or watch over them."""
    return sum("senders" in str(getattr(each, "_target", "")) for each in threading.enumerate())


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_on_the_wire_every_record_arrives_in_the_end(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str, fault: str
) -> None:
    misbehave, kind = FAULTS[fault]
    ids = fill(dynamodb, table, RECORDS)
    service.replicate()
    with RawLegacy(misbehave).running() as legacy:
        # More time than it takes: a call that went on beyond its own would still be under way.
        with calling(variables, legacy.url, IMPATIENT if kind == NEITHER else PATIENT):
            service.integrate()
        assert_not_stuck(service)
        logs = service.rows("SELECT status, attempt, log FROM integration_log WHERE attempt > 0")
        attempts = service.rows("SELECT max(attempts), sum(overloads) FROM point_record")
        if kind == DELIVERED:
            assert service.statuses() == {"INTEGRATED": len(ids)}, logs
        else:
            assert {status for status, _, _ in logs} == {"ERROR"}, logs
            assert all(log and len(log) <= 8_000 for _, _, log in logs), logs
            ((most, overloads),) = attempts
            assert (most > 0, overloads > 0) == (kind == ATTEMPT, kind == NEITHER), logs
        legacy.repair()
        with calling(variables, legacy.url, PATIENT):
            for _ in range(2):
                service.let_pass(WEEK_S)
                service.integrate()
        assert service.statuses() == {"INTEGRATED": len(ids)}
        if kind in (ATTEMPT, NEITHER):
            assert legacy.accepted == set(ids)
        assert_not_stuck(service)
    wait_until(lambda: not senders(), 5)


def test_a_name_that_nobody_knows_is_an_outage_and_the_records_wait(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str
) -> None:
    ids = fill(dynamodb, table, RECORDS)
    service.replicate()
    with calling(variables, "http://legacy.invalid/point-records", IMPATIENT):
        service.integrate()
    assert_not_stuck(service)
    assert set(service.statuses()) <= {"ERROR", "AWAITING"}
    ((used_up,),) = service.rows("SELECT max(attempts) FROM point_record")
    assert used_up == 0
    ((told,),) = service.rows("SELECT DISTINCT log FROM integration_log WHERE attempt > 0")
    assert told.startswith("No answer: gaierror")
    with RawLegacy(says(b"")).running() as legacy, calling(variables, legacy.url, PATIENT):
        legacy.repair()
        service.let_pass(WEEK_S)
        service.integrate()
        assert legacy.accepted == set(ids)
    assert service.statuses() == {"INTEGRATED": len(ids)}


def test_a_look_up_that_ends_too_late_sends_nothing(
    service: Service,
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(dynamodb, table, RECORDS)
    service.replicate()
    asked, answered = threading.Event(), threading.Event()
    ended: list[str] = []
    look_up = socket.getaddrinfo

    def slow(host: str, *arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() and port in arguments:
            asked.set()
            answered.wait(60)
            ended.append(host)
        return look_up(host, *arguments, **named)

    with (
        RawLegacy(says(response())).running() as legacy,
        calling(variables, legacy.url, IMPATIENT),
    ):
        port = int(legacy.url.split(":")[2].split("/")[0])
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        service.integrate(CALL_TIMEOUT_S + 4)
        assert asked.is_set()
        assert not ended  # the run has waited for none of them
        answered.set()
        wait_until(lambda: not senders(), 5)
        # By now the record may be another run's: a call that comes so late must not be sent.
        assert legacy.keys == []
        monkeypatch.undo()
        legacy.repair()
