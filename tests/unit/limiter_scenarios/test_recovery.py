"""The adaptive limiter finds the capacity of a healthy legacy, whatever state a run has stored."""

import math
import random
from dataclasses import fields

import pytest

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


def any_state(rng: random.Random) -> dict[str, float]:
    """Draw a state within the bounds of what can be stored, often at a bound; without a rate."""
    state = {}
    for each in fields(LearnedState):
        low, high = each.metadata["low"], each.metadata["high"]
        if rng.random() < 0.3:
            state[each.name] = float(rng.choice([low, high]))
        elif low > 0:
            state[each.name] = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            state[each.name] = rng.uniform(low, min(high, 100.0))
    return state | {"rate": 0.0, "pause_s": 0.0}


@pytest.mark.parametrize("seed", range(24))
def test_limit_grows_from_any_stored_state(seed: int) -> None:
    rng = random.Random(seed)
    latency_s = rng.choice([0.05, 0.1, 0.3])
    assert share_of_capacity(any_state(rng), latency_s, seed) > 0.9


@pytest.mark.parametrize("share", [0.4, 0.5])
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


@pytest.mark.parametrize("seed", range(12))
def test_limit_follows_a_step_of_latency_and_errors(seed: int) -> None:
    rng = random.Random(seed)
    workers, until = rng.choice([5, 20, 50]), rng.uniform(20, 60)
    before_s = math.exp(rng.uniform(math.log(0.05), math.log(0.3)))
    after_s = before_s * math.exp(rng.uniform(math.log(0.2), math.log(6)))
    pool = WorkerPool(workers, before_s, workers, seed)
    stepping = ScheduledPool(pool, [(until, workers, after_s)])
    clock = Clock()
    legacy = WithRandomFailures(stepping, rng.uniform(0, 0.6), seed, until=until)
    trace = simulate(legacy, adaptive(clock), clock, until + 60)
    assert trace.delivered(until + 30, until + 60) > 0.9 * 30 * workers / after_s
