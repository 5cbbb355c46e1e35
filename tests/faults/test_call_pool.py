"""The call pool alone: its connections, its waiting, and calls that cannot be judged."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chalicelib.integrator.call_pool import CallPool, FinishedCall
from chalicelib.integrator.legacy_client import LegacyConnection, LegacyEndpoint
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.postgres.claims import Claimed
from tests.support.raw_legacy import RawLegacy


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


def test_internal_error_in_a_call_fails_no_other_call(monkeypatch: pytest.MonkeyPatch) -> None:
    end = LegacyConnection.end

    def fail_once(connection: LegacyConnection, error: int) -> CallResult | None:
        monkeypatch.setattr(LegacyConnection, "end", end)
        raise ValueError("a bug")

    monkeypatch.setattr(LegacyConnection, "end", fail_once)
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
