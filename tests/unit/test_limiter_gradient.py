"""The limit when the work has become slower, between two probes; and windows that do not end."""

from collections.abc import Callable

from bench.legacies.client import Clock, simulate
from bench.legacies.models import Response
from chalicelib.integrator.limiter import adaptive
from chalicelib.integrator.limiter.sample_window import SampleWindow

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


def test_latency_that_falls_with_the_limit_is_a_queue() -> None:
    def latency_s(limit: float) -> float:
        return BASE_S * max(1.0, limit / 8)

    assert least_limit(latency_s, windows=8) < 14


def test_window_ends_although_its_calls_do_not() -> None:
    """Slots of failed calls made the limit reached when the calls were sent, and are free since."""
    window = SampleWindow(limit=2, size=4, full=1.6, now=0.0)
    for number in range(5):
        window.on_start(occupied=2, now=number)  # one call in flight, one slot reserved
    ended = [window.on_result(True, 0.1, occupied=1, sent_at=number) for number in range(5)]
    assert not any(ended)
    later = [window.on_result(True, 0.1, occupied=2, sent_at=5 + number) for number in range(50)]
    assert later.index(True) == 40
    assert window.ended == 0
