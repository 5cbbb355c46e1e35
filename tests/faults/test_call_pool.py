"""The call pool alone: its connections, its waiting, and calls that cannot be judged."""

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chalicelib.integrator.call_pool import CallPool
from chalicelib.integrator.call_thread import FinishedCall, StartedCall
from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.libcurl.call_steps import Call
from chalicelib.integrator.outcome import Outcome
from chalicelib.integrator.transfers import Transfers
from chalicelib.postgres.claims import Claimed
from tests.support.call_pool import call_pool_threads
from tests.support.credentials import credentials_of
from tests.support.http_server import HttpServer, Request, Response
from tests.support.raw_legacy import RawLegacy, response
from tests.support.waiting import wait_until


@contextmanager
def call_pool(legacy: RawLegacy) -> Iterator[CallPool]:
    pool = CallPool(LegacyEndpoint(legacy.url, 3.0, 10.0, 15.0))
    try:
        yield pool
    finally:
        pool.close()


def send(pool: CallPool, key: str) -> None:
    pool.send(Claimed(key, b"{}", 0, 0), time.monotonic())


def collect(pool: CallPool, count: int) -> list[FinishedCall]:
    calls: list[FinishedCall] = []
    deadline = time.monotonic() + 20
    while len(calls) < count and time.monotonic() < deadline:
        calls += pool.collect(0.1)
    return calls


@pytest.mark.parametrize("has_epoll", [True, False])
def test_pool_keeps_its_connections_between_calls(
    monkeypatch: pytest.MonkeyPatch, has_epoll: bool
) -> None:
    if not has_epoll:
        monkeypatch.delattr(select, "epoll")
    legacy = RawLegacy(lambda _: False)
    legacy.repair()
    with legacy.running(), call_pool(legacy) as pool:
        for turn in range(30):
            for number in range(2):
                send(pool, f"{turn}-{number}")
            assert {each.result.outcome for each in collect(pool, 2)} == {Outcome.DELIVERED}
        # More than two if this machine was so slow that a call seemed to starve.
        assert legacy.connections < 10
        assert not pool.in_flight


@pytest.mark.parametrize("idle_s", [0.1, 1.5])
def test_second_response_is_not_taken_for_that_of_the_next_request(idle_s: float) -> None:
    responses = iter([response()])

    def respond(peer: socket.socket) -> bool:
        for first in responses:
            peer.sendall(first)
            time.sleep(0.05)  # else libcurl reads both at once, and discards the second
            peer.sendall(response())
            return True
        peer.sendall(response(b"{}", "422 Unprocessable"))
        return True

    with RawLegacy(respond).running() as legacy, call_pool(legacy) as pool:
        send(pool, "first")
        assert [each.result.outcome for each in collect(pool, 1)] == [Outcome.DELIVERED]
        time.sleep(idle_s)
        send(pool, "second")
        assert [each.result.outcome for each in collect(pool, 1)] == [Outcome.REFUSED]


def test_internal_error_in_a_call_fails_no_other_call(monkeypatch: pytest.MonkeyPatch) -> None:
    call = LegacyConnection.call

    def fail_once(connection: LegacyConnection, record_id: str, record: bytes) -> Call:
        monkeypatch.setattr(LegacyConnection, "call", call)
        yield from call(connection, record_id, record)
        raise ValueError("a bug")

    monkeypatch.setattr(LegacyConnection, "call", fail_once)
    legacy = RawLegacy(lambda _: False)
    legacy.repair()
    with legacy.running(), call_pool(legacy) as pool:
        for number in range(3):
            send(pool, f"{number}")
        outcomes = [each.result.outcome for each in collect(pool, 3)]
        assert sorted(outcomes) == [Outcome.DELIVERED, Outcome.DELIVERED, Outcome.FAILED]
        assert not pool.in_flight


def test_record_that_cannot_be_sent_fails_no_other_call() -> None:
    legacy = RawLegacy(lambda _: False)
    legacy.repair()
    with legacy.running(), call_pool(legacy) as pool:
        pool.send(Claimed("bad", None, 0, 0), time.monotonic())  # type: ignore[arg-type]
        send(pool, "good")
        outcomes = {each.record.id: each.result.outcome for each in collect(pool, 2)}
        assert outcomes == {"bad": Outcome.FAILED, "good": Outcome.DELIVERED}


def test_wake_ends_the_wait_from_another_thread_and_is_harmless_after_close() -> None:
    with RawLegacy(lambda _: False).running() as legacy, call_pool(legacy) as pool:
        started = time.monotonic()
        threading.Thread(target=pool.wake).start()
        assert pool.collect(20) == []
        assert time.monotonic() - started < 10
        pool.close()
        pool.wake()


def test_close_aborts_the_calls_in_flight() -> None:
    aborted = threading.Event()

    def wait_for_the_end(peer: socket.socket) -> bool:
        peer.settimeout(20)
        if not peer.recv(1):
            aborted.set()
        return False

    with RawLegacy(wait_for_the_end).running() as legacy, call_pool(legacy) as pool:
        send(pool, "a-key")
        assert pool.collect(0.2) == []
        pool.close()
        assert aborted.wait(20)


def test_call_that_waited_too_long_for_its_thread_is_not_sent() -> None:
    legacy = RawLegacy(lambda _: False)
    legacy.repair()
    with legacy.running(), call_pool(legacy) as pool:
        pool.send(Claimed("late", b"{}", 0, 0), time.monotonic() - 1.1)
        send(pool, "punctual")
        outcomes = {each.record.id: each.result.outcome for each in collect(pool, 2)}
        assert outcomes == {"late": Outcome.OVERLOADED, "punctual": Outcome.DELIVERED}
        assert legacy.accepted == {"punctual"}


def test_many_calls_are_shared_among_few_threads() -> None:
    with RawLegacy(lambda _: True).running() as legacy, call_pool(legacy) as pool:
        for number in range(200):
            send(pool, f"{number}")
        assert 1 < len(call_pool_threads()) <= 4
        pool.close()
        wait_until(lambda: not call_pool_threads(), 5)


def test_calls_of_a_thread_that_breaks_all_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are handed over while it closes its connections."""
    closes, may_close = threading.Event(), threading.Event()
    close = Transfers.close

    def close_slowly(transfers: Transfers) -> None:
        closes.set()
        may_close.wait(20)
        close(transfers)

    def break_down(*_: object) -> list[object]:
        raise ValueError("a bug")

    with RawLegacy(lambda _: True).running() as legacy, call_pool(legacy) as pool:
        send(pool, "open")
        wait_until(lambda: bool(legacy.keys), 5)
        monkeypatch.setattr(Transfers, "close", close_slowly)
        monkeypatch.setattr(Transfers, "_ended", break_down)
        send(pool, "queued")
        assert closes.wait(20)
        monkeypatch.undo()
        [thread] = pool._threads
        thread.send(StartedCall(Claimed("late", b"{}", 0, 0), time.monotonic(), 3))
        pool.in_flight["late"] = Claimed("late", b"{}", 0, 0)
        legacy.repair()
        send(pool, "next")  # in another thread
        may_close.set()
        outcomes = {each.record.id: each.result.outcome for each in collect(pool, 4)}
        failed = dict.fromkeys(("open", "queued", "late"), Outcome.FAILED)
        assert outcomes == failed | {"next": Outcome.DELIVERED}


def test_files_that_the_system_refuses_use_up_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    with RawLegacy(lambda _: False).running() as legacy, call_pool(legacy) as pool:
        monkeypatch.setattr(os, "pipe", refuse)
        send(pool, "a-key")
        monkeypatch.undo()
        [call] = collect(pool, 1)
        assert call.result.outcome is Outcome.OVERLOADED
        assert not pool.in_flight


def test_threads_that_the_system_refuses_use_up_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with RawLegacy(lambda _: False).running() as legacy, call_pool(legacy) as pool:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        send(pool, "a-key")
        monkeypatch.undo()
        [call] = collect(pool, 1)
        assert call.result.outcome is Outcome.OVERLOADED
        assert not pool.in_flight


def test_call_that_waits_for_a_token_holds_up_no_other() -> None:
    """One record is refused by 401, so that a token is requested, which takes a while."""
    tokens: list[float] = []

    def issue(_: Request) -> Response:
        tokens.append(time.monotonic())
        time.sleep(2.0 if len(tokens) > 1 else 0.0)
        return Response(body=b'{"access_token": "t%d"}' % len(tokens))

    def respond(request: Request) -> Response:
        if request.headers["Idempotency-Key"] == "refused" and len(tokens) < 2:
            return Response(401)
        time.sleep(0.6)
        return Response()

    with HttpServer(issue).running() as issuer, HttpServer(respond).running() as server:
        environ = {
            "LEGACY_AUTH": "oauth2",
            "LEGACY_TOKEN_URL": issuer.url,
            "LEGACY_CLIENT_ID": "punch-clock",
            "LEGACY_CLIENT_SECRET": "s3cret",
        }
        endpoint = LegacyEndpoint(server.url, 3.0, 10.0, 15.0, credentials=credentials_of(environ))
        pool = CallPool(endpoint)
        try:
            for number in range(10):
                send(pool, f"good-{number}")
            wait_until(lambda: len(server.requests) == 10)
            send(pool, "refused")
            calls = collect(pool, 11)
        finally:
            pool.close()
    assert {each.result.outcome for each in calls} == {Outcome.DELIVERED}
    assert [each.record.id for each in calls[10:]] == ["refused"]
    assert max(each.result.latency_s for each in calls[:10]) < 1.5
