"""Evaluate candidates on simulated legacies, on several processes.

All candidates of a round run on the same legacies with the same random numbers (common random
numbers), so that noise does not decide between them. The number of processes does not change the
result.
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
"""One candidate's scores, one per scenario."""
LegacyKey = tuple[str, str]
"""A family of legacies, and the key from which its member is drawn."""
Evaluate = Callable[[Sequence[Candidate], Sequence[LegacyKey]], list[Scores]]
"""Evaluates candidates on legacies; returns one ``Scores`` per candidate."""
Track = Callable[[Iterable[Any], int], Iterable[Any]]
"""Yields the items of an iterable of known length, and shows the progress."""


@contextmanager
def evaluator(processes: int, track: Track) -> Iterator[Evaluate]:
    """Yield a function that evaluates on a pool of processes, which ends with the context."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:

        def evaluate(
            candidates: Sequence[Candidate], legacies: Sequence[LegacyKey]
        ) -> list[Scores]:
            work = pool.imap(partial(_scores, tuple(candidates)), legacies)
            return list(zip(*track(work, len(legacies)), strict=True))

        yield evaluate


def _scores(candidates: Sequence[Candidate], key: LegacyKey) -> list[Score]:
    scenario = draw(*key)
    return [score(scenario, candidate) for candidate in candidates]


def summary(scores: Scores) -> dict[str, float]:
    """Summarize a candidate's scores: its fitness, and the figures behind it."""
    figures = {
        "fitness": fitness(scores),
        "ratio": fmean(each.ratio for each in scores),
        "worst": min(each.ratio for each in scores),
        "excess": fmean(each.excess for each in scores),
        "slowness": fmean(each.slowness for each in scores),
    }
    return {name: round(value, 4) for name, value in figures.items()}
