"""The simulated legacies: a key always draws the same legacy, and the operator is the best."""

import pytest

from bench.legacies.client import Clock, Trace, simulate
from bench.legacies.draws import Scenario
from bench.legacies.scenarios import FAMILIES, draw
from bench.legacies.score import Operator, Score, fitness, score
from chalicelib.integrator.limiter import adaptive

pytestmark = pytest.mark.slow


class FixedLimit(Operator):
    """A constant limit; it keeps the operator's rate limit and pauses in outages."""

    def __init__(self, clock: Clock, scenario: Scenario, limit: float) -> None:
        super().__init__(clock, scenario)
        self._limit = limit

    @property
    def limit(self) -> float:
        return self._limit


def fixed_limit_score(scenario: Scenario, limit: float) -> Score:
    return score(scenario, lambda clock: FixedLimit(clock, scenario, limit))


def operate(scenario: Scenario) -> Trace:
    clock = Clock()
    return simulate(scenario.build(), Operator(clock, scenario), clock, scenario.duration_s)


@pytest.mark.parametrize("family", FAMILIES)
def test_same_key_draws_the_same_legacy_and_another_key_another(family: str) -> None:
    assert operate(draw(family, "1")) == operate(draw(family, "1"))
    assert operate(draw(family, "1")).ok_at != operate(draw(family, "2")).ok_at


@pytest.mark.parametrize("family", FAMILIES)
def test_no_constant_limit_beats_the_operator_by_two_percent(family: str) -> None:
    scenario = draw(family, "3")
    best = scenario.best_limit(0)
    for limit in (best / 2, 0.8 * best, 1.25 * best, 2 * best):
        assert fixed_limit_score(scenario, limit).merit < 1.02


def test_score_is_relative_to_the_operator() -> None:
    scenario = draw("workers", "1")
    assert score(scenario, lambda clock: Operator(clock, scenario)) == Score(1.0, 0.0, 1.0)
    assert score(scenario, adaptive).ratio < 1.05
    timid = fixed_limit_score(scenario, 1.0)
    assert timid.ratio < 0.6
    assert timid.slowness < 1.0


def test_merit_subtracts_a_price_for_failures_and_latency() -> None:
    assert Score(0.9, 0.4, 2.3).merit == pytest.approx(0.9 - 0.2 - 0.05)


def test_fitness_weighs_the_worst_fifth_as_much_as_the_mean() -> None:
    even = [Score(0.9, 0.0, 1.0)] * 5
    uneven = [Score(1.0, 0.0, 1.0)] * 4 + [Score(0.5, 0.0, 1.0)]
    assert fitness(even) == pytest.approx(0.9)
    assert fitness(uneven) == pytest.approx(0.5 * 0.9 + 0.5 * 0.5)
