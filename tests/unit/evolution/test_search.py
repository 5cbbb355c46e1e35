"""The search for parameters converges, and interruptions do not change its result."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bench.evolve.algorithm import Options, first_population, next_generation
from bench.evolve.evaluation import LegacyKey
from bench.evolve.genome import Gene, Genome
from bench.evolve.search import Plan, Search
from bench.legacies.score import Score


def bounded(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Toy:
    """Parameters whose fitness has one maximum, far from the start."""

    share: float = bounded(0.1, 0.0, 1.0)
    factor: float = bounded(1.1, 1.0, 3.0)
    wait: float = bounded(0.01, 0.001, 10.0)
    calls: int = bounded(3, 1, 50)
    alone: float = 7.0

    def height(self) -> float:
        misses = (
            self.share - 0.8,
            (self.factor - 2.0) / 2,
            math.log10(self.wait / 2.0) / 4,
            (self.calls - 30) / 50,
        )
        return 1 - math.hypot(*misses)


def candidate(toy: Toy) -> Any:
    """Return the toy itself: ``evaluate`` needs no limiter."""
    return toy


def evaluate(candidates: Sequence[Any], legacies: Sequence[LegacyKey]) -> list[tuple[Score, ...]]:
    """Score toys by their height, with noise that depends on the legacy only."""
    noise = [random.Random(key).gauss(0, 0.05) for _, key in legacies]
    return [tuple(Score(toy.height() + each, 0.0, 1.0) for each in noise) for toy in candidates]


PLAN = Plan(1, ("hill",), 30, draws=1, finals=4, options=Options(population=20))


def search(plan: Plan = PLAN, state: dict[str, Any] | None = None) -> Search:
    start = Toy()
    return Search(
        plan, Genome(start), [start], candidate, {"baseline": candidate(Toy(share=0.2))}, state
    )


def finish(running: Search) -> dict[str, Any]:
    while not running.finished:
        running.step(evaluate)
    return running.result()


def test_evolution_finds_the_maximum_and_beats_random_search() -> None:
    result = finish(search())
    held_out = result["provenance"]["held_out"]
    assert Toy(**result["parameters"]).height() > 0.95
    assert held_out["evolved"]["fitness"] > held_out["random_search"]["fitness"] + 0.05
    assert held_out["random_search"]["fitness"] > held_out["start"]["fitness"]
    assert result["parameters"]["alone"] == 7.0


def test_result_depends_on_the_seed_only() -> None:
    one = finish(search())
    assert finish(search()) == one
    assert finish(search(replace(PLAN, seed=2)))["parameters"] != one["parameters"]


def test_search_resumed_after_each_step_has_the_same_result() -> None:
    running = search()
    while not running.finished:
        running.step(evaluate)
        running = search(state=json.loads(json.dumps(running.state)))
    assert running.result() == finish(search())


def test_state_of_another_search_is_rejected() -> None:
    state = search().state
    with pytest.raises(ValueError, match="another search"):
        search(replace(PLAN, seed=2), state)


def test_winner_is_the_start_when_every_other_candidate_is_worse() -> None:
    """The start takes part in the finals, so that a search without progress returns it."""
    best = Toy(0.8, 2.0, 2.0, 30)
    assert best.height() > 0.99
    plan = replace(PLAN, generations=1, options=Options(population=4))
    for seed in range(10):
        running = Search(replace(plan, seed=seed), Genome(best), [best], candidate, {})
        winner = Toy(**finish(running)["parameters"])
        assert winner.height() == pytest.approx(best.height(), abs=1e-4)


def test_first_population_has_each_start_and_its_mutations() -> None:
    starts = [(0.1, 0.1), (0.9, 0.9)]
    population = first_population(starts, Options(population=12, first_step=0.01), random.Random(1))
    assert [each.genes for each in population[:2]] == starts
    near = [[math.dist(each.genes, start) < 0.2 for start in starts] for each in population[2:6]]
    assert sorted(near) == [[False, True]] * 2 + [[True, False]] * 2
    assert len(population) == 12


@pytest.mark.parametrize("seed", range(20))
def test_populations_stay_within_bounds(seed: int) -> None:
    rng, options = random.Random(seed), Options(population=10, first_step=0.3)
    genome = Genome(Toy())
    population = first_population([genome.encode(Toy())], options, rng)
    for _ in range(10):
        for each in population:
            assert all(0 <= position <= 1 for position in each.genes)
            toy = genome.decode(each.genes)
            assert all(gene.low <= getattr(toy, gene.name) <= gene.high for gene in genome.genes)
            assert isinstance(toy.calls, int)
        population = next_generation(population, options, rng)
        assert len(population) == 10


def test_elite_survives_unchanged() -> None:
    options = Options(elite=3)
    ranked = first_population([(0.5, 0.5)], options, random.Random(1))
    assert next_generation(ranked, options, random.Random(2))[:3] == ranked[:3]


def test_gene_is_logarithmic_for_wide_bounds_only() -> None:
    wait = Gene("wait", 0.001, 10.0, is_integer=False)
    assert wait.value(0.5) == pytest.approx(0.1)
    assert Gene("share", 0.0, 1.0, is_integer=False).value(0.5) == 0.5
    assert Gene("factor", 1.0, 3.0, is_integer=False).value(0.5) == 2.0
    assert Gene("calls", 1, 100, is_integer=True).value(0.5) == 10
    assert wait.position(wait.value(0.3)) == pytest.approx(0.3)
    assert wait.position(99.0) == 1.0
