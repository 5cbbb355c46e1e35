"""The call pool alone: its connections, its threads, and calls that get no thread."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chalicelib.integrator.call_pool import CallPool, FinishedCall
from chalicelib.integrator.legacy_client import LegacyEndpoint
from chalicelib.integrator.outcome import Outcome
from chalicelib.postgres.claims import Claimed
from tests.support.call_pool import call_pool_threads
from tests.support.raw_legacy import RawLegacy, response
from tests.support.waiting import wait_until


@contextmanager
def call_pool(legacy: RawLegacy, max_queue_s: float = 1.0) -> Iterator[CallPool]:
    pool = CallPool(LegacyEndpoint(legacy.url, 3.0, 10.0, 15.0), max_queue_s=max_queue_s)
    try:
        yield pool
    finally:
        pool.close()
        wait_until(lambda: not call_pool_threads(), 20)


def send(pool: CallPool, key: str) -> None:
    pool.send(Claimed(key, b"{}", 0, 0), time.monotonic())


def collect(pool: CallPool, count: int) -> list[FinishedCall]:
    calls: list[FinishedCall] = []
    deadline = time.monotonic() + 20
    while len(calls) < count and time.monotonic() < deadline:
        calls += pool.collect(0.1)
    return calls


def test_pool_opens_no_more_connections_than_calls_in_flight() -> None:
    legacy = RawLegacy(lambda _: False)
    legacy.repair()
    with legacy.running(), call_pool(legacy) as pool:
        pool.prepare(20)
        for turn in range(30):
            for number in range(2):
                send(pool, f"{turn}-{number}")
            assert {each.result.outcome for each in collect(pool, 2)} == {Outcome.DELIVERED}
        assert legacy.connections == 2


def test_pool_starts_the_prepared_threads_before_any_call() -> None:
    with RawLegacy(lambda _: False).running() as legacy, call_pool(legacy) as pool:
        pool.prepare(20)
        wait_until(lambda: call_pool_threads().count("call-pool-worker") == 20, 20)


def test_call_that_gets_no_thread_in_time_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    workers: list[threading.Thread] = []

    def start_one_worker_only(thread: threading.Thread) -> None:
        if thread.name == "call-pool-worker":
            if workers:
                raise RuntimeError("can't start new thread")
            workers.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one_worker_only)
    may_respond = threading.Event()

    def hold(peer: socket.socket) -> bool:
        assert may_respond.wait(20)
        peer.sendall(response())
        return True

    legacy = RawLegacy(hold)
    with legacy.running(), call_pool(legacy, max_queue_s=0.1) as pool:
        send(pool, "first")
        send(pool, "second")
        assert pool.collect(0.5) == []
        may_respond.set()
        outcomes = {each.record.id: each.result.outcome for each in collect(pool, 2)}
    assert len(workers) == 1
    assert outcomes == {"first": Outcome.DELIVERED, "second": Outcome.OVERLOADED}
    assert legacy.keys == ["first"]
    assert not pool.in_flight
