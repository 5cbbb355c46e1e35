"""The pool by itself: how many connections it opens, and what becomes of calls without a thread."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chalicelib.integrator import call_pool
from chalicelib.integrator.call_pool import Senders, Sent
from chalicelib.integrator.legacy_client import Legacy
from chalicelib.integrator.outcome import Outcome
from chalicelib.postgres.claims import Claimed
from tests.support.raw_legacy import RawLegacy, response


@contextmanager
def pool(legacy: RawLegacy) -> Iterator[Senders]:
    made = Senders(Legacy(legacy.url, 3.0, 10.0, 15.0))
    try:
        yield made
    finally:
        made.close()
        gives_up_at = time.monotonic() + 20
        while any("senders" in str(getattr(each, "_target", "")) for each in threading.enumerate()):
            assert time.monotonic() < gives_up_at
            time.sleep(0.01)


def send(pool: Senders, key: str) -> None:
    pool.send(Claimed(key, b"{}", 0, 0), time.monotonic())


def wait_for(pool: Senders, count: int) -> list[Sent]:
    ended: list[Sent] = []
    gives_up_at = time.monotonic() + 20
    while len(ended) < count and time.monotonic() < gives_up_at:
        ended += pool.ended(0.1)
    return ended


def test_no_more_connections_than_calls_were_open_at_once() -> None:
    legacy = RawLegacy(lambda _: False)
    legacy.repair()
    with legacy.running(), pool(legacy) as found:
        found.prepare(20)
        for turn in range(30):
            for number in range(2):
                send(found, f"{turn}-{number}")
            assert {each.reply.outcome for each in wait_for(found, 2)} == {Outcome.DELIVERED}
        assert legacy.connections == 2


def test_a_call_that_finds_no_thread_in_time_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_pool, "_LATEST_S", 0.1)
    start, made = threading.Thread.start, []

    def scarce(thread: threading.Thread) -> None:
        if "_work" in str(getattr(thread, "_target", "")):
            if made:
                raise RuntimeError("can't start new thread")
            made.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    may_answer = threading.Event()

    def hold(connection: socket.socket) -> bool:
        assert may_answer.wait(20)
        connection.sendall(response())
        return True

    legacy = RawLegacy(hold)
    with legacy.running(), pool(legacy) as found:
        send(found, "first")
        send(found, "second")
        assert found.ended(0.5) == []
        may_answer.set()
        outcomes = {each.record.id: each.reply.outcome for each in wait_for(found, 2)}
    assert outcomes == {"first": Outcome.DELIVERED, "second": Outcome.OVERLOADED}
    assert legacy.keys == ["first"]
    assert not found.in_flight
