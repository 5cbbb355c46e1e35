"""The adaptive limiter against token buckets: in one long run, in runs of a minute, and lifted."""

import pytest

from bench.legacies.models import (
    Legacy,
    RateLimited,
    Response,
    WithOutages,
    WorkerPool,
    retry_after,
)
from tests.support.limiter_runs import run

pytestmark = pytest.mark.slow


def limited(rate: float, burst: float, pause_s: float) -> RateLimited:
    return RateLimited(WorkerPool(50, 0.1, queue=200), rate, burst, pause_s)


class Lifted:
    """A legacy whose rate limit is lifted at some time."""

    def __init__(self, before: Legacy, after: Legacy, at: float) -> None:
        self.before, self.after, self.at = before, after, at

    def __call__(self, now: float) -> Response:
        return (self.before if now < self.at else self.after)(now)


@pytest.mark.parametrize(
    ("rate", "burst", "pause_s", "latency_s", "share"),
    [(187, 65, 1.0, 0.24, 0.95), (75, 114, 5.0, 0.33, 0.92), (26, 14, 5.0, 0.17, 0.89)],
)
def test_rate_limit_and_burst_are_learned_from_two_pauses(
    rate: float, burst: float, pause_s: float, latency_s: float, share: float
) -> None:
    """Calls sent below the rate of a full bucket do not lower the rate that is learned."""
    pool = WorkerPool(int(8 * rate * latency_s), latency_s, queue=400)
    trace = run(RateLimited(pool, rate, burst, pause_s), 120)
    assert len(trace.ok_at) > share * (burst + 120 * rate)
    assert len(trace.failed_at) < 0.02 * len(trace.ok_at)


@pytest.mark.parametrize(
    ("rate", "burst", "pause_s", "share"),
    [
        (100, 20, 30, 0.85),
        (20, 20, 30, 0.9),
        (20, 200, 60, 0.95),
        (5, 5, 60, 0.9),
        (1, 5, 60, 0.75),
        (1, 1, 30, 0.5),
    ],
)
def test_runs_shorter_than_two_pauses_learn_the_rate(
    rate: float, burst: float, pause_s: float, share: float
) -> None:
    """A run of a minute that ends in a pause passes on what its last interval has taught."""
    trace = run(limited(rate, burst, pause_s), 1_200, cycle_s=60)
    assert trace.delivered(600, 1_200) > share * rate * 600
    assert len(trace.failed_at) < 50


@pytest.mark.parametrize("cycle_s", [0, pytest.param(60, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    ("burst", "pause_s"),
    [
        (5, 1),
        pytest.param(20, 1, marks=pytest.mark.soak),
        pytest.param(200, 5, marks=pytest.mark.soak),
    ],
)
def test_trial_of_a_higher_rate_is_not_taken_for_a_refusal_of_some_calls(
    burst: float, pause_s: float, cycle_s: float
) -> None:
    """A bucket delivers a call that is sent early in the pause, as a healthy node would."""
    trace = run(limited(100, burst, pause_s), 1_200, cycle_s)
    assert trace.delivered(600, 1_200) > 0.95 * 100 * 600
    assert len(trace.failed_at) < 80


@pytest.mark.parametrize("cycle_s", [0, 60])
@pytest.mark.parametrize(
    ("rate", "pause_s", "for_s", "within_s"),
    [(10, 1, 60, 60), (10, 5, 60, 360), (10, 5, 300, 360), (50, 2, 120, 180), (2, 60, 600, 600)],
)
def test_limiter_notices_a_lifted_rate_limit(
    rate: float, pause_s: float, for_s: float, within_s: float, cycle_s: float
) -> None:
    legacy = Lifted(limited(rate, rate, pause_s), WorkerPool(20, 0.1, queue=40), for_s)
    until = for_s + within_s + 30
    trace = run(legacy, until, cycle_s)
    assert trace.delivered(until - 30, until) > 0.9 * 200 * 30


@pytest.mark.parametrize(
    ("rate", "burst", "seconds", "failures"),
    [(0.5, 5, 1.0, 0.3), (0.9, 1, 1.0, 0.2), (2, 4, 1.0, 0.05), (0.2, 2, 5.0, 0.3)],
)
def test_bucket_of_less_than_a_call_per_pause_is_used(
    rate: float, burst: float, seconds: float, failures: float
) -> None:
    """Its empty intervals look like those of an outage."""
    trace = run(RateLimited(WorkerPool(20, 0.1, 50), rate, burst, seconds), 600)
    assert len(trace.ok_at) > 0.8 * rate * 600
    assert len(trace.failed_at) < failures * len(trace.ok_at)


@pytest.mark.parametrize(("rate", "burst", "pause_s"), [(50, 50, 5), (100, 20, 1)])
def test_rate_limit_is_learned_again_after_an_outage_in_a_later_run(
    rate: float, burst: float, pause_s: float
) -> None:
    legacy = WithOutages(limited(rate, burst, pause_s), [(310, 500, retry_after(30))])
    trace = run(legacy, 1_000, cycle_s=300)
    assert trace.delivered(560, 1_000) > 0.95 * rate * 440
    assert trace.failed(560, 1_000) < 60
