"""The adaptive limit against legacies that misbehave each in a way of its own."""

import math
import random

import pytest

from bench.legacies.client import Clock, Result, drive
from bench.legacies.models import Answer, Legacy, Rated, Workers, exponential, pareto
from chalicelib.integrator.limiter import adaptive


def run(legacy: Legacy, until: float) -> Result:
    clock = Clock()
    return drive(legacy, adaptive(clock), clock, until)


def bimodal(chance: random.Random) -> float:
    """Nine calls of a third of the mean to one of seven times the mean."""
    return 7.0 if chance.random() < 0.1 else 1 / 3


@pytest.mark.parametrize(
    ("spread", "band"), [(bimodal, 0.85), (pareto(1.3), 0.85), (exponential, 0.85)]
)
def test_a_spread_of_latencies_is_no_queue(spread, band: float) -> None:
    result = run(Workers(20, 0.2, queue=40, spread=spread), 90)
    assert result.delivered(5, 90) > band * 100 * 85
    assert len(result.failed_at) < 0.02 * len(result.ok_at)


def test_a_stall_every_ten_seconds_does_not_shrink_it() -> None:
    workers = Workers(20, 0.1, queue=20)

    def stalling(now: float) -> Answer:
        stall_s = max(0.0, now % 10 - 9)  # the tenth second of each ten
        answer = workers(now + (1 - stall_s if stall_s else 0))
        return answer._replace(latency_s=answer.latency_s + (1 - stall_s if stall_s else 0))

    result = run(stalling, 120)
    assert result.delivered(5, 120) > 0.85 * 200 * 115 * 0.9
    assert len(result.failed_at) < 0.03 * len(result.ok_at)


def test_a_capacity_that_drifts_is_followed() -> None:
    workers = Workers(25, 0.2, queue=15)

    def count(now: float) -> int:
        return round(25 - 15 * math.cos(now / 15))

    def drifting(now: float) -> Answer:
        workers.resize(count(now), now)
        return workers(now)

    result = run(drifting, 190)
    capacity = sum(count(at) / 0.2 for at in range(5, 190))
    assert result.delivered(5, 190) > 0.88 * capacity
    assert len(result.failed_at) < 0.02 * len(result.ok_at)


@pytest.mark.parametrize("took_s", [0.005, None, 3.0])
def test_one_call_in_twenty_fails_for_no_reason(took_s: float | None) -> None:
    workers, chance = Workers(20, 0.2, queue=10), random.Random(3)

    def failing(now: float) -> Answer:
        if chance.random() < 0.05:
            return Answer(took_s or workers(now).latency_s, ok=False)
        return workers(now)

    result = run(failing, 120)
    assert result.delivered(10, 120) > 0.85 * 95 * 110
    assert len(result.failed_at) < 0.1 * len(result.ok_at)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("share", [0.25, 0.3])
def test_a_broken_node_behind_a_balancer_does_not_hold_the_others_down(
    share: float, at_once: bool
) -> None:
    workers, chance = Workers(20, 0.2, queue=20), random.Random(9)

    def balanced(now: float) -> Answer:
        if chance.random() >= share:
            return workers(now)
        return Answer(0.01 if at_once else workers(now).latency_s, ok=False)

    good = 1.0 if at_once else 1 - share  # of what the workers do
    assert run(balanced, 300).delivered(150, 300) > 0.6 * good * 100 * 150


def test_load_counts_again_once_a_broken_node_is_mended() -> None:
    chance = random.Random(9)
    ends: list[float] = []

    def mended(now: float) -> Answer:
        ends[:] = [end for end in ends if end > now]
        if len(ends) >= 10 or (now < 300 and chance.random() < 0.3):
            return Answer(0.01, ok=False)
        ends.append(now + 0.2)
        return Answer(0.2)

    clock = Clock()
    learned: dict[str, float] | None = None
    for until in range(60, 601, 60):  # runs of a minute
        limiter = adaptive(clock)
        limiter.restore(learned)
        result = drive(mended, limiter, clock, until)
        learned = limiter.snapshot()
    assert len(result.ok_at) > 0.85 * 50 * 60
    assert len(result.failed_at) < 0.27 * len(result.ok_at)  # a fifth of all may be background


def test_work_that_often_outlasts_the_timeout_does_not_end_at_a_single_call() -> None:
    result = run(Workers(20, 8.0, queue=20), 1_800)
    assert result.delivered(1_200, 1_800) > 0.5 * 20 / 8 * 0.75 * 600  # a quarter is given up


@pytest.mark.parametrize(("retry_after_s", "band"), [(0.0, 0.85), (3_600.0, 0.2)])
def test_a_pause_of_nothing_or_of_an_hour_is_asked_for(retry_after_s: float, band: float) -> None:
    legacy = Rated(Workers(100, 0.08, queue=100), 40, 40, retry_after_s)
    result = run(legacy, 300)
    assert result.delivered(0, 300) > band * 40 * 300
    assert len(result.failed_at) < 0.03 * len(result.ok_at)


def test_a_legacy_that_is_silent_at_first_is_found_once_it_speaks() -> None:
    workers = Workers(20, 0.2, queue=20)
    result = run(lambda now: workers(now) if now >= 30 else Answer(10.0, ok=False), 70)
    assert len(result.failed_at) < 120  # those of a leap of 80 too far included
    assert result.delivered(44, 70) > 0.85 * 100 * 26


def test_work_that_gets_slower_all_day_does_not_shrink_it() -> None:
    workers = Workers(20, 0.2, queue=20)

    def slowing(now: float) -> Answer:
        workers.mean_s = 0.2 * (1 + now / 60)
        return workers(now)

    result = run(slowing, 180)
    capacity = sum(20 / (0.2 * (1 + at / 60)) for at in range(5, 180))
    assert result.delivered(5, 180) > 0.85 * capacity


def test_a_legacy_that_answers_once_a_second_is_filled() -> None:
    batch: dict[int, int] = {}

    def batching(now: float) -> Answer:
        second = int(now) + 1
        while batch.get(second, 0) >= 50:
            second += 1
        batch[second] = batch.get(second, 0) + 1
        return Answer(min(10.0, second - now), ok=second - now < 10)

    result = run(batching, 120)
    assert result.delivered(10, 120) > 0.85 * 50 * 110
    assert len(result.failed_at) < 0.02 * len(result.ok_at)


def test_one_worker_whose_queue_outlasts_the_timeout_is_not_probed_to_death() -> None:
    result = run(Workers(1, 5.0, queue=5), 1_800)
    assert result.delivered(900, 1_800) > 0.25 * 900 / 5


def test_five_hundred_workers_are_found_from_nothing() -> None:
    result = run(Workers(500, 0.02, queue=200), 4)
    assert result.delivered(2, 4) > 0.85 * 500 / 0.03 * 2


def test_two_thousand_records_from_cold_take_little_longer_than_they_must() -> None:
    clock = Clock()
    result = drive(Workers(100, 0.1, queue=200), adaptive(clock), clock, 4)
    assert result.ok_at[1_999] < 1.35 * 2_000 / 1_000
