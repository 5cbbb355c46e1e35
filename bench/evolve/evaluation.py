"""Judging candidates on simulated legacies, on several processes.

All candidates of a round meet the same legacies with the same random numbers, so that what tells
them apart is not luck. The result does not depend on the number of processes.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import fmean
from typing import Any

from bench.legacies.client import Clock
from bench.legacies.scenarios import draw
from bench.legacies.score import Score, fitness, score
from chalicelib.integrator.limiter.protocol import Limiter

Candidate = Callable[[Clock], Limiter]
"""A factory of limiters that can be sent to another process."""
Scores = tuple[Score, ...]
"""One candidate's, scenario by scenario."""
Drawn = tuple[str, str]
"""A legacy, by its family and the key it is drawn from."""
Judge = Callable[[Sequence[Candidate], Sequence[Drawn]], list[Scores]]
"""Judges candidates on legacies."""
Track = Callable[[Iterable[Any], int], Iterable[Any]]
"""Passes on what it is given, whose length it is told, and shows how far it has come."""


@contextmanager
def judge(processes: int, track: Track) -> Iterator[Judge]:
    """Give a judge with processes of its own, which end with the context."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:

        def judged(candidates: Sequence[Candidate], legacies: Sequence[Drawn]) -> list[Scores]:
            work = pool.imap(partial(_scores, tuple(candidates)), legacies)
            return list(zip(*track(work, len(legacies)), strict=True))

        yield judged


def _scores(candidates: Sequence[Candidate], drawn: Drawn) -> list[Score]:
    scenario = draw(*drawn)
    return [score(scenario, candidate) for candidate in candidates]


def summary(scores: Scores) -> dict[str, float]:
    """Sum up a candidate's scores: its fitness, and the means and the worst behind it."""
    found = {
        "fitness": fitness(scores),
        "ratio": fmean(each.ratio for each in scores),
        "worst": min(each.ratio for each in scores),
        "excess": fmean(each.excess for each in scores),
        "slowness": fmean(each.slowness for each in scores),
    }
    return {name: round(value, 4) for name, value in found.items()}
