"""The simulated legacies: what is drawn is what is asked for, and the operator knows best."""

import pytest

from bench.legacies.client import Clock, Result, drive
from bench.legacies.scenarios import FAMILIES, Scenario, draw
from bench.legacies.score import Operator, Score, fitness, score
from chalicelib.integrator.limiter import adaptive


class Fixed(Operator):
    """A constant limit; silent when the operator is."""

    def __init__(self, clock: Clock, scenario: Scenario, limit: float) -> None:
        super().__init__(clock, scenario)
        self._limit = limit

    @property
    def limit(self) -> float:
        return self._limit


def operate(scenario: Scenario) -> Result:
    clock = Clock()
    return drive(scenario.build(), Operator(clock, scenario), clock, scenario.duration_s)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_key_draws_one_legacy_and_another_key_another(family: str) -> None:
    assert operate(draw(family, "1")) == operate(draw(family, "1"))
    assert operate(draw(family, "1")).ok_at != operate(draw(family, "2")).ok_at


@pytest.mark.parametrize("family", FAMILIES)
def test_no_constant_limit_beats_the_operator(family: str) -> None:
    scenario = draw(family, "3")
    best = scenario.best(0)
    for limit in (best / 2, 0.8 * best, 1.25 * best, 2 * best):
        found = score(scenario, lambda clock, limit=limit: Fixed(clock, scenario, limit))
        assert found.merit < 1.02


def test_a_limiter_is_scored_beside_the_operator() -> None:
    scenario = draw("workers", "1")
    itself = score(scenario, lambda clock: Operator(clock, scenario))
    assert itself == Score(1.0, 0.0, 1.0)
    assert score(scenario, adaptive).ratio < 1.05
    timid = score(scenario, lambda clock: Fixed(clock, scenario, 1.0))
    assert timid.ratio < 0.6
    assert timid.slowness < 1.0


def test_failures_and_latency_have_their_price() -> None:
    assert Score(0.9, 0.4, 2.3).merit == pytest.approx(0.9 - 0.1 - 0.05)


def test_fitness_weighs_the_worst() -> None:
    even = [Score(0.9, 0.0, 1.0)] * 5
    uneven = [Score(1.0, 0.0, 1.0)] * 4 + [Score(0.5, 0.0, 1.0)]
    assert fitness(even) == pytest.approx(0.9)
    assert fitness(uneven) == pytest.approx(0.7 * 0.9 + 0.3 * 0.5)
