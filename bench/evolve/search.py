"""A search for better parameters, step by step, with a state that can be saved after each.

Two strategies get the same budget. *Evolution* breeds each population from the one before, and the
first from the start; *random* draws each evenly from the safe bounds (Bergstra & Bengio, 2012).
Each generation meets legacies of its own, so nothing is learned by heart. What evolution ends with
is the middle of the better half of its last generation, in which the luck of each cancels out
(Beyer, 1995, calls it genetic repair). Random search has no such middle: the best of each of its
generations meet once more, on more legacies. The winners, and the start, are then judged on
legacies that no seed draws for training.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from bench.evolve.algorithm import Individual, Options, drawn, founders, offspring
from bench.evolve.evaluation import Candidate, Drawn, Judge, summary
from bench.evolve.genome import Genes, Genome
from bench.legacies.scenarios import FAMILIES
from bench.legacies.score import fitness
from chalicelib.integrator.limiter.parameter_file import POLICY

STRATEGIES = ("evolution", "random")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search does: the same plan gives the same result, whoever runs it."""

    seed: int = 1
    families: tuple[str, ...] = tuple(FAMILIES)
    generations: int = 25
    draws: int = 2
    """Legacies of each family that a generation meets."""
    finals: int = 20
    """Legacies of each family that the finalists meet."""
    held_out: int = 20
    """Legacies of each family that the winner meets in the end."""
    options: Options = field(default_factory=Options)


class Search:
    """Runs a plan; ``state`` is JSON, and a search made with it goes on from there."""

    def __init__(
        self,
        plan: Plan,
        genome: Genome,
        start: Any,
        make: Callable[[Any], Candidate],
        peers: Mapping[str, Candidate],
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin or go on.

        Args:
            start: the parameters to begin with.
            make: makes a candidate of parameters.
            peers: what the winner is compared with, by name.

        Raises:
            ValueError: the state is of another plan or start.
        """
        self._plan, self._genome = plan, genome
        self._start = genome.encode(start)
        self._make, self._peers = make, peers
        identity = json.loads(json.dumps({"plan": asdict(plan), "start": asdict(start)}))
        if state and state["identity"] != identity:
            raise ValueError("the state is that of another search")
        self.state = state or {
            "identity": identity,
            **{name: {"population": [], "finalists": [], "history": []} for name in STRATEGIES},
            "held_out": None,
        }

    @property
    def evaluations(self) -> int:
        """Sets of parameters that one strategy judges before the finals."""
        return self._plan.generations * self._plan.options.population

    @property
    def finished(self) -> bool:
        return self.state["held_out"] is not None

    def step(self, judge: Judge) -> str:
        """Do the next piece of work, some seconds long, and say in a line what came of it."""
        for name in STRATEGIES:
            if len(self.state[name]["history"]) < self._plan.generations:
                return self._generation(name, judge)
            if "winner" not in self.state[name]:
                return self._finals(name, judge)
        return self._hold_out(judge)

    def _generation(self, name: str, judge: Judge) -> str:
        found, plan = self.state[name], self._plan
        number = len(found["history"])
        population = self._population(name, number)
        scores = judge(
            [self._candidate(each.genes) for each in population],
            self._legacies(f"{plan.seed}/{number}", plan.draws),
        )
        marks = [fitness(each) for each in scores]
        order = sorted(range(len(population)), key=lambda at: -marks[at])
        ranked = [population[at] for at in order]
        found["population"] = [[each.genes, each.step] for each in ranked]
        if name == "random":
            found["finalists"].append(ranked[0].genes)
        elif number == plan.generations - 1:
            found["finalists"].append(_middle(ranked[: len(ranked) // 2]))
        best, mean = marks[order[0]], fmean(marks)
        found["history"].append({"best": round(best, 4), "mean": round(mean, 4)})
        return (
            f"{name} {number + 1}/{plan.generations}: fitness best {best:.4f}, mean {mean:.4f},"
            f" step {fmean(each.step for each in ranked):.3f}"
        )

    def _population(self, name: str, number: int) -> list[Individual]:
        plan = self._plan
        chance = random.Random(f"{plan.seed}/{name}/{number}")
        if name == "random":
            return drawn(len(self._start), plan.options, chance)
        if number == 0:
            return founders(self._start, plan.options, chance)
        ranked = [Individual(tuple(genes), step) for genes, step in self.state[name]["population"]]
        return offspring(ranked, plan.options, chance)

    def _finals(self, name: str, judge: Judge) -> str:
        finalists = list(dict.fromkeys([self._start, *map(tuple, self.state[name]["finalists"])]))
        scores = judge(
            [self._candidate(genes) for genes in finalists],
            self._legacies(f"{self._plan.seed}/finals", self._plan.finals),
        )
        marks = [fitness(each) for each in scores]
        at = marks.index(max(marks))
        self.state[name] |= {
            "winner": finalists[at],
            "finals": {"winner": summary(scores[at]), "start": summary(scores[0])},
        }
        return f"{name} finals: fitness of the winner {marks[at]:.4f}, of the start {marks[0]:.4f}"

    def _hold_out(self, judge: Judge) -> str:
        compared = {
            "evolved": self._candidate(self.state["evolution"]["winner"]),
            "random_search": self._candidate(self.state["random"]["winner"]),
            "start": self._candidate(self._start),
            **self._peers,
        }
        legacies = self._legacies("held-out", self._plan.held_out)
        scores = judge(list(compared.values()), legacies)
        self.state["held_out"] = {
            name: summary(each) for name, each in zip(compared, scores, strict=True)
        }
        marks = ", ".join(
            f"{name} {each['fitness']:.4f}" for name, each in self.state["held_out"].items()
        )
        return f"held out: fitness {marks}"

    def _legacies(self, prefix: str, draws: int) -> list[Drawn]:
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
                "start": self.state["identity"]["start"],
            },
        }


def _middle(individuals: Sequence[Individual]) -> Genes:
    """Return the mean of the genes: what is luck in each cancels out in it."""
    return tuple(
        fmean(places) for places in zip(*(each.genes for each in individuals), strict=True)
    )
