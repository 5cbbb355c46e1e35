"""The adaptive limit against simulated legacies: each band is a share of what the legacy can do."""

import json
import random

import pytest

from bench.legacies.client import Clock, Result, drive
from bench.legacies.models import (
    NETWORK_S,
    Answer,
    Legacy,
    Rated,
    Thrashing,
    Workers,
)
from chalicelib.integrator.limiter import adaptive, classic


def run(legacy: Legacy, until: float) -> Result:
    clock = Clock()
    return drive(legacy, adaptive(clock), clock, until)


def test_a_cold_start_reaches_a_hundred_calls_within_seconds() -> None:
    result = run(Workers(100, 0.1, queue=50), 30)
    assert result.delivered(3, 30) > 0.93 * 1_000 * 27
    assert len(result.failed_at) < 0.02 * len(result.ok_at)


def test_a_cold_start_finds_a_legacy_of_four_workers() -> None:
    result = run(Workers(4, 0.2, queue=4), 60)
    assert result.delivered(0, 60) > 0.9 * 20 * 60
    assert len(result.failed_at) < 0.03 * len(result.ok_at)


def test_the_knee_of_a_thrashing_legacy_is_found_without_a_failure() -> None:
    result = run(Thrashing(0.1, knee=20), 60)
    best = 20 / (NETWORK_S + 0.1 * 2)
    assert result.delivered(5, 60) > 0.92 * best * 55
    assert max(limit for at, limit in result.limits if at > 10) < 50


def test_failures_that_are_not_load_do_not_shrink_it() -> None:
    workers, chance = Workers(20, 0.2, queue=20), random.Random(3)

    def noisy(now: float) -> Answer:
        answer = workers(now)
        return Answer(answer.latency_s, ok=False) if chance.random() < 0.02 else answer

    assert run(noisy, 60).delivered(5, 60) > 0.91 * 100 * 55


def test_a_capacity_that_steps_up_and_down_is_followed() -> None:
    workers = Workers(10, 0.2, queue=15)

    def stepping(now: float) -> Answer:
        workers.resize(40 if 30 <= now < 60 else 10, now)
        return workers(now)

    result = run(stepping, 90)
    assert result.delivered(40, 60) > 0.9 * 200 * 20
    assert result.delivered(63, 90) > 0.9 * 50 * 27
    assert result.failed(63, 90) < 0.03 * 50 * 27


def test_work_that_gets_slower_is_a_new_normal() -> None:
    workers = Workers(20, 0.2, queue=20)

    def slowing(now: float) -> Answer:
        workers.mean_s = 0.6 if now >= 30 else 0.2
        return workers(now)

    assert run(slowing, 90).delivered(40, 90) > 0.88 * 20 / 0.6 * 50


@pytest.mark.parametrize("silence", [False, True])
def test_an_outage_is_probed_now_and_then_and_left_at_once(silence: bool) -> None:
    workers = Workers(20, 0.2, queue=20)

    def failing(now: float) -> Answer:
        if 20 <= now < 50:
            return Answer(10.0 if silence else 0.03, ok=False)
        return workers(now)

    result = run(failing, 80)
    assert len(result.failed_at) < 100
    assert result.delivered(54, 80) > 0.88 * 100 * 26


@pytest.mark.parametrize("retry_after_s", [1.0, 5.0])
def test_a_rate_limit_is_learned_and_kept(retry_after_s: float) -> None:
    legacy = Rated(Workers(100, 0.08, queue=100), 40, 40, retry_after_s)
    result = run(legacy, 120)
    assert result.delivered(40, 120) > 0.85 * 40 * 80
    assert len(result.failed_at) < 0.02 * len(result.ok_at)


def test_a_deep_queue_is_not_filled_until_calls_time_out() -> None:
    result = run(Workers(8, 2.0, queue=200), 240)
    assert result.delivered(20, 240) > 0.88 * 4 * 220
    assert len(result.failed_at) < 0.02 * len(result.ok_at)


def in_runs_of_a_minute(legacy: Legacy) -> float:
    """Return the records a second of three runs, each on a clock of its own start."""
    state: str | None = None
    delivered = 0
    for number in range(3):
        clock = Clock()
        limiter = adaptive(clock)
        if state:
            limiter.restore(json.loads(state))
        offset = number * 60.0
        result = drive(lambda now, offset=offset: legacy(now + offset), limiter, clock, 60)
        delivered += len(result.ok_at)
        state = json.dumps(limiter.snapshot())
    return delivered / 180


def test_what_is_learned_goes_from_run_to_run() -> None:
    assert in_runs_of_a_minute(Workers(20, 0.2, queue=20)) > 0.92 * 100


def away(now: float) -> Answer:
    return Answer(0.03, ok=False)


def test_a_run_that_follows_an_outage_begins_with_a_probe() -> None:
    clock = Clock()
    limiter = adaptive(clock)
    drive(away, limiter, clock, 30)
    later = Clock()
    successor = adaptive(later)
    successor.restore(json.loads(json.dumps(limiter.snapshot())))
    result = drive(away, successor, later, 30)
    assert 10 < len(result.failed_at) < 30


def test_it_beats_the_classic_rule_on_a_legacy_that_thrashes() -> None:
    clock = Clock()
    classical = drive(Thrashing(0.1, knee=20), classic(clock), clock, 60)
    assert len(run(Thrashing(0.1, knee=20), 60).ok_at) > 1.5 * len(classical.ok_at)
