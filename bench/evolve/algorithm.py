"""A real-coded genetic algorithm on the unit cube, for a fitness that may be noisy.

Tournaments select the parents (Goldberg & Deb, 1991) and blend crossover combines them (Eshelman &
Schaffer, 1993). Each individual has its own mutation step, which is inherited and mutates too
(Schwefel, 1981). The elite survives unchanged and is evaluated again with its offspring.
The module knows nothing of the problem. Its random numbers come from the caller.
"""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.evolve.genome import Genes, mutate

MIN_STEP, MAX_STEP = 0.005, 0.3


@dataclass(frozen=True, slots=True)
class Individual:
    """A point of the unit cube, and the standard deviation of its mutations."""

    genes: Genes
    step: float


@dataclass(frozen=True, slots=True)
class Options:
    """The algorithm's settings."""

    population: int = 24
    elite: int = 2
    """The best individuals, which survive unchanged."""
    tournament: int = 3
    """Individuals drawn at random, of which the fittest becomes a parent."""
    blend: float = 0.25
    """How far beyond its parents a child may lie, relative to the distance between them."""
    mutated: float = 0.3
    """Share of the genes that a mutation changes."""
    first_step: float = 0.12
    """The mutation step of the first population."""


def first_population(
    starts: Sequence[Genes], options: Options, rng: random.Random
) -> list[Individual]:
    """Return one half of the starts and their mutations, and one half drawn uniformly."""
    uniform = random_population(len(starts[0]), options, rng)[: options.population // 2]
    mutations = []
    others = max(0, options.population - len(starts) - len(uniform))
    for start in itertools.islice(itertools.cycle(starts), others):
        step = options.first_step * 2 ** rng.uniform(-2, 1)
        mutations.append(Individual(mutate(start, step, options.mutated, rng), step))
    return [*(Individual(each, options.first_step) for each in starts), *mutations, *uniform]


def random_population(genes: int, options: Options, rng: random.Random) -> list[Individual]:
    """Return individuals drawn uniformly from the cube."""
    return [
        Individual(tuple(rng.random() for _ in range(genes)), options.first_step)
        for _ in range(options.population)
    ]


def next_generation(
    ranked: Sequence[Individual], options: Options, rng: random.Random
) -> list[Individual]:
    """Return the elite and the offspring of a population that is ranked, the fittest first."""

    def parent() -> Individual:
        return ranked[min(rng.randrange(len(ranked)) for _ in range(options.tournament))]

    offspring = [
        _child(parent(), parent(), options, rng) for _ in range(options.population - options.elite)
    ]
    return [*ranked[: options.elite], *offspring]


def _child(one: Individual, other: Individual, options: Options, rng: random.Random) -> Individual:
    genes = tuple(
        a + rng.uniform(-options.blend, 1 + options.blend) * (b - a)
        for a, b in zip(one.genes, other.genes, strict=True)
    )
    rate = 1 / math.sqrt(2 * math.sqrt(len(genes)))
    step = math.sqrt(one.step * other.step) * math.exp(rate * rng.gauss(0, 1))
    step = min(MAX_STEP, max(MIN_STEP, step))
    return Individual(mutate(genes, step, options.mutated, rng), step)
