"""The classic limiter, on a fake clock."""

import pytest

from chalicelib.integrator.limiter import classic
from chalicelib.integrator.limiter.protocol import Limiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def start_calls(limiter: Limiter, in_flight: int) -> int:
    """Start calls until the limit is reached; return how many are in flight."""
    while in_flight < int(limiter.limit):
        in_flight += 1
        limiter.on_start()
    return in_flight


def test_classic_follows_its_documented_trace() -> None:
    limiter = classic(Clock())
    assert limiter.limit == 6
    for _ in range(6):
        limiter.on_start()
    assert limiter.limit == pytest.approx(6.09, abs=1e-12)
    limiter.on_result(ok=True, latency_s=0.1, inflight=6)
    limiter.on_start()
    assert limiter.limit == pytest.approx(6.18135, abs=1e-12)
    for _ in range(2):
        limiter.on_result(ok=False, latency_s=0.1, inflight=6)
    assert limiter.recent_failures == 2
    start_calls(limiter, in_flight=4)
    assert limiter.limit == pytest.approx(5.563215, abs=1e-12)
    assert limiter.recent_failures == 0


def test_classic_limit_is_unchanged_before_it_is_reached() -> None:
    limiter = classic(Clock())
    for _ in range(5):
        limiter.on_start()
    for _ in range(5):
        limiter.on_result(ok=False, latency_s=0.1, inflight=5)
    assert limiter.limit == 6


def test_classic_limit_stays_within_its_bounds() -> None:
    limiter = classic(Clock(), max_limit=8)
    for _ in range(100):
        in_flight = start_calls(limiter, 0)
        for _ in range(in_flight):
            limiter.on_result(ok=True, latency_s=0.1, inflight=in_flight)
    assert limiter.limit == 8
    for _ in range(100):
        in_flight = max(1, int(limiter.limit))
        for _ in range(in_flight):
            limiter.on_start()
        for _ in range(in_flight):
            limiter.on_result(ok=False, latency_s=0.1, inflight=in_flight)
    assert limiter.limit == 1


def test_classic_waits_for_the_longest_retry_after() -> None:
    clock = Clock()
    limiter = classic(clock)
    clock.now = 10.0
    limiter.on_retry_after(3.0)
    limiter.on_retry_after(1.0)
    assert limiter.not_before == 13.0


def test_classic_snapshot_restores_the_limit() -> None:
    limiter = classic(Clock())
    for _ in range(6):
        limiter.on_start()
    successor = classic(Clock())
    successor.restore(limiter.snapshot())
    assert successor.limit == limiter.limit != classic(Clock()).limit
