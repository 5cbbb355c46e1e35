"""The limit from latencies: what windows and probes show, and how far a step goes."""

import math
from collections.abc import Callable, Sequence

import pytest

from bench.legacies.client import Clock, simulate
from bench.legacies.models import Response
from chalicelib.integrator.limiter import adaptive
from chalicelib.integrator.limiter.ceiling import Ceiling
from chalicelib.integrator.limiter.gradient import GradientLimit
from chalicelib.integrator.limiter.parameters import NO_CEILING, Parameters
from chalicelib.integrator.limiter.probe_evidence import add_probe, excess_relief
from chalicelib.integrator.limiter.sample_window import SampleWindow
from chalicelib.integrator.limiter.state import LearnedState
from chalicelib.integrator.limiter.steepness import Steepness

BASE_S = 0.1
LIMIT = 24.0


def least_limit(latency_s: Callable[[float], float], windows: int) -> float:
    """Return the lowest limit of a run whose latency depends on the limit only."""
    clock = Clock()
    limiter = adaptive(clock)
    steady = {"limit": LIMIT, "slow_start": 0.0, "base_calls": 50.0, "variance": 0.05}
    limiter.restore(limiter.snapshot() | steady)  # the base latency is 0.1 s

    def legacy(now: float) -> Response:
        del now
        return Response(latency_s(limiter.limit))

    trace = simulate(legacy, limiter, clock, until=windows * 4 * latency_s(LIMIT))
    return min(limit for _, limit in trace.limits)


def test_latency_that_does_not_fall_with_the_limit_is_the_new_base() -> None:
    """Each window lowers the limit, until it is clear that a lower limit brings no relief."""
    assert least_limit(lambda _: 3 * BASE_S, windows=8) > 0.25 * LIMIT


def test_latency_that_rises_by_chance_while_the_limit_falls_is_the_new_base() -> None:
    """Each window is slower by some thousandths, less than the error of its latency."""
    assert least_limit(lambda limit: 3 * BASE_S * (LIMIT / limit) ** 0.01, 8) > 0.25 * LIMIT


def test_latency_that_falls_with_the_limit_is_a_queue() -> None:
    def latency_s(limit: float) -> float:
        return BASE_S * max(1.0, limit / 8)

    assert least_limit(latency_s, windows=8) < 14


def test_window_ends_although_its_calls_do_not() -> None:
    """Slots of failed calls made the limit reached when the calls were sent, and are free since."""
    window = SampleWindow(limit=2, size=4, full=1.6, now=0.0)
    for number in range(5):
        window.on_start(occupied=2, now=number)  # one call in flight, one slot reserved
    ended = [window.on_result(True, 0.1, occupied=1, sent_at=number) for number in range(4)]
    assert not any(ended)  # the fifth may hang: later calls show that it is not worth waiting
    later = [window.on_result(True, 0.1, occupied=2, sent_at=5 + number) for number in range(50)]
    assert later.index(True) == 40
    assert window.ended == 0


def test_window_ends_with_its_last_call() -> None:
    """The calls are not sampled, since their limit was not reached any more."""
    window = SampleWindow(limit=2, size=4, full=1.6, now=0.0)
    for number in range(6):
        window.on_start(occupied=2, now=number)  # the sixth is sent later than the window
    ended = [window.on_result(True, 0.1, occupied=1, sent_at=number) for number in range(6)]
    assert ended == [False, False, False, False, True, True]
    assert window.ended == 0


def fill_window(gradient: GradientLimit, now: float, *, succeeds: bool) -> float:
    """Send the calls of a window one after another, from now on; return when the last one ends."""
    while True:
        window, sent_at = gradient.window, now
        window.on_start(window.limit, sent_at)
        now += 0.1
        if window.on_result(succeeds, 0.1, window.limit, sent_at):
            gradient.on_window(now)
            return now


def test_probe_whose_calls_fail_ends_with_the_limit_before_it() -> None:
    learned = LearnedState(limit=LIMIT, slow_start=False, base_calls=50.0, windows_since_probe=8)
    gradient = GradientLimit(Parameters(), learned, 1000.0, now=0.0)
    now = fill_window(gradient, 0.0, succeeds=True)
    assert learned.limit < LIMIT
    assert gradient.above_probe
    fill_window(gradient, now, succeeds=False)
    assert learned.limit == LIMIT
    assert not gradient.above_probe


def window(limit: int, latency_s: float) -> SampleWindow:
    """Return a window whose calls took ``latency_s``."""
    made = SampleWindow(limit, limit, 1, now=0.0)
    for number in range(limit):
        made.on_start(limit, number)
        made.on_result(True, latency_s, limit, number)
    return made


def test_relief_beyond_what_a_queue_shows() -> None:
    queue = excess_relief(window(50, 0.1), window(100, 0.2))
    assert queue == pytest.approx(0.4 * math.log(2))
    assert excess_relief(window(50, 0.1), window(100, 0.1)) < 0
    thrashing = excess_relief(window(50, 0.1), window(100, 0.3))
    assert thrashing > queue


def test_uncertain_probes_together_show_a_queue() -> None:
    learned = LearnedState()
    assert [add_probe(learned, 0.05, 0.08) for _ in range(5)] == [False, False, True, True, True]


@pytest.mark.parametrize("excess", [0.05, -0.05])
def test_probe_that_contradicts_the_earlier_ones_replaces_them(excess: float) -> None:
    learned = LearnedState()
    for _ in range(10):
        add_probe(learned, excess, 0.08)
    add_probe(learned, -4 * excess, 0.08)
    assert learned.probe_excess == -4 * excess
    assert math.sqrt(learned.probe_variance) == pytest.approx(0.08)


def steepness(windows: Sequence[tuple[int, float]]) -> float:
    estimate = Steepness()
    for limit, latency_s in windows:
        estimate.add(window(limit, latency_s))
    return estimate.value


def test_steepness_is_one_where_the_throughput_is_constant() -> None:
    assert steepness([(n, n / 100) for n in (20, 30, 20, 30, 20, 30)]) == pytest.approx(1)


def test_steepness_is_that_of_the_windows() -> None:
    assert steepness([(n, n**2 / 1_000) for n in (20, 30) * 10]) == pytest.approx(2, abs=0.1)


def test_steepness_is_at_least_one_and_at_most_four() -> None:
    assert steepness([(20, 0.1), (30, 0.1)] * 5) == 1
    assert steepness([(n, n**9.0) for n in (2, 3, 2, 3) * 10]) <= 4


def test_windows_before_and_after_a_cut_are_not_compared() -> None:
    estimate = Steepness()
    estimate.add(window(40, 0.4))
    estimate.interrupt()
    estimate.add(window(20, 0.1))
    assert estimate.value == 1


def test_work_that_becomes_slower_is_not_steepness() -> None:
    assert steepness([(100, 0.1), (101, 1.0)]) < 1.1


def test_failures_are_forgotten_some_hundred_windows_after_the_ceiling_has_gone() -> None:
    learned = LearnedState(limit=40.0)
    ceiling = Ceiling(learned)
    ceiling.rise(0)
    assert not ceiling.was_met
    learned.ceiling = 36.0  # calls have failed
    windows = 0
    while learned.ceiling < NO_CEILING:
        ceiling.rise(0)
        windows += 1
        assert ceiling.was_met
    while ceiling.was_met:
        ceiling.rise(0)
        windows += 1
    assert 100 < windows < 500
