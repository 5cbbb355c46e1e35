"""A search for better parameters, in steps, with a state that can be saved after each step.

Two strategies get the same number of evaluations:

- *Evolution* breeds each population from the last one, and the first one from the starts.
- *Random search* draws each population uniformly from the safe bounds (Bergstra & Bengio, 2012).

Each generation is evaluated on new legacies, against overfitting. Evolution ends with the centroid
of the better half of its last generation, which averages out the noise of the individuals (genetic
repair: Beyer, 1995). Its finalists are this centroid and the starts. The finalists of random search
are the best of each generation. The finals use more legacies, and the finalist with the highest
fitness wins. Both winners and the starts are then compared on held-out legacies, which no seed
draws for training.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from bench.evolve.algorithm import (
    Individual,
    Options,
    first_population,
    next_generation,
    random_population,
)
from bench.evolve.evaluation import Candidate, Evaluate, LegacyKey, summary
from bench.evolve.genome import Genes, Genome
from bench.legacies.scenarios import FAMILIES
from bench.legacies.score import fitness
from chalicelib.integrator.limiter.parameter_file import POLICY

STRATEGIES = ("evolution", "random")


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a search; the same plan always gives the same result."""

    seed: int = 1
    families: tuple[str, ...] = tuple(FAMILIES)
    generations: int = 25
    draws: int = 2
    """Legacies of each family in a generation."""
    finals: int = 20
    """Legacies of each family in the finals."""
    held_out: int = 20
    """Legacies of each family in the last comparison."""
    options: Options = field(default_factory=Options)


class Search:
    """Runs a plan. ``state`` is JSON; a search that is made with it continues from there."""

    def __init__(
        self,
        plan: Plan,
        genome: Genome,
        starts: Sequence[Any],
        make: Callable[[Any], Candidate],
        baselines: Mapping[str, Candidate],
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin a search, or continue one.

        Args:
            plan: the settings.
            genome: encodes the parameters.
            starts: the parameters to begin with, at least one.
            make: makes a candidate from parameters.
            baselines: other candidates of the last comparison, by name.
            state: the state of a search to continue.

        Raises:
            ValueError: the state is that of another plan or of other starts.
        """
        self._plan, self._genome = plan, genome
        self._starts = [genome.encode(each) for each in starts]
        self._make, self._baselines = make, baselines
        identity = json.loads(
            json.dumps({"plan": asdict(plan), "starts": [asdict(each) for each in starts]})
        )
        if state and state["identity"] != identity:
            raise ValueError("the state is that of another search")
        self.state = state or {
            "identity": identity,
            **{name: {"population": [], "finalists": [], "history": []} for name in STRATEGIES},
            "held_out": None,
        }

    @property
    def evaluations(self) -> int:
        """Candidates that one strategy evaluates before the finals."""
        return self._plan.generations * self._plan.options.population

    @property
    def finished(self) -> bool:
        """Return whether the last comparison is done."""
        return self.state["held_out"] is not None

    def step(self, evaluate: Evaluate) -> str:
        """Do the next step, which takes some seconds, and return a line about its result."""
        for name in STRATEGIES:
            if len(self.state[name]["history"]) < self._plan.generations:
                return self._generation(name, evaluate)
            if "winner" not in self.state[name]:
                return self._finals(name, evaluate)
        return self._compare(evaluate)

    def _generation(self, name: str, evaluate: Evaluate) -> str:
        progress, plan = self.state[name], self._plan
        number = len(progress["history"])
        population = self._population(name, number)
        scores = evaluate(
            [self._candidate(each.genes) for each in population],
            self._legacies(f"{plan.seed}/{number}", plan.draws),
        )
        fitnesses = [fitness(each) for each in scores]
        order = sorted(range(len(population)), key=lambda at: -fitnesses[at])
        ranked = [population[at] for at in order]
        progress["population"] = [[each.genes, each.step] for each in ranked]
        if name == "random":
            progress["finalists"].append(ranked[0].genes)
        elif number == plan.generations - 1:
            progress["finalists"].append(_centroid(ranked[: len(ranked) // 2]))
        best, mean = fitnesses[order[0]], fmean(fitnesses)
        progress["history"].append({"best": round(best, 4), "mean": round(mean, 4)})
        return (
            f"{name} {number + 1}/{plan.generations}: fitness best {best:.4f}, mean {mean:.4f},"
            f" step {fmean(each.step for each in ranked):.3f}"
        )

    def _population(self, name: str, number: int) -> list[Individual]:
        plan = self._plan
        rng = random.Random(f"{plan.seed}/{name}/{number}")
        if name == "random":
            return random_population(len(self._starts[0]), plan.options, rng)
        if number == 0:
            return first_population(self._starts, plan.options, rng)
        ranked = [Individual(tuple(genes), step) for genes, step in self.state[name]["population"]]
        return next_generation(ranked, plan.options, rng)

    def _finals(self, name: str, evaluate: Evaluate) -> str:
        starts = self._starts if name == "evolution" else []
        finalists = list(dict.fromkeys([*starts, *map(tuple, self.state[name]["finalists"])]))
        scores = evaluate(
            [self._candidate(genes) for genes in finalists],
            self._legacies(f"{self._plan.seed}/finals", self._plan.finals),
        )
        fitnesses = [fitness(each) for each in scores]
        at = fitnesses.index(max(fitnesses))
        figures = {"winner": summary(scores[at])}
        if starts:
            figures["start"] = summary(scores[0])
        self.state[name] |= {"winner": finalists[at], "finals": figures}
        return f"{name} finals: fitness of winner {fitnesses[at]:.4f}"

    def _compare(self, evaluate: Evaluate) -> str:
        candidates = {
            "evolved": self._candidate(self.state["evolution"]["winner"]),
            "random_search": self._candidate(self.state["random"]["winner"]),
            "start": self._candidate(self._starts[0]),
            **{f"start {n}": self._candidate(each) for n, each in enumerate(self._starts[1:], 2)},
            **self._baselines,
        }
        legacies = self._legacies("held-out", self._plan.held_out)
        scores = evaluate(list(candidates.values()), legacies)
        self.state["held_out"] = {
            name: summary(each) for name, each in zip(candidates, scores, strict=True)
        }
        fitnesses = ", ".join(
            f"{name} {each['fitness']:.4f}" for name, each in self.state["held_out"].items()
        )
        return f"held out: fitness {fitnesses}"

    def _legacies(self, prefix: str, draws: int) -> list[LegacyKey]:
        return [
            (family, f"{prefix}/{draw}") for draw in range(draws) for family in self._plan.families
        ]

    def _candidate(self, genes: Sequence[float]) -> Candidate:
        return self._make(self._genome.decode(tuple(genes)))

    def result(self) -> dict[str, Any]:
        """Return the parameter file of a finished search."""
        evolution = self.state["evolution"]
        return {
            "policy": POLICY,
            "parameters": asdict(self._genome.decode(tuple(evolution["winner"]))),
            "provenance": {
                "plan": asdict(self._plan),
                "evaluations": self.evaluations,
                "training": evolution["finals"],
                "held_out": self.state["held_out"],
                "starts": self.state["identity"]["starts"],
            },
        }


def _centroid(individuals: Sequence[Individual]) -> Genes:
    """Return the mean of each gene."""
    return tuple(
        fmean(places) for places in zip(*(each.genes for each in individuals), strict=True)
    )
