"""The adaptive limiter against simulated legacies: bands are shares of the legacy's capacity."""

import json
import math
from statistics import fmean, pstdev

import pytest

from bench.legacies.client import Clock, simulate
from bench.legacies.models import (
    BUSY,
    HANGS,
    NETWORK_S,
    REFUSED,
    Legacy,
    RateLimited,
    Response,
    Thrashing,
    WithOutages,
    WithRandomFailures,
    WorkerPool,
    exponential,
    lognormal,
)
from chalicelib.integrator.limiter import adaptive, classic
from tests.support.limiter_runs import run

pytestmark = pytest.mark.slow


def delayed(legacy: Legacy, offset_s: float) -> Legacy:
    """Return a legacy for a clock that starts later."""
    return lambda now: legacy(now + offset_s)


def test_cold_start_reaches_a_hundred_calls_within_three_seconds() -> None:
    trace = run(WorkerPool(100, 0.1, queue=50), 30)
    assert trace.delivered(3, 30) > 0.93 * 1_000 * 27
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


def test_cold_start_on_four_workers_causes_few_failures() -> None:
    trace = run(WorkerPool(4, 0.2, queue=4), 60)
    assert trace.delivered(0, 60) > 0.9 * 20 * 60
    assert len(trace.failed_at) < 0.03 * len(trace.ok_at)


def test_limit_stays_near_the_knee_of_a_legacy_that_thrashes() -> None:
    trace = run(Thrashing(0.1, knee=20), 60)
    best = 20 / (NETWORK_S + 0.1 * 2)
    assert trace.delivered(5, 60) > 0.92 * best * 55
    assert max(limit for at, limit in trace.limits if at > 10) < 50


@pytest.mark.parametrize("cycle_s", [pytest.param(0, marks=pytest.mark.soak), 60])
def test_limit_does_not_drift_from_the_knee_of_a_legacy_that_thrashes(cycle_s: float) -> None:
    """Uncertain probes raised the base latency, and with it the limit, to 1.4 times the knee."""
    traces = [run(Thrashing(0.1, 40, 0.01, seed), 240, cycle_s) for seed in range(1, 7)]
    late = [limit for trace in traces for at, limit in trace.limits if at >= 120]
    assert 0.8 * 40 < fmean(late) < 1.25 * 40


def test_random_failures_seldom_delay_a_cold_start() -> None:
    """Chance decides whether some of the first calls fail; then they may be taken for load."""
    traces = [
        run(WithRandomFailures(WorkerPool(100, 0.5, 100, seed, exponential), 0.08, seed), 60)
        for seed in range(1, 13)
    ]
    delivered = fmean(trace.delivered(0, 60) for trace in traces)
    assert delivered > 0.8 * 200 * 0.92 * 60


def test_limit_does_not_swing_around_the_knee_if_latencies_have_a_heavy_tail() -> None:
    """Waiting adds little to the mean of their latencies, but multiplies their geometric mean."""
    traces = [run(WorkerPool(90, 0.3, 90, seed, lognormal(1.45)), 120) for seed in (1, 2, 3)]
    logs = [[math.log(limit) for at, limit in trace.limits if at > 20] for trace in traces]
    assert fmean(pstdev(each) for each in logs) < 0.13
    assert fmean(trace.delivered(20, 120) for trace in traces) > 0.96 * 100 * 300


def test_random_failures_do_not_lower_the_throughput() -> None:
    legacy = WithRandomFailures(WorkerPool(20, 0.2, queue=20), share=0.02, seed=3)
    assert run(legacy, 60).delivered(5, 60) > 0.91 * 100 * 55


def test_limit_follows_capacity_steps_up_and_down() -> None:
    pool = WorkerPool(10, 0.2, queue=15)

    def stepping(now: float) -> Response:
        pool.resize(40 if 30 <= now < 60 else 10, now)
        return pool(now)

    trace = run(stepping, 90)
    assert trace.delivered(40, 60) > 0.9 * 200 * 20
    assert trace.delivered(63, 90) > 0.9 * 50 * 27
    assert trace.failed(63, 90) < 0.03 * 50 * 27


def test_slower_work_does_not_lower_the_limit() -> None:
    pool = WorkerPool(20, 0.2, queue=20)

    def slowing(now: float) -> Response:
        pool.mean_s = 0.6 if now >= 30 else 0.2
        return pool(now)

    assert run(slowing, 90).delivered(40, 90) > 0.88 * 20 / 0.6 * 50


@pytest.mark.parametrize("response", [BUSY, HANGS, REFUSED])
def test_outage_causes_few_calls_and_throughput_recovers_within_four_seconds(
    response: Response,
) -> None:
    trace = run(WithOutages(WorkerPool(20, 0.2, queue=20), [(20, 50, response)]), 80)
    assert len(trace.failed_at) < 100
    assert trace.delivered(54, 80) > 0.88 * 100 * 26


@pytest.mark.parametrize("retry_after_s", [1.0, 5.0])
def test_rate_limit_is_learned_and_kept(retry_after_s: float) -> None:
    legacy = RateLimited(WorkerPool(100, 0.08, queue=100), 40, 40, retry_after_s)
    trace = run(legacy, 120)
    assert trace.delivered(40, 120) > 0.85 * 40 * 80
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


def test_deep_queue_is_not_filled_until_calls_time_out() -> None:
    trace = run(WorkerPool(8, 2.0, queue=200), 240)
    assert trace.delivered(20, 240) > 0.88 * 4 * 220
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


def test_three_short_runs_with_snapshots_reach_the_capacity() -> None:
    pool = WorkerPool(20, 0.2, queue=20)
    snapshot: str | None = None
    delivered = 0
    for number in range(3):  # each run of a minute has its own clock
        clock = Clock()
        limiter = adaptive(clock)
        if snapshot:
            limiter.restore(json.loads(snapshot))
        trace = simulate(delayed(pool, number * 60.0), limiter, clock, 60)
        delivered += len(trace.ok_at)
        snapshot = json.dumps(limiter.snapshot())
    assert delivered / 180 > 0.92 * 100


def test_run_after_an_outage_sends_outage_probes_only() -> None:
    def unavailable(now: float) -> Response:
        return Response(0.03, ok=False)

    clock = Clock()
    limiter = adaptive(clock)
    simulate(unavailable, limiter, clock, 30)
    later = Clock()
    successor = adaptive(later)
    successor.restore(json.loads(json.dumps(limiter.snapshot())))
    trace = simulate(unavailable, successor, later, 30)
    assert 10 < len(trace.failed_at) < 19  # 1.5 s apart at first, and 5 % more each time


def test_adaptive_accepts_half_as_much_again_as_classic_on_a_thrashing_legacy() -> None:
    clock = Clock()
    classical = simulate(Thrashing(0.1, knee=20), classic(clock), clock, 60)
    assert len(run(Thrashing(0.1, knee=20), 60).ok_at) > 1.5 * len(classical.ok_at)
