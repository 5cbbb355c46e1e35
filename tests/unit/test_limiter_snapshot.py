"""The adaptive limiter passes its state from run to run; an invalid snapshot is dropped."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.legacies.client import Clock, simulate
from bench.legacies.models import RateLimited, WorkerPool
from chalicelib.integrator.limiter import adaptive, classic
from chalicelib.integrator.limiter.adaptive_limiter import AdaptiveLimiter

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = sorted(adaptive(lambda: 0.0).snapshot())


@given(
    JSON
    | st.dictionaries(st.sampled_from(KEYS), JSON)
    | st.fixed_dictionaries({key: st.floats() | st.integers() for key in KEYS})
)
def test_limiter_stays_within_bounds_after_restoring_any_json(snapshot: object) -> None:
    clock = Clock()
    limiter = adaptive(clock)
    limiter.restore(snapshot)
    for number in range(100):
        limiter.on_start()
        clock.now += 0.1
        if number % 10 == 9:
            limiter.on_retry_after(1)
        limiter.on_result(number % 2 == 0, 0.1, 1)
        clock.now = max(clock.now, limiter.not_before)
    assert 1 <= limiter.limit <= 1_000
    assert limiter.not_before <= clock.now + 300


@pytest.mark.parametrize(
    "snapshot",
    [None, [], "", {}, {"limit": 80}, classic(lambda: 0.0).snapshot(), {"limit": "80"}],
)
def test_limiter_starts_afresh_without_a_valid_snapshot(snapshot: object) -> None:
    limiter = adaptive(lambda: 5.0)
    limiter.restore(snapshot)
    assert limiter.snapshot() == adaptive(lambda: 5.0).snapshot()


def test_snapshot_is_restored_unchanged_on_another_clock() -> None:
    now = 1e9
    limiter = adaptive(lambda: now)
    for _ in range(200):
        calls = int(limiter.limit)
        for _ in range(calls):
            limiter.on_start()
        latency_s = 0.1 * max(1.0, calls / 24)
        now += latency_s
        for _ in range(calls):
            limiter.on_result(True, latency_s, calls)
    snapshot = limiter.snapshot()
    assert 20 < snapshot["limit"] < 40
    successor = adaptive(lambda: 0.0)
    successor.restore(json.loads(json.dumps(snapshot, allow_nan=False)))
    assert successor.snapshot() == snapshot
    assert successor.not_before == 0.0


def test_snapshot_has_the_names_that_deployments_have_stored() -> None:
    """A snapshot without one of them is dropped, and with it all that was learned."""
    assert set(KEYS) - {"check_s"} == {
        *("limit", "slow_start", "base_latency", "base_calls", "unconfirmed", "probe_excess"),
        *("probe_variance", "windows_since_probe", "variance", "background", "ceiling"),
        *("lowered_ceiling", "outage", "rate", "burst", "first_calls", "first_s", "rate_age_s"),
        *("rate_doubling_s", "pause_s", "rested_s", "wide_s"),
    }


def paused(clock: Clock, asked_s: float) -> AdaptiveLimiter:
    """Return a limiter whose first call, at 100 s, has got a Retry-After."""
    limiter = adaptive(clock)
    clock.now = 99.0
    limiter.on_start()
    clock.now = 100.0
    limiter.on_retry_after(asked_s)
    limiter.on_result(False, 1.0, 1)
    return limiter


@pytest.mark.parametrize(
    ("asked_s", "idle_s", "wait_s"),
    [
        (30.0, 0.0, 30.0),
        (30.0, 12.0, 18.0),
        (30.0, 1e6, 0.1),
        (240.0, 12.0, 48.0),
        (240.0, 90.0, 0.1),
    ],
)
def test_pause_goes_on_in_the_next_run_and_passes_while_none_works(
    asked_s: float, idle_s: float, wait_s: float
) -> None:
    successor = adaptive(lambda: 7.0)
    successor.restore(paused(Clock(), asked_s).snapshot(), idle_s)
    assert successor.not_before == pytest.approx(7.0 + wait_s)


@pytest.mark.parametrize(("asked_s", "early_at"), [(30.0, 130.0), (240.0, 160.0)])
def test_long_pause_is_checked_in_the_next_run(asked_s: float, early_at: float) -> None:
    clock = Clock()
    limiter = paused(clock, asked_s)
    clock.now = 110.0
    successor = adaptive(clock)
    successor.restore(limiter.snapshot())
    assert successor.not_before == pytest.approx(early_at)


def test_snapshot_during_a_tentative_cut_has_the_lower_limit() -> None:
    limiter = adaptive(lambda: 0.0)
    first = limiter.limit
    for ok in (True, False, False, False, False, False, False):
        limiter.on_start()
        limiter.on_result(ok, 0.1, 10)
        limiter.on_start()
        limiter.on_result(True, 0.1, 10)
    assert limiter.snapshot()["limit"] < first


@pytest.mark.slow
def test_learned_rate_does_not_fall_when_the_run_before_has_used_the_burst() -> None:
    clock, snapshot = Clock(), None
    legacy = RateLimited(WorkerPool(1_000, 0.05, 1_000), rate=77, burst=134, retry_after_s=1)
    for until in range(60, 601, 60):  # runs of a minute
        limiter = adaptive(clock)
        limiter.restore(snapshot)
        simulate(legacy, limiter, clock, until)
        snapshot = limiter.snapshot()
        assert 70 < snapshot["rate"] < 80


def test_snapshot_in_a_pause_has_what_its_interval_has_taught_and_changes_nothing() -> None:
    clock = Clock()
    limiter = adaptive(clock)
    for ok in (True, True, False):
        limiter.on_start()
        clock.now += 0.1
        if not ok:
            limiter.on_retry_after(30)
        limiter.on_result(ok, 0.1, 1)
    snapshot = limiter.snapshot()
    assert limiter.snapshot() == snapshot
    clock.now = limiter.not_before
    limiter.on_start()
    after = limiter.snapshot()
    learned = ("rate", "burst", "first_calls", "first_s", "rate_doubling_s")
    assert {each: snapshot[each] for each in learned} == {each: after[each] for each in learned}
    assert (snapshot["first_calls"], snapshot["rested_s"]) == (2, 30)
    assert after["rested_s"] == 0


def test_stored_ceiling_below_the_limit_does_not_bound_it() -> None:
    """It would keep the limit at one call for half a minute."""
    clock = Clock()
    limiter = adaptive(clock)
    limiter.restore(limiter.snapshot() | {"limit": 40.0, "ceiling": 1.0, "slow_start": 0.0})
    simulate(WorkerPool(50, 0.1, 50), limiter, clock, 3)
    assert limiter.limit > 30


def test_ceiling_is_known_to_have_been_met_although_the_run_has_ended() -> None:
    """The run has ended between the failures and the next window."""
    limiter = adaptive(Clock())
    limiter.restore(limiter.snapshot() | {"limit": 20.0, "ceiling": 24.0})
    assert limiter.snapshot()["lowered_ceiling"] == 24
