"""The limit, on a clock of its own."""

import pytest

from chalicelib.integrator.limiter import classic


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(limiter, open_calls: int) -> int:
    """Start calls until the limit is reached; return how many are open."""
    while open_calls < int(limiter.limit):
        open_calls += 1
        limiter.on_start()
    return open_calls


def test_classic_traces_its_rule_to_the_digit() -> None:
    limiter = classic(Clock())
    assert limiter.limit == 6
    open_calls = 0
    for _ in range(6):
        limiter.on_start()
    assert limiter.limit == pytest.approx(6.09, abs=1e-12)
    limiter.on_result(ok=True, latency_s=0.1, inflight=6)
    limiter.on_start()
    assert limiter.limit == pytest.approx(6.18135, abs=1e-12)
    for _ in range(2):
        limiter.on_result(ok=False, latency_s=0.1, inflight=6)
    assert limiter.recent_failures == 2
    open_calls = 4
    while open_calls < 6:
        open_calls += 1
        limiter.on_start()
    assert limiter.limit == pytest.approx(5.563215, abs=1e-12)
    assert limiter.recent_failures == 0


def test_classic_is_not_judged_before_it_is_reached() -> None:
    limiter = classic(Clock())
    for _ in range(5):
        limiter.on_start()
    for _ in range(5):
        limiter.on_result(ok=False, latency_s=0.1, inflight=5)
    assert limiter.limit == 6


def test_classic_stays_within_its_bounds() -> None:
    limiter = classic(Clock(), most=8)
    for _ in range(100):
        open_calls = fill(limiter, 0)
        for _ in range(open_calls):
            limiter.on_result(ok=True, latency_s=0.1, inflight=open_calls)
    assert limiter.limit == 8
    for _ in range(100):
        open_calls = max(1, int(limiter.limit))
        for _ in range(open_calls):
            limiter.on_start()
        for _ in range(open_calls):
            limiter.on_result(ok=False, latency_s=0.1, inflight=open_calls)
    assert limiter.limit == 1


def test_classic_waits_as_the_legacy_asks() -> None:
    clock = Clock()
    limiter = classic(clock)
    clock.now = 10.0
    limiter.on_retry_after(3.0)
    limiter.on_retry_after(1.0)
    assert limiter.not_before == 13.0


def test_classic_goes_on_where_it_was() -> None:
    limiter = classic(Clock())
    for _ in range(6):
        limiter.on_start()
    other = classic(Clock())
    other.restore(limiter.snapshot())
    assert other.limit == limiter.limit
