"""The adaptive limiter after faults of minutes: Retry-After is no rate, and noise is no load."""

import random
from statistics import fmean

import pytest

from bench.legacies.client import Clock, simulate
from bench.legacies.models import (
    RateLimited,
    Response,
    ScheduledPool,
    ThreadPerConnection,
    WithOutages,
    WithRandomFailures,
    WorkerPool,
    retry_after,
)
from chalicelib.integrator.limiter import adaptive
from tests.support.limiter_runs import run

pytestmark = pytest.mark.slow

CAPACITY = 100  # calls/s
# The outage begins within a run of a minute.
SINCE, UNTIL = 90.0, 390.0


def pool() -> WorkerPool:
    return WorkerPool(20, 0.2, queue=20)


@pytest.mark.parametrize("cycle_s", [0.0, 60.0])
@pytest.mark.parametrize("seconds", [1.0, 5.0, 30.0, 120.0])
def test_retry_after_of_five_minutes_is_not_learned_as_a_rate(
    seconds: float, cycle_s: float
) -> None:
    legacy = WithOutages(pool(), [(SINCE, UNTIL, retry_after(seconds))])
    trace = run(legacy, UNTIL + 120, cycle_s)
    back = min(at for at in trace.ok_at if at >= UNTIL)
    assert back <= UNTIL + seconds + 0.5
    # A run that begins just then meets the calls that the simulated run before it has dropped.
    assert trace.delivered(back, back + 10) > (0.8 if cycle_s else 0.9) * CAPACITY * 10
    # A call for each pause, and the calls in flight when the outage began; some more for each run.
    probes = (UNTIL - SINCE) / seconds
    assert trace.failed(SINCE, UNTIL) < 1.2 * probes + 40 + (60 if cycle_s else 0)


class Banning:
    """A gateway that bans a client beyond a rate; each call in the ban begins it anew."""

    def __init__(self, rate: float, burst: float, ban_s: float, refusal: Response) -> None:
        self._limited = RateLimited(WorkerPool(1_000, 0.05, 1_000), rate, burst, retry_after_s=1)
        self._ban_s, self._refusal, self._until = ban_s, refusal, 0.0

    def __call__(self, now: float) -> Response:
        response = self._limited(now) if now >= self._until else self._refusal
        if not response.ok:
            self._until, response = now + self._ban_s, self._refusal
        return response


@pytest.mark.parametrize("seconds", [90.0, pytest.param(240.0, marks=pytest.mark.soak)])
def test_retry_after_of_minutes_is_kept(seconds: float) -> None:
    """One call in the pause would prolong the ban for ever."""
    trace = run(Banning(20, 40, seconds, retry_after(seconds)), 3_600, cycle_s=60)
    assert trace.delivered(1_800, 3_600) > 0.5 * 20 * 1_800
    assert trace.failed(60, 3_600) < 40


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 2))])
@pytest.mark.parametrize("latency_s", [0.05, 0.2])
def test_half_of_the_calls_that_fail_at_once_are_no_outage(latency_s: float, seed: int) -> None:
    """One of two nodes is broken. Its failures come before the responses of the other one."""
    rng = random.Random(seed)
    healthy = WorkerPool(20, latency_s, queue=int(2 / latency_s), seed=seed)

    def half_broken(now: float) -> Response:
        return Response(0.01, ok=False) if rng.random() < 0.5 else healthy(now)

    trace = run(half_broken, 120)
    assert trace.delivered(60, 120) > 0.8 * 20 / latency_s * 60


def test_demand_before_an_outage_is_not_learned_as_a_rate() -> None:
    """At night a legacy gets two calls a second, and goes away; in the morning come many."""
    legacy, clock = WithOutages(pool(), [(SINCE, UNTIL, retry_after(10.0))]), Clock()
    limiter = adaptive(clock)
    while clock.now < UNTIL + 60:
        if limiter.not_before > clock.now:
            clock.now += 0.1
            continue
        limiter.on_start()
        response = legacy(clock.now)
        clock.now += response.latency_s
        if response.retry_after_s is not None:
            limiter.on_retry_after(response.retry_after_s)
        limiter.on_result(response.ok, response.latency_s, 1)
        clock.now += 0.5 - response.latency_s % 0.5
    morning = clock.now
    trace = simulate(legacy, limiter, clock, morning + 10)
    assert trace.delivered(morning, morning + 10) > 0.85 * CAPACITY * 10


# With the seeds 1 and 5, half of the calls admitted look like a rate of one call in ten seconds.
@pytest.mark.parametrize(
    ("seconds", "share", "seed"),
    [
        *((seconds, share, 1) for seconds in (1.0, 5.0, 30.0) for share in (0.02, 0.1, 0.5)),
        (1.0, 0.5, 5),
    ],
)
def test_few_calls_admitted_during_an_outage_slow_the_recovery_by_half_a_minute_at_most(
    seconds: float, share: float, seed: int
) -> None:
    healthy, rng = pool(), random.Random(seed)

    def flapping(now: float) -> Response:
        if SINCE <= now < UNTIL and rng.random() >= share:
            return retry_after(seconds)
        return healthy(now)

    trace = run(flapping, UNTIL + 120)
    since = UNTIL + min(30.0, seconds) + 30
    assert trace.delivered(since, since + 30) > 0.9 * CAPACITY * 30


@pytest.mark.parametrize("share", [0.25, 0.4, 0.6])
@pytest.mark.parametrize("slower", [1.0, pytest.param(3.0, marks=pytest.mark.soak)])
def test_fault_that_loses_many_responses_does_not_end_at_a_single_call(
    share: float, slower: float
) -> None:
    """Afterwards the work takes longer than before."""
    ratios = []
    for seed in range(8):
        inner = WorkerPool(20, 0.2, queue=20, seed=seed)
        schedule = [(30.0, 20, 0.3), (60.0, 20, 0.2 * slower)]
        legacy = WithRandomFailures(ScheduledPool(inner, schedule), share, seed, 30.0, 60.0)
        trace = run(legacy, 120)
        ratios.append(trace.delivered(75, 120) / (45 * CAPACITY / slower))
    assert fmean(ratios) > 0.9
    assert min(ratios) > 0.75


def test_threads_bound_to_connections_are_kept_busy() -> None:
    """Calls beyond the threads wait until the client frees threads: that is no failure."""
    trace = run(ThreadPerConnection(20, 0.2), 90)
    assert trace.delivered(10, 90) > 0.9 * 20 / 0.21 * 80
    assert not trace.failed_at


def test_slow_legacy_is_probed_although_each_run_lasts_a_minute() -> None:
    """Four workers of 2.6 s: a window takes twenty seconds, so that no run has nine of them."""
    traces = [run(WorkerPool(4, 2.55, queue=75, seed=seed), 480, 60.0) for seed in (1, 2, 3, 4)]
    delivered = sum(len(each.ok_at) for each in traces)
    assert delivered > 0.82 * 4 * 480 * 4 / 2.55  # a run awaits its calls before the next begins
    assert sum(len(each.failed_at) for each in traces) < 0.1 * delivered
