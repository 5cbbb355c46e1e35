"""The search for parameters: it converges, and repeats itself whatever comes between."""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bench.evolve.algorithm import Options, founders, offspring
from bench.evolve.evaluation import Drawn
from bench.evolve.genome import Gene, Genome
from bench.evolve.search import Plan, Search
from bench.legacies.score import Score


def bounded(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Toy:
    """A landscape with one hill, far from the start."""

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


def judge(candidates: Sequence[Any], legacies: Sequence[Drawn]) -> list[tuple[Score, ...]]:
    """Judge toys by their height, with noise that is the same for all who meet one legacy."""
    noise = [random.Random(key).gauss(0, 0.05) for _, key in legacies]
    return [tuple(Score(toy.height() + each, 0.0, 1.0) for each in noise) for toy in candidates]


PLAN = Plan(1, ("hill",), 30, draws=1, finals=4, options=Options(population=20))


def search(plan: Plan = PLAN, state: dict[str, Any] | None = None) -> Search:
    start = Toy()
    return Search(plan, Genome(start), start, lambda toy: toy, {"peer": Toy(share=0.2)}, state)


def finish(running: Search) -> dict[str, Any]:
    while not running.finished:
        running.step(judge)
    return running.result()


def test_evolution_climbs_the_hill_and_beats_random_search() -> None:
    found = finish(search())
    held_out = found["provenance"]["held_out"]
    assert Toy(**found["parameters"]).height() > 0.95
    assert held_out["evolved"]["fitness"] > held_out["random_search"]["fitness"] + 0.05
    assert held_out["random_search"]["fitness"] > held_out["start"]["fitness"]
    assert found["parameters"]["alone"] == 7.0


def test_the_same_seed_finds_the_same_and_another_another() -> None:
    one = finish(search())
    assert finish(search()) == one
    assert finish(search(replace(PLAN, seed=2)))["parameters"] != one["parameters"]


def test_a_search_taken_up_again_ends_as_if_never_stopped() -> None:
    """After each step it is dropped, and made anew of what a file holds."""
    running = search()
    while not running.finished:
        running.step(judge)
        running = search(state=json.loads(json.dumps(running.state)))
    assert running.result() == finish(search())


def test_the_state_of_another_search_is_refused() -> None:
    state = search().state
    with pytest.raises(ValueError, match="another search"):
        search(replace(PLAN, seed=2), state)


def test_the_winner_is_never_worse_than_the_start_in_the_finals() -> None:
    plan = replace(PLAN, generations=1, options=Options(population=2))
    for seed in range(10):
        finals = finish(search(replace(plan, seed=seed)))["provenance"]["training"]
        assert finals["winner"]["fitness"] >= finals["start"]["fitness"]


@pytest.mark.parametrize("seed", range(20))
def test_all_that_is_bred_stays_within_bounds(seed: int) -> None:
    chance, options = random.Random(seed), Options(population=10, first_step=0.3)
    genome = Genome(Toy())
    population = founders(genome.encode(Toy()), options, chance)
    for _ in range(10):
        for each in population:
            assert all(0 <= place <= 1 for place in each.genes)
            toy = genome.decode(each.genes)
            assert all(gene.low <= getattr(toy, gene.name) <= gene.high for gene in genome.genes)
            assert isinstance(toy.calls, int)
        population = offspring(population, options, chance)
        assert len(population) == 10


def test_the_best_survive_as_they_are() -> None:
    options = Options(elite=3)
    ranked = founders((0.5, 0.5), options, random.Random(1))
    assert offspring(ranked, options, random.Random(2))[:3] == ranked[:3]


def test_wide_bounds_are_logarithmic_and_narrow_ones_are_not() -> None:
    wait = Gene("wait", 0.001, 10.0, whole=False)
    assert wait.value(0.5) == pytest.approx(0.1)
    assert Gene("share", 0.0, 1.0, whole=False).value(0.5) == 0.5
    assert Gene("factor", 1.0, 3.0, whole=False).value(0.5) == 2.0
    assert Gene("calls", 1, 100, whole=True).value(0.5) == 10
    assert wait.place(wait.value(0.3)) == pytest.approx(0.3)
    assert wait.place(99.0) == 1.0
