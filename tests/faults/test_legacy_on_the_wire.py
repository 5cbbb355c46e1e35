"""A legacy that breaks HTTP in ways no server library does: every record is still delivered."""

import gzip
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.call_pool import call_pool_threads
from tests.support.raw_legacy import SUCCESS, RawLegacy, Respond, response
from tests.support.record_counts import assert_not_stuck, fill
from tests.support.service import Service, wired
from tests.support.waiting import wait_until

# Fewer than the initial limit: all calls are made at once, and then the run has nothing to do.
RECORDS = range(1, 9)
CALL_TIMEOUT_S = 1.0
# For faults other than silence: no call reaches these timeouts, however busy the machine is.
LONG_TIMEOUTS = {
    "LEGACY_CONNECT_TIMEOUT_S": "30",
    "LEGACY_READ_TIMEOUT_S": "30",
    "LEGACY_CALL_TIMEOUT_S": "30",
}
SHORT_TIMEOUTS = {
    "LEGACY_CONNECT_TIMEOUT_S": "0.5",
    "LEGACY_READ_TIMEOUT_S": "0.6",
    "LEGACY_CALL_TIMEOUT_S": str(CALL_TIMEOUT_S),
}
WEEK_S = 7 * 86_400.0
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def sends(content: bytes, *, keep: bool = False) -> Respond:
    """Send these bytes, then close the connection or keep it."""

    def respond(peer: socket.socket) -> bool:
        peer.sendall(content)
        return keep

    return respond


def sends_endlessly(start: bytes, part: bytes, pause_s: float = 0.0) -> Respond:
    """Send ``start``, then ``part`` again and again."""

    def respond(peer: socket.socket) -> bool:
        peer.sendall(start)
        while True:
            peer.sendall(part)
            time.sleep(pause_s)

    return respond


def reset(peer: socket.socket) -> bool:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def hang(peer: socket.socket) -> bool:
    peer.recv(1)
    return False


def succeeds_without_end(peer: socket.socket) -> bool:
    """Send a response without a length, and do not close the connection."""
    peer.sendall(plain(SUCCESS))
    return hang(peer)


def succeeds_late(peer: socket.socket) -> bool:
    """Succeed after the caller's deadline."""
    time.sleep(CALL_TIMEOUT_S + 0.5)
    peer.sendall(response())
    return False


def keeps_alive_then_resets(peer: socket.socket) -> bool:
    peer.sendall(response())
    peer.recv(65_536)
    return reset(peer)


def plain(body: bytes, *headers: bytes) -> bytes:
    return OK + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + body


# For each fault: the response, and the outcome of the call. None but a delivery uses up an attempt,
# since nothing is delivered meanwhile.
DELIVERED, FAILED, OVERLOADED = "delivered", "failed or refused", "overloaded"
FAULTS: dict[str, tuple[Respond, str]] = {
    "chunks without end": (sends_endlessly(CHUNKED, b"1\r\nx\r\n", 0.05), OVERLOADED),
    "chunks fast without end": (
        sends_endlessly(CHUNKED, b"ffff\r\n" + b"x" * 65_535 + b"\r\n"),
        FAILED,
    ),
    "chunk of a negative size": (sends(CHUNKED + b"-1\r\nx\r\n"), OVERLOADED),
    "chunk of a gigantic size": (sends(CHUNKED + b"f" * 40 + b"\r\nx"), OVERLOADED),
    "trailers without end": (sends_endlessly(CHUNKED + b"0\r\n", b"X: y\r\n" * 1_000), FAILED),
    "gigantic body": (
        sends_endlessly(OK + b"Content-Length: 9999999999\r\n\r\n", b"x" * 65_536),
        FAILED,
    ),
    "gigantic header": (sends(OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n" + SUCCESS), FAILED),
    "headers without end": (sends_endlessly(OK, b"X: y\r\n"), FAILED),
    "headers a byte at a time": (sends_endlessly(OK, b"x", 0.05), OVERLOADED),
    "interim responses without end": (
        sends_endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
        FAILED,
    ),
    "interim responses, then success": (
        sends(
            b"HTTP/1.1 102 Processing\r\n\r\n"
            + b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
            + response(),
            keep=True,
        ),
        DELIVERED,
    ),
    "another protocol": (sends(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), FAILED),
    "closes in the headers": (sends(OK + b"Content-Len"), OVERLOADED),
    "closes in the headers of no content": (sends(b"HTTP/1.1 204 No Content\r\nX: "), OVERLOADED),
    "closes after the headers": (sends(OK + b"Content-Length: 22\r\n\r\n"), OVERLOADED),
    "closes in a refusal": (
        sends(b"HTTP/1.1 422 No\r\nContent-Length: 22\r\n\r\n{"),
        FAILED,
    ),
    "closes in an overload": (
        sends(b"HTTP/1.1 503 No\r\nContent-Length: 22\r\n\r\n{"),
        OVERLOADED,
    ),
    "a length too long": (sends(plain(SUCCESS, b"Content-Length: 23")), OVERLOADED),
    "a length too short": (sends(plain(SUCCESS, b"Content-Length: 21")), FAILED),
    "a length that is not a number": (sends(plain(SUCCESS, b"Content-Length: many")), DELIVERED),
    "a negative length": (sends(plain(SUCCESS, b"Content-Length: -5")), DELIVERED),
    "two lengths": (sends(plain(SUCCESS, b"Content-Length: 22", b"Content-Length: 9")), DELIVERED),
    "gzip that was not requested": (
        sends(response(gzip.compress(SUCCESS), Content_Encoding="gzip"), keep=True),
        DELIVERED,
    ),
    "gzip that is invalid": (
        sends(response(b"\x1f\x8bxx", Content_Encoding="gzip"), keep=True),
        FAILED,
    ),
    "a gzip bomb": (
        sends(response(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"), keep=True),
        FAILED,
    ),
    "HTTP/1.0": (sends(b"HTTP/1.0 200 OK\r\n\r\n" + SUCCESS), DELIVERED),
    "a success without a length or an end": (succeeds_without_end, DELIVERED),
    "a transfer coding without an end": (
        sends(plain(SUCCESS, b"Content-Length: 22", b"Transfer-Encoding: identity"), keep=True),
        DELIVERED,
    ),
    "a transfer coding that was not requested": (
        sends(plain(gzip.compress(SUCCESS), b"Transfer-Encoding: gzip")),
        FAILED,
    ),
    "HTTP/0.9": (sends(SUCCESS), FAILED),
    "garbage": (sends(bytes(range(256))), FAILED),
    "an invalid status": (sends(b"HTTP/1.1 2000 OK\r\n\r\n"), FAILED),
    "no bytes at all": (sends(b""), OVERLOADED),
    "TLS where plain HTTP was expected": (sends(b"\x15\x03\x01\x00\x02\x02\x50"), FAILED),
    "hangs": (hang, OVERLOADED),
    "resets": (reset, OVERLOADED),
    "success after the timeout": (succeeds_late, OVERLOADED),
    "keeps the connection, then resets": (keeps_alive_then_resets, DELIVERED),
    "redirects to itself": (
        sends(response(b"", "307 Temporary Redirect", Location="/point-records"), keep=True),
        FAILED,
    ),
    "a byte-order mark": (sends(response(b"\xef\xbb\xbf" + SUCCESS), keep=True), DELIVERED),
    "UTF-16": (sends(response(SUCCESS.decode().encode("utf-16")), keep=True), DELIVERED),
    **{
        status: (sends(response(b'{"message": "no"}', status), keep=True), kind)
        for status, kind in {
            "408 Request Timeout": OVERLOADED,
            "409 Conflict": FAILED,
            "418 I'm a teapot": FAILED,
            "425 Too Early": OVERLOADED,
            "507 Insufficient Storage": FAILED,
            "999 ": FAILED,
        }.items()
    },
}


@contextmanager
def configured(variables: dict[str, str], url: str, timeouts: dict[str, str]) -> Iterator[None]:
    """Configure the service to call the legacy at ``url``."""
    changes = {"LEGACY_URL": url, "LIMIT_MAX": "12", **timeouts}
    with wired(variables | changes):
        yield


@pytest.mark.parametrize("fault", FAULTS)
def test_every_record_is_delivered_once_the_legacy_is_repaired(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str, fault: str
) -> None:
    misbehave, kind = FAULTS[fault]
    ids = fill(dynamodb, table, RECORDS)
    service.replicate()
    with RawLegacy(misbehave).running() as legacy:
        with configured(
            variables, legacy.url, SHORT_TIMEOUTS if kind == OVERLOADED else LONG_TIMEOUTS
        ):
            service.integrate()
        assert_not_stuck(service)
        logs = service.rows("SELECT status, attempt, log FROM integration_log WHERE attempt > 0")
        attempts = service.rows("SELECT max(attempts), sum(overloads) FROM point_record")
        if kind == DELIVERED:
            assert service.statuses() == {"INTEGRATED": len(ids)}, logs
        else:
            assert {status for status, _, _ in logs} == {"ERROR"}, logs
            assert all(log and len(log) <= 8_000 for _, _, log in logs), logs
            ((max_attempts, overloads),) = attempts
            assert (max_attempts, overloads > 0) == (0, True), logs
        legacy.repair()
        with configured(variables, legacy.url, LONG_TIMEOUTS):
            for _ in range(2):
                service.advance_time(WEEK_S)
                service.integrate()
        assert service.statuses() == {"INTEGRATED": len(ids)}
        if kind in (FAILED, OVERLOADED):
            assert legacy.accepted == set(ids)
        assert_not_stuck(service)
    wait_until(lambda: not call_pool_threads(), 5)


def test_unknown_host_name_uses_up_no_attempts_and_the_records_wait(
    service: Service, variables: dict[str, str], dynamodb: Any, table: str
) -> None:
    ids = fill(dynamodb, table, RECORDS)
    service.replicate()
    with configured(variables, "http://legacy.invalid/point-records", SHORT_TIMEOUTS):
        service.integrate()
    assert_not_stuck(service)
    assert set(service.statuses()) <= {"ERROR", "AWAITING"}
    ((max_attempts,),) = service.rows("SELECT max(attempts) FROM point_record")
    assert max_attempts == 0
    ((log,),) = service.rows("SELECT DISTINCT log FROM integration_log WHERE attempt > 0")
    assert log == "No response: the host name was not resolved"
    with (
        RawLegacy(sends(b"")).running() as legacy,
        configured(variables, legacy.url, LONG_TIMEOUTS),
    ):
        legacy.repair()
        service.advance_time(WEEK_S)
        service.integrate()
        assert legacy.accepted == set(ids)
    assert service.statuses() == {"INTEGRATED": len(ids)}
