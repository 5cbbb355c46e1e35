"""The adaptive limiter finds the capacity of a healthy legacy, whatever state a run has stored."""

import math
import os
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.legacies.client import Clock, simulate
from bench.legacies.models import ScheduledPool, WithRandomFailures, WorkerPool
from chalicelib.integrator.limiter import adaptive
from chalicelib.integrator.limiter.state import LearnedState

pytestmark = pytest.mark.slow

WORKERS = 50


def share_of_capacity(state: dict[str, float], latency_s: float, seed: int) -> float:
    """Return the share of the capacity that is used between 30 and 60 s after a restart."""
    clock = Clock()
    limiter = adaptive(clock)
    limiter.restore(state)
    trace = simulate(WorkerPool(WORKERS, latency_s, WORKERS, seed), limiter, clock, 60)
    return trace.delivered(30, 60) / (30 * WORKERS / latency_s)


@pytest.mark.parametrize("latency_s", [0.075, 0.15, 0.2, 0.3])
def test_limit_of_one_call_recovers_when_the_work_has_become_slower(latency_s: float) -> None:
    """With one call in flight no probe is possible; the base latency is 50 ms still."""
    learned = {"limit": 1.3, "slow_start": 0.0, "base_latency": math.log(0.05), "base_calls": 52.0}
    state = adaptive(Clock()).snapshot() | learned
    assert share_of_capacity(state, latency_s, seed=1) > 0.9


def stored_states() -> st.SearchStrategy[dict[str, float]]:
    """Draw what can be stored, within its bounds and often at them; without a learned rate."""
    strategies: dict[str, st.SearchStrategy[Any]] = {}
    for each in fields(LearnedState):
        low, high = each.metadata["low"], each.metadata["high"]
        strategies[each.name] = st.one_of(
            st.sampled_from([float(low), float(high)]),
            st.floats(math.log(low), math.log(high)).map(math.exp)
            if low > 0
            else st.floats(low, min(high, 100.0)),
        )
    # A learned rate, and a wait that is asked for, are kept.
    for name in ("rate", "pause_s", "check_s"):
        strategies[name] = st.just(0.0)
    return st.builds(LearnedState, **strategies).map(LearnedState.snapshot)


LATENCIES_S = st.floats(0.05, 0.3)
EXAMPLES = int(os.environ.get("LIMITER_EXAMPLES", "20"))


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
@given(
    state=st.none() | stored_states(),
    workers=st.sampled_from([5, 20, 50]),
    before_s=LATENCIES_S,
    after_s=LATENCIES_S,
    share=st.floats(0, 0.6),
    until=st.just(0.0) | st.floats(0, 60),
    seed=st.integers(0, 2**32),
)
# Latency rises by chance while the limit falls, and failures have ended slow start.
@example(
    state=None,
    workers=50,
    before_s=0.19413068953806364,
    after_s=0.6479982830618259,
    share=0.16771773695663486,
    until=43.42047788000414,
    seed=1121,
)
def test_limit_finds_the_capacity_after_a_stored_state_and_a_step(
    state: dict[str, float] | None,
    workers: int,
    before_s: float,
    after_s: float,
    share: float,
    until: float,
    seed: int,
) -> None:
    """The work takes ``before_s`` and a share of the calls fails, until it is steady."""
    pool = ScheduledPool(WorkerPool(workers, before_s, workers, seed), [(until, workers, after_s)])
    clock = Clock()
    limiter = adaptive(clock)
    limiter.restore(state)
    assert state is None or LearnedState.restore(state)
    legacy = WithRandomFailures(pool, share, seed, until=until)
    trace = simulate(legacy, limiter, clock, until + 60)
    assert trace.delivered(until + 30, until + 60) > 0.9 * 30 * workers / after_s


@pytest.mark.parametrize("share", [pytest.param(0.4, marks=pytest.mark.soak), 0.5])
@pytest.mark.parametrize("latency_s", [0.075, 0.15, 0.2, 0.3])
def test_limit_grows_after_a_fault_that_lost_every_second_response(
    share: float, latency_s: float
) -> None:
    """50 workers of 50 ms lose responses for a minute, and are slower from then on."""
    pool = ScheduledPool(WorkerPool(WORKERS, 0.05, WORKERS), [(60.0, WORKERS, latency_s)])
    clock = Clock()
    legacy = WithRandomFailures(pool, share, until=60.0)
    trace = simulate(legacy, adaptive(clock), clock, 120)
    assert trace.delivered(90, 120) > 0.9 * 30 * WORKERS / latency_s
