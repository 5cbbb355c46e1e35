"""The classic rule, judged by window."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from bench.legacies.client import Clock, drive
from bench.legacies.models import Noisy, Workers
from chalicelib.integrator.limit.windowed import Windowed, WindowedParameters
from chalicelib.integrator.limiter import windowed

CLASSIC = WindowedParameters()


def after(limiter: Windowed, calls: int, failures: int = 0, latency_s: float = 0.1) -> float:
    """Open and end so many calls, the first of them failing; return the limit after them."""
    for _ in range(calls):
        limiter.on_start()
    for number in range(calls):
        limiter.on_result(number >= failures, latency_s, number < failures, calls)
    return limiter.limit


def of(parameters: WindowedParameters = CLASSIC, most: float = 1_000.0) -> Windowed:
    return Windowed(Clock(), most=most, parameters=parameters)


def test_a_good_window_grows_it_and_a_failure_shrinks_it() -> None:
    limiter = of()
    assert after(limiter, 6) == pytest.approx(6 * 1.015)
    assert after(limiter, 7, failures=1) == pytest.approx(6 * 1.015 * 0.9)
    assert limiter.recent_failures == 0


def test_a_limit_that_was_not_reached_is_not_judged() -> None:
    limiter = of()
    for _ in range(10):
        assert after(limiter, 5) == 6.0
    assert after(limiter, 6) > 6.0


def test_a_share_of_failures_is_tolerated() -> None:
    tolerant = replace(CLASSIC, initial=20.0, tolerated=0.1)
    assert after(of(tolerant), 20, failures=2) > 20
    assert after(of(tolerant), 20, failures=3) < 20


def test_slow_calls_are_as_bad_as_failures_until_they_are_usual() -> None:
    limiter = of(replace(CLASSIC, slow=2.0, usual_rises=0.3))
    after(limiter, 6)
    limits = [after(limiter, 10, latency_s=0.3) for _ in range(10)]
    assert limits[0] < 6.0
    assert limits[-1] > limits[-2]


def test_it_stays_within_its_bounds() -> None:
    limiter = of(most=8.0)
    for _ in range(100):
        after(limiter, 8)
    assert limiter.limit == 8.0
    for _ in range(100):
        after(limiter, 8, failures=8)
    assert limiter.limit == 1.0


def test_evolved_numbers_find_the_legacy_that_the_classic_ones_do_not() -> None:
    """In a minute of 2 % noise, and where there are many workers."""

    def accepted(limiter: Windowed, clock: Clock, legacy: Any) -> int:
        return len(drive(legacy, limiter, clock, 60).ok_at)

    for legacy in (
        lambda: Noisy(Workers(20, 0.2, queue=20), 0.02),
        lambda: Workers(100, 0.1, queue=50),
    ):
        clocks = Clock(), Clock()
        classical = Windowed(clocks[0], most=1_000.0, parameters=CLASSIC)
        assert accepted(windowed(clocks[1]), clocks[1], legacy()) > 1.2 * accepted(
            classical, clocks[0], legacy()
        )


def test_what_is_learned_goes_from_run_to_run() -> None:
    limiter = of()
    after(limiter, 6)
    other = of()
    other.restore(json.loads(json.dumps(limiter.snapshot())))
    assert other.snapshot() == limiter.snapshot()


@pytest.mark.parametrize("garbage", [None, [], {}, {"limit": None}, {"limit": math.nan}, "x"])
def test_garbage_is_no_state(garbage: object) -> None:
    limiter = of()
    limiter.restore(garbage)
    assert limiter.snapshot() == of().snapshot()


def test_it_waits_as_the_legacy_asks_but_no_longer_than_a_minute() -> None:
    limiter = of()
    limiter.on_retry_after(5.0)
    assert limiter.not_before == 5.0
    limiter.on_retry_after(7_200.0)
    assert limiter.not_before == 60.0
