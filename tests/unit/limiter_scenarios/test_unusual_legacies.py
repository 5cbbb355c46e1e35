"""The adaptive limiter against legacies with unusual faults."""

import math
import random
from statistics import fmean

import pytest

from bench.legacies.client import Clock, Trace, simulate
from bench.legacies.models import (
    HANGS,
    Legacy,
    RateLimited,
    Response,
    ScheduledPool,
    Spread,
    Thrashing,
    WithOutages,
    WithRandomFailures,
    WithRefusedRecords,
    WorkerPool,
    exponential,
    pareto,
)
from chalicelib.integrator.limiter import adaptive
from tests.support.limiter_runs import run

pytestmark = pytest.mark.slow


def bimodal(rng: random.Random) -> float:
    """Nine calls of a third of the mean to one of seven times the mean."""
    return 7.0 if rng.random() < 0.1 else 1 / 3


@pytest.mark.parametrize("spread", [bimodal, pareto(1.3), exponential])
def test_spread_of_latencies_is_not_taken_for_a_queue(spread: Spread) -> None:
    trace = run(WorkerPool(20, 0.2, queue=40, spread=spread), 90)
    assert trace.delivered(5, 90) > 0.85 * 100 * 85
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


def test_stall_every_ten_seconds_does_not_lower_the_limit() -> None:
    pool = WorkerPool(20, 0.1, queue=20)

    def stalling(now: float) -> Response:
        stalled_s = max(0.0, now % 10 - 9)  # the last second of every ten
        wait_s = 1 - stalled_s if stalled_s else 0.0
        response = pool(now + wait_s)
        return response._replace(latency_s=response.latency_s + wait_s)

    trace = run(stalling, 120)
    assert trace.delivered(5, 120) > 0.85 * 200 * 115 * 0.9
    assert len(trace.failed_at) < 0.03 * len(trace.ok_at)


def test_limit_follows_a_drifting_capacity() -> None:
    pool = WorkerPool(25, 0.2, queue=15)

    def workers(now: float) -> int:
        return round(25 - 15 * math.cos(now / 15))

    def drifting(now: float) -> Response:
        pool.resize(workers(now), now)
        return pool(now)

    trace = run(drifting, 190)
    capacity = sum(workers(at) / 0.2 for at in range(5, 190))
    assert trace.delivered(5, 190) > 0.88 * capacity
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


# Eight seeds each: 1.05, 0.99 and 0.88 of the capacity in the mean; 8, 6 and 6 failures per 100.
@pytest.mark.parametrize(
    ("took_s", "share", "failures"), [(0.005, 0.95, 0.1), (None, 0.95, 0.08), (3.0, 0.8, 0.08)]
)
def test_random_failures_of_one_call_in_twenty_do_not_lower_the_limit(
    took_s: float | None, share: float, failures: float
) -> None:
    def trace(seed: int) -> Trace:
        pool, rng = WorkerPool(20, 0.2, queue=10), random.Random(seed)

        def failing(now: float) -> Response:
            if rng.random() < 0.05:
                return Response(took_s or pool(now).latency_s, ok=False)
            return pool(now)

        return run(failing, 120)

    traces = [trace(seed) for seed in (3, 4, 5)]
    assert fmean(each.delivered(10, 120) for each in traces) > share * 95 * 110
    failed = sum(len(each.failed_at) for each in traces)
    assert failed < failures * sum(len(each.ok_at) for each in traces)


def test_random_failures_do_not_decide_a_cold_start() -> None:
    """With the first seed six of the first 15 calls fail, and five of the next 50."""
    used = []
    for seed in (1, 5, 9, 11):
        pool = WorkerPool(100, 0.3, queue=100, seed=seed, spread=exponential)
        trace = run(WithRandomFailures(pool, share=0.08, seed=seed), 60)
        used.append(trace.delivered(0, 60) / (60 * 100 / 0.3 * 0.92))
    assert min(used) > 0.85  # until the counts before the cut counted, too: 0.18


def test_random_failures_do_not_hide_a_full_queue_of_two() -> None:
    """Reserved slots end no sample window, and a cut without failures lowers the background."""
    traces = []
    for seed in (2, 4, 5):
        legacy = WithRandomFailures(WorkerPool(5, 0.5, queue=2, seed=seed), share=0.04, seed=seed)
        traces.append(run(legacy, 120))
    delivered = sum(len(each.ok_at) for each in traces)
    assert delivered > 0.85 * 3 * 120 * 10
    assert sum(len(each.failed_at) for each in traces) < 0.13 * delivered


@pytest.mark.parametrize("fails_fast", [True, False])
@pytest.mark.parametrize("share", [0.25, 0.3])
def test_broken_node_behind_a_balancer_leaves_most_of_the_throughput(
    share: float, fails_fast: bool
) -> None:
    pool, rng = WorkerPool(20, 0.2, queue=20), random.Random(9)

    def balanced(now: float) -> Response:
        if rng.random() >= share:
            return pool(now)
        return Response(0.01 if fails_fast else pool(now).latency_s, ok=False)

    useful = 1.0 if fails_fast else 1 - share  # share of the pool's work
    assert run(balanced, 300).delivered(150, 300) > 0.6 * useful * 100 * 150


def fifth_minute_after_a_repair(seed: int) -> Trace:
    """Lose 30 % of the calls of ten workers for five minutes; return the fifth minute after it."""
    rng = random.Random(seed)
    ends: list[float] = []

    def repaired(now: float) -> Response:
        ends[:] = [end for end in ends if end > now]
        if len(ends) >= 10 or (now < 300 and rng.random() < 0.3):
            return Response(0.01, ok=False)
        ends.append(now + 0.2)
        return Response(0.2)

    clock = Clock()
    snapshot: dict[str, float] | None = None
    for until in range(60, 601, 60):  # runs of a minute
        limiter = adaptive(clock)
        limiter.restore(snapshot)
        trace = simulate(repaired, limiter, clock, until)
        snapshot = limiter.snapshot()
    return trace


def test_failures_are_load_again_after_a_broken_node_is_repaired() -> None:
    traces = [fifth_minute_after_a_repair(seed) for seed in range(9, 15)]
    assert min(len(trace.ok_at) for trace in traces) > 0.85 * 50 * 60
    # max_background allows 17 % of all calls, which is 21 % of the successful ones.
    assert fmean(len(trace.failed_at) / len(trace.ok_at) for trace in traces) < 0.22


def test_work_that_often_exceeds_the_timeout_does_not_end_at_a_single_call() -> None:
    trace = run(WorkerPool(20, 8.0, queue=20), 1_800)
    assert trace.delivered(1_200, 1_800) > 0.5 * 20 / 8 * 0.75 * 600  # a quarter times out


@pytest.mark.parametrize(("retry_after_s", "since"), [(0.0, 0.0), (3_600.0, 900.0)])
def test_retry_after_of_zero_or_an_hour_is_bounded(retry_after_s: float, since: float) -> None:
    """An hour counts as five minutes; two such pauses teach the rate."""
    legacy = RateLimited(WorkerPool(100, 0.08, queue=100), 40, 40, retry_after_s)
    trace = run(legacy, since + 300)
    assert trace.delivered(since, since + 300) > 0.85 * 40 * 300
    assert len(trace.failed_at) < 0.03 * len(trace.ok_at)


def test_legacy_that_hangs_at_first_is_used_once_it_responds() -> None:
    trace = run(WithOutages(WorkerPool(20, 0.2, queue=20), [(0, 30, HANGS)]), 70)
    assert len(trace.failed_at) < 120  # with the failures of one step of slow start too far
    assert trace.delivered(44, 70) > 0.85 * 100 * 26


def test_work_that_slows_down_steadily_does_not_lower_the_limit() -> None:
    pool = WorkerPool(20, 0.2, queue=20)

    def slowing(now: float) -> Response:
        pool.mean_s = 0.2 * (1 + now / 60)
        return pool(now)

    trace = run(slowing, 180)
    capacity = sum(20 / (0.2 * (1 + at / 60)) for at in range(5, 180))
    assert trace.delivered(5, 180) > 0.85 * capacity


def test_legacy_that_responds_once_a_second_is_kept_busy() -> None:
    calls_by_second: dict[int, int] = {}

    def batching(now: float) -> Response:
        second = int(now) + 1
        while calls_by_second.get(second, 0) >= 50:
            second += 1
        calls_by_second[second] = calls_by_second.get(second, 0) + 1
        return Response(min(10.0, second - now), ok=second - now < 10)

    trace = run(batching, 120)
    assert trace.delivered(10, 120) > 0.85 * 50 * 110
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


def test_one_worker_whose_queue_exceeds_the_timeout_still_completes_calls() -> None:
    trace = run(WorkerPool(1, 5.0, queue=5), 1_800)
    assert trace.delivered(900, 1_800) > 0.25 * 900 / 5


def test_cold_start_uses_five_hundred_workers_within_two_seconds() -> None:
    trace = run(WorkerPool(500, 0.02, queue=200), 4)
    assert trace.delivered(2, 4) > 0.85 * 500 / 0.03 * 2


def test_cold_start_delivers_two_thousand_records_in_little_more_than_the_least_time() -> None:
    trace = run(WorkerPool(100, 0.1, queue=200), 4)
    assert trace.ok_at[1_999] < 1.35 * 2_000 / 1_000


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_refused_records_do_not_raise_the_limit_over_the_knee(share: float) -> None:
    def settled_limit(legacy: Legacy) -> float:
        """Return the mean limit once the capacity is found."""
        limits = [limit for at, limit in run(legacy, 120).limits if at > 60]
        return sum(limits) / len(limits)

    pool = WorkerPool(20, 0.2, queue=400)
    refusing = WithRefusedRecords(WorkerPool(20, 0.2, queue=400), share)
    assert settled_limit(refusing) < 1.5 * settled_limit(pool)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_legacy_that_refuses_a_share_of_the_records_is_kept_busy(share: float) -> None:
    trace = run(WithRefusedRecords(WorkerPool(20, 0.2, queue=40), share), 90)
    assert trace.delivered(5, 90) > 0.93 * 100 * 85


@pytest.mark.parametrize("seed", [1, 4])
def test_slow_start_into_a_deep_queue_ends_without_further_overloads(seed: int) -> None:
    """Five workers of 3 s: the calls of the last steps time out, and the queue outlasts them."""
    trace = run(WorkerPool(5, 3.0, queue=68, seed=seed), 360)
    assert len(trace.ok_at) > 0.8 * 360 * 5 / 3
    assert len(trace.failed_at) < 0.25 * len(trace.ok_at)


def test_cold_start_that_queues_at_once_does_not_fill_a_deep_queue() -> None:
    """Five workers of 2.2 s, and a timeout that 22 calls at once exceed: slow start ends before."""
    traces = [run(WorkerPool(5, 2.2, queue=74, seed=seed), 360) for seed in (1, 3, 4, 6)]
    delivered = sum(len(each.ok_at) for each in traces)
    assert delivered > 0.95 * 4 * 360 * 5 / 2.2
    assert sum(len(each.failed_at) for each in traces) < 0.02 * delivered


def test_probes_do_not_raise_the_limit_of_a_thrashing_legacy() -> None:
    """At a lower limit latency falls as much as the limit: the base latency stays where it is."""
    limits = []
    for seed in (1, 2, 3, 4):
        trace = run(Thrashing(0.04, knee=50, contention=0.01, seed=seed), 120)
        limits += [limit for at, limit in trace.limits if at > 60]
    assert fmean(limits) < 1.7 * 50


def test_higher_capacity_lifts_the_ceiling() -> None:
    """Seven workers refuse calls; a minute later there are five times as many."""
    pool = WorkerPool(7, 0.5, queue=9, seed=5)
    trace = run(ScheduledPool(pool, [(60.0, 35, 0.5)]), 90)
    assert trace.delivered(60, 90) > 0.8 * 30 * 70


def test_limit_at_which_calls_failed_again_is_tried_less_often() -> None:
    failed = delivered = 0
    for seed in range(4):
        trace = run(WorkerPool(6, 0.2, queue=2, seed=seed), 240)
        failed += trace.failed(60, 240)
        delivered += trace.delivered(60, 240)
    assert delivered > 0.96 * 4 * 180 * 30
    assert failed < 0.023 * delivered
