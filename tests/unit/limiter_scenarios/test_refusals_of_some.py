"""A Retry-After that concerns some calls only does not idle the legacy."""

import random

import pytest

from bench.legacies.client import Trace
from bench.legacies.models import (
    RateLimited,
    Response,
    WithOutages,
    WorkerPool,
    retry_after,
)
from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.integrator.limiter.rate_estimator import RateEstimator
from chalicelib.integrator.limiter.refusal_scope import RefusalScope
from chalicelib.integrator.limiter.state import LearnedState
from tests.support.limiter_runs import run

pytestmark = pytest.mark.slow

CAPACITY = 200  # calls/s of 20 workers at 0.1 s
UNTIL = 300.0


def refusing_some(share: float, seconds: float, until: float) -> Trace:
    """Refuse a share of the calls at random with a Retry-After, whatever their rate."""
    pool, rng = WorkerPool(20, 0.1, 40), random.Random(4)
    refusal = retry_after(seconds)

    def legacy(now: float) -> Response:
        return refusal if rng.random() < share else pool(now)

    return run(legacy, until)


@pytest.mark.parametrize(("share", "seconds"), [(0.02, 60.0), (0.1, 10.0), (0.33, 1.0)])
def test_retry_after_of_some_calls_does_not_idle_the_legacy(share: float, seconds: float) -> None:
    """Such as a broken node behind a balancer, or a limit for each employee."""
    until = 60 + 8 * seconds
    trace = refusing_some(share, seconds, until)
    assert trace.delivered(until - 20, until) > 0.8 * CAPACITY * 20
    if share <= 0.1:
        assert len(trace.failed_at) < 1.3 * share / (1 - share) * len(trace.ok_at)


@pytest.mark.parametrize("share", [pytest.param(0.02, marks=pytest.mark.soak), 0.1])
@pytest.mark.parametrize(
    ("seconds", "until"),
    [
        (90.0, 1_800),
        *(pytest.param(pause, 3_600, marks=pytest.mark.soak) for pause in (90.0, 300.0)),
    ],
)
def test_retry_after_of_minutes_of_some_calls_idles_the_legacy_for_one(
    seconds: float, until: int, share: float
) -> None:
    """Runs of a quarter of an hour, as on AWS; each has to find out whom a refusal concerns."""
    pool, rng = WorkerPool(20, 0.1, 40), random.Random(4)
    refusal = retry_after(seconds)
    trace = run(lambda now: refusal if rng.random() < share else pool(now), until, cycle_s=900)
    assert trace.delivered(0, until) > 0.3 * CAPACITY * until


@pytest.mark.parametrize("seconds", [1.0, 5.0, 30.0])
def test_retry_after_of_all_calls_is_hardly_ever_cut_short(seconds: float) -> None:
    legacy = WithOutages(WorkerPool(20, 0.1, 40), [(10.0, 250.0, retry_after(seconds))])
    trace = run(legacy, UNTIL)
    assert trace.failed(12.0, 250.0) <= 1.2 * 240.0 / seconds + 8
    assert trace.delivered(290.0, 300.0) > 0.9 * CAPACITY * 10


def test_bucket_with_a_long_retry_after_is_used_as_soon_as_it_fills() -> None:
    trace = run(RateLimited(WorkerPool(20, 0.1, 40), 50, 50, 30.0), UNTIL)
    assert trace.delivered(100, 300) > 0.8 * 50 * 200
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


def test_early_calls_become_rare_if_the_pauses_hold() -> None:
    learned = LearnedState(rate=5.0, rate_doubling_s=1e6)
    rate = RateEstimator(Parameters(), learned, 0.0)
    scope = RefusalScope(learned, rate, 0.0)
    early, now = [], 0.0
    for pause in range(64):
        learned.rate, learned.rate_age_s = 5.0, 0.0
        rate.on_start(now)
        scope.on_refusal(now + 0.01, now, 10.0)
        if scope.early_call_at < rate.not_before:
            early.append(pause)
            now = scope.early_call_at
            assert scope.on_start(now)
            scope.on_refusal(now + 0.01, now, 10.0)
        now = rate.not_before
    assert early[:3] == [0, 2, 6]
    assert len(early) < 16
