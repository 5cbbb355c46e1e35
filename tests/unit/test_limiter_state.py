"""The state that the adaptive limiter reports."""

from bench.legacies.client import Clock, simulate
from bench.legacies.models import (
    BUSY,
    Legacy,
    RateLimited,
    Response,
    WithOutages,
    WorkerPool,
)
from chalicelib.integrator.limiter import adaptive
from chalicelib.integrator.limiter.adaptive_limiter import AdaptiveLimiter
from chalicelib.integrator.limiter.state import LimiterState


def states(legacy: Legacy, until: float) -> list[LimiterState]:
    """Return each state of a run once, in the order of their first occurrence."""
    clock = Clock()
    limiter = adaptive(clock)
    seen: dict[LimiterState, None] = {}

    def observed(now: float) -> Response:
        seen[limiter.state] = None
        return legacy(now)

    simulate(observed, limiter, clock, until)
    return list(seen)


def fresh() -> tuple[Clock, AdaptiveLimiter]:
    clock = Clock()
    return clock, adaptive(clock)


def test_limiter_begins_in_slow_start_then_is_steady_and_probes() -> None:
    assert states(WorkerPool(20, 0.2, queue=100), 30) == [
        LimiterState.SLOW_START,
        LimiterState.STEADY,
        LimiterState.PROBE,
    ]


def test_failures_lead_to_a_tentative_cut() -> None:
    _, limiter = fresh()
    for number in range(14):
        limiter.on_start()
        limiter.on_result(ok=number % 2 == 0, latency_s=0.1, inflight=10)
    assert limiter.state is LimiterState.TENTATIVE_CUT


def test_outage_lasts_until_a_call_succeeds() -> None:
    outage = WithOutages(WorkerPool(20, 0.2, queue=100), [(0.0, 10.0, BUSY)])
    clock, limiter = fresh()
    seen = []
    for until in (5, 15):
        simulate(outage, limiter, clock, until)
        seen.append(limiter.state is LimiterState.OUTAGE)
    assert seen == [True, False]


def test_rate_limit_paces_the_calls() -> None:
    legacy = RateLimited(WorkerPool(100, 0.08, queue=100), rate=40, burst=40, retry_after_s=1)
    assert LimiterState.PACED in states(legacy, 10)


def test_pause_after_retry_after_is_paced_until_it_ends() -> None:
    clock, limiter = fresh()
    limiter.on_start()
    clock.now = 0.1
    limiter.on_retry_after(5.0)
    limiter.on_result(ok=False, latency_s=0.1, inflight=1)
    seen = [limiter.state]
    clock.now = 5.2
    seen.append(limiter.state)
    assert seen == [LimiterState.PACED, LimiterState.SLOW_START]
