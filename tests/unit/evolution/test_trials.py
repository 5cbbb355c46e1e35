"""Evolution in service, in virtual time."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest

from bench.legacies.client import Clock, Result, drive
from bench.legacies.models import Answer, Legacy, Noisy, Workers
from chalicelib.integrator.limit.parameters import Parameters
from chalicelib.integrator.limit.trials import Trials
from chalicelib.integrator.limit.windowed import Windowed, WindowedParameters
from chalicelib.integrator.limiter import adaptive

CLASSIC = WindowedParameters()
GOOD = WindowedParameters(initial=10.0, grow=1.06, shrink=0.86, window=0.6, tolerated=0.05)


def windowed(clock: Clock) -> Callable[[Any], Windowed]:
    return lambda parameters: Windowed(clock, most=1_000.0, parameters=parameters)


def trials(
    clock: Clock, start: WindowedParameters = GOOD, share: float = 0.1, seed: int = 1
) -> Trials:
    return Trials(
        clock, windowed(clock), start, "windowed", share=share, chance=random.Random(seed)
    )


def pool(seed: int = 1) -> Workers:
    return Workers(10, 0.2, queue=10, seed=seed)


def learned(limiter: Trials) -> dict[str, Any]:
    return limiter.snapshot()["trials"]


def run(legacy: Legacy, minutes: float, start: WindowedParameters, **how: Any) -> Result:
    clock = Clock()
    return drive(legacy, trials(clock, start, **how), clock, 60 * minutes)


def without(legacy: Legacy, minutes: float, start: WindowedParameters) -> Result:
    clock = Clock()
    return drive(legacy, windowed(clock)(start), clock, 60 * minutes)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_steady_legacy_loses_no_more_than_the_share_of_the_trials(seed: int) -> None:
    alone = len(without(pool(seed), 15, GOOD).ok_at)
    tried = run(pool(seed), 15, GOOD, seed=seed)
    assert len(tried.ok_at) > 0.98 * alone
    assert len(tried.failed_at) < 0.15 * len(tried.ok_at)


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_a_better_value_of_a_bad_parameter_is_found(seed: int) -> None:
    """The classic numbers take 2 % of noise for load, and use half of what is there."""
    noisy = Noisy(pool(seed), 0.02, seed)
    alone = without(Noisy(pool(seed), 0.02, seed), 60, CLASSIC)
    result = run(noisy, 60, CLASSIC, share=0.25, seed=seed)
    last = (3_000, 3_600)
    assert alone.delivered(*last) < 0.6 * 50 * 600
    assert result.delivered(*last) > 0.85 * 50 * 600


class Fixed(Windowed):
    """Keeps to one limit, whatever its parameters are."""

    @property
    def limit(self) -> float:
        return 12.0


class Told(Windowed):
    """Has a limit that its parameters alone say, 10 for GOOD ones."""

    @property
    def limit(self) -> float:
        names = ("initial", "window", "grow", "shrink")
        factors = (getattr(self._p, name) / getattr(GOOD, name) for name in names)
        return max(1.0, 10 * math.prod(factors))


def of(kind: type[Windowed], clock: Clock, seed: int = 1, share: float = 0.25) -> Trials:
    def make(parameters: Any) -> Windowed:
        return kind(clock, most=1_000.0, parameters=parameters)

    return Trials(clock, make, GOOD, "windowed", share=share, chance=random.Random(seed))


def test_the_limit_that_learns_looks_its_parameters_up_at_each_use() -> None:
    """Else a mutant's would be half those of the incumbent."""
    clock = Clock()
    in_use = SimpleNamespace(**asdict(Parameters(headroom=1.0)))
    limiter = adaptive(clock, parameters=in_use)  # type: ignore[arg-type]
    workers = Workers(40, 0.2, queue=100)

    def changing(now: float) -> Answer:
        in_use.headroom = 1.5 if now >= 60 else 1.0
        return workers(now)

    limits = drive(changing, limiter, clock, 120).limits
    before = fmean(limit for at, limit in limits if 30 < at < 60)
    assert fmean(limit for at, limit in limits if at > 90) > 1.2 * before


@pytest.mark.parametrize("seed", [2, 3])
def test_a_legacy_that_changes_by_itself_speaks_for_no_mutant(seed: int) -> None:
    """Here no parameter matters, and the legacy speeds up by half in half an hour."""
    workers, clock = pool(seed), Clock()

    def faster(now: float) -> Answer:
        workers.mean_s = 0.2 / (1 + now / 3_600)
        return workers(now)

    limiter = of(Fixed, clock, seed)
    drive(faster, limiter, clock, 1_800)
    assert learned(limiter)["incumbent"] == {}


def test_what_pays_is_kept() -> None:
    """Of a pool of 20 workers the limit of 10 uses half."""
    clock = Clock()
    limiter = of(Told, clock)
    drive(Workers(20, 0.2, queue=20), limiter, clock, 1_800)
    assert limiter.limit > 12


def test_a_burst_of_failures_ends_a_trial_at_once() -> None:
    """Of 10 workers without a queue, each call beyond them is refused within 25 ms."""
    clock = Clock()
    limiter = of(Told, clock, seed=3)
    result = drive(Workers(10, 0.2, queue=0), limiter, clock, 1_800)
    reckless = [at for at, limit in result.limits if limit > 15]
    assert reckless
    assert max(result.failed(at, at + 5) for at in reckless) < 30
    assert limiter.limit < 12


def test_nothing_is_learned_while_there_is_little_to_send() -> None:
    clock = Clock()
    limiter = of(Told, clock)
    calls = 0
    while clock.now < 600:
        limiter.on_start()
        clock.now += 0.1
        limiter.on_result(True, 0.1, False, 1)
        calls += 1
    assert calls == pytest.approx(6_000, abs=2)
    assert learned(limiter)["gains"] == []


def test_trials_go_on_from_run_to_run() -> None:
    state: dict[str, Any] = {}
    for number in range(40):
        clock = Clock()
        limiter = of(Told, clock, seed=number)
        if state:
            limiter.restore(json.loads(json.dumps(state)))
            assert limiter.snapshot()["trials"] == state["trials"]
        drive(Workers(20, 0.2, queue=20, seed=number), limiter, clock, 60)
        state = limiter.snapshot()
    assert state["trials"]["incumbent"]
    assert limiter.limit > 12


def test_what_was_tried_from_other_numbers_is_forgotten() -> None:
    limiter = trials(Clock(), GOOD)
    state = limiter.snapshot()
    state["trials"] |= {"incumbent": {"grow": 1.9}, "gains": [0.5], "mutant": {"grow": 1.8}}
    same, other = trials(Clock(), GOOD), trials(Clock(), CLASSIC)
    same.restore(state)
    other.restore(state)
    assert learned(same)["incumbent"] == {"grow": 1.9}
    assert learned(other)["incumbent"] == {}


SOUND = trials(Clock()).snapshot()["trials"] | {"mutant": {"grow": 1.5}, "gains": [0.1]}


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        3,
        [],
        {},
        SOUND | {"incumbent": None},
        SOUND | {"incumbent": {"grow": 99.0}},
        SOUND | {"incumbent": {"speed": 1.0}},
        SOUND | {"mutant": {"grow": "fast"}},
        SOUND | {"gains": [float("nan")]},
        SOUND | {"gains": ["much"]},
        SOUND | {"gains": 7},
        SOUND | {"step": None},
        SOUND | {"step": float("inf")},
    ],
)
def test_garbage_is_no_state(garbage: object) -> None:
    limiter = trials(Clock())
    limiter.restore({"limit": 9.0, "usual": None, "trials": garbage})
    assert limiter.limit == 9.0
    assert learned(limiter) == learned(trials(Clock()))


def test_a_state_without_trials_is_taken_up() -> None:
    limiter = trials(Clock())
    limiter.restore({"limit": 9.0, "usual": None})
    assert limiter.limit == 9.0


def test_waits_as_the_legacy_asks() -> None:
    clock = Clock()
    limiter = trials(clock)
    limiter.on_start()
    limiter.on_retry_after(3.0)
    limiter.on_result(False, 0.1, True, 1)
    assert limiter.not_before == 3.0
    assert limiter.recent_failures == 1
