"""What the adaptive limit learned goes from run to run; what is no snapshot of it does no harm."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.legacies.client import Clock, drive
from bench.legacies.models import Rated, Workers
from chalicelib.integrator.limiter import adaptive, classic

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = sorted(adaptive(lambda: 0.0).snapshot())


def works(limiter, now: float) -> bool:
    """Say whether a limiter takes calls and keeps its bounds."""
    for ok in (True, False) * 50:
        limiter.on_start()
        limiter.on_result(ok, 0.1, 1)
    return 1 <= limiter.limit <= 1_000 and limiter.not_before <= now + 60


@given(
    JSON
    | st.dictionaries(st.sampled_from(KEYS), JSON)
    | st.fixed_dictionaries({key: st.floats() | st.integers() for key in KEYS})
)
def test_anything_can_be_restored(state: object) -> None:
    limiter = adaptive(lambda: 5.0)
    limiter.restore(state)
    assert works(limiter, 5.0)


@pytest.mark.parametrize(
    "state", [None, [], "", {}, {"limit": 80}, classic(lambda: 0.0).snapshot(), {"limit": "80"}]
)
def test_what_is_no_snapshot_starts_afresh(state: object) -> None:
    limiter = adaptive(lambda: 5.0)
    limiter.restore(state)
    assert limiter.snapshot() == adaptive(lambda: 5.0).snapshot()


def test_a_snapshot_is_taken_up_whole_on_a_clock_that_begins_elsewhere() -> None:
    now = 1e9
    limiter = adaptive(lambda: now)
    for _ in range(200):
        calls = int(limiter.limit)
        for _ in range(calls):
            limiter.on_start()
        now += 0.1 if calls <= 24 else 0.1 * calls / 24
        for _ in range(calls):
            limiter.on_result(True, 0.1 if calls <= 24 else 0.1 * calls / 24, calls)
    state = limiter.snapshot()
    assert 20 < state["limit"] < 40
    successor = adaptive(lambda: 0.0)
    successor.restore(json.loads(json.dumps(state, allow_nan=False)))
    assert successor.snapshot() == state
    assert successor.not_before == 0.0


def test_a_wait_that_was_asked_for_outlives_the_run() -> None:
    now = 99.0
    limiter = adaptive(lambda: now)
    limiter.on_start()
    now = 100.0
    limiter.on_retry_after(30.0)
    limiter.on_result(False, 1.0, 1)
    successor = adaptive(lambda: 7.0)
    successor.restore(limiter.snapshot())
    assert successor.not_before == 37.0


def test_a_cut_outlives_the_run_though_its_trial_does_not() -> None:
    limiter = adaptive(lambda: 0.0)
    first = limiter.limit
    for ok in (True, False, False, False, False, False, False):
        limiter.on_start()
        limiter.on_result(ok, 0.1, 10)
        limiter.on_start()
        limiter.on_result(True, 0.1, 10)
    assert limiter.snapshot()["limit"] < first


def test_a_run_that_goes_on_under_a_quota_does_not_count_on_a_burst_that_is_used_up() -> None:
    clock, learned = Clock(), None
    legacy = Rated(Workers(1_000, 0.05, 1_000), rate=77, burst=134, retry_after_s=1)
    for until in range(60, 601, 60):  # runs of a minute
        limiter = adaptive(clock)
        limiter.restore(learned)
        drive(legacy, limiter, clock, until)
        learned = limiter.snapshot()
        assert 70 < learned["rate"] < 80
