"""A genetic algorithm on the unit cube, maximising a fitness that may be noisy.

Real-coded: parents win tournaments (Goldberg & Deb, 1991), blend crossover mixes them (Eshelman &
Schaffer, 1993), and each individual carries the step of its own mutations, which is inherited and
mutated with it (Schwefel, 1981). The best survive as they are, judged again with their young.
Nothing here knows what is evolved, or draws chance of its own.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.evolve.genome import Genes, mutate

_LEAST_STEP, _MOST_STEP = 0.005, 0.3


@dataclass(frozen=True, slots=True)
class Individual:
    """A point of the unit cube, and the standard deviation of its mutations."""

    genes: Genes
    step: float


@dataclass(frozen=True, slots=True)
class Options:
    """How a population breeds."""

    population: int = 24
    elite: int = 2
    tournament: int = 3
    """Individuals of whom the fittest becomes a parent."""
    blend: float = 0.25
    """How far beyond its parents a child may lie, in parts of the distance between them."""
    mutated: float = 0.3
    """Share of the genes that a mutation changes."""
    first_step: float = 0.12


def founders(start: Genes, options: Options, chance: random.Random) -> list[Individual]:
    """Make a first population: the start, mutations of it, and as many drawn evenly."""
    strangers = drawn(len(start), options, chance)[: options.population // 2]
    kin = [
        Individual(mutate(start, step, options.mutated, chance), step)
        for step in (
            options.first_step * 2 ** chance.uniform(-2, 1)
            for _ in range(options.population - 1 - len(strangers))
        )
    ]
    return [Individual(start, options.first_step), *kin, *strangers]


def drawn(genes: int, options: Options, chance: random.Random) -> list[Individual]:
    """Make a population that nothing is known of: drawn evenly from the cube."""
    return [
        Individual(tuple(chance.random() for _ in range(genes)), options.first_step)
        for _ in range(options.population)
    ]


def offspring(
    ranked: Sequence[Individual], options: Options, chance: random.Random
) -> list[Individual]:
    """Make the next population of one that is ranked, the fittest first."""

    def parent() -> Individual:
        return ranked[min(chance.randrange(len(ranked)) for _ in range(options.tournament))]

    young = [
        _child(parent(), parent(), options, chance)
        for _ in range(options.population - options.elite)
    ]
    return [*ranked[: options.elite], *young]


def _child(
    one: Individual, other: Individual, options: Options, chance: random.Random
) -> Individual:
    genes = tuple(
        a + chance.uniform(-options.blend, 1 + options.blend) * (b - a)
        for a, b in zip(one.genes, other.genes, strict=True)
    )
    rate = 1 / math.sqrt(2 * math.sqrt(len(genes)))
    step = math.sqrt(one.step * other.step) * math.exp(rate * chance.gauss(0, 1))
    step = min(_MOST_STEP, max(_LEAST_STEP, step))
    return Individual(mutate(genes, step, options.mutated, chance), step)
