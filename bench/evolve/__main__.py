"""Evolve the parameters of the adaptive limiter on simulated legacies.

Write a parameter file (LIMIT_PARAMETERS) with its provenance and its scores, beside those of the
start, of random search with the same number of evaluations, of the default parameters and of the
classic limiter. A state file is written after each step; --resume continues from it, with the same
result.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from bench.evolve.algorithm import MAX_STEP, Options
from bench.evolve.evaluation import Candidate, evaluator
from bench.evolve.genome import Genome
from bench.evolve.search import Plan, Search
from bench.legacies.scenarios import FAMILIES
from bench.legacies.score import MAX_LIMIT
from chalicelib.integrator.limiter import adaptive, classic
from chalicelib.integrator.limiter.parameter_file import checked, load
from chalicelib.integrator.limiter.parameters import Parameters

_CONSOLE = Console()


def main(arguments: list[str] | None = None) -> int:
    """Run or resume a search and return the exit status: 3 if it stopped before its end."""
    args = _parser().parse_args(arguments)
    starts = [_start(each) for each in args.start]
    plan = Plan(
        seed=args.seed,
        families=tuple(args.families),
        generations=args.generations,
        draws=args.draws,
        finals=args.finals,
        held_out=args.held_out,
        options=Options(population=args.population, first_step=args.first_step),
    )
    state_file: Path = args.state or args.out.with_suffix(".state.json")
    state = json.loads(state_file.read_text("utf-8")) if args.resume else None
    baselines: dict[str, Candidate] = {
        "defaults": _candidate(Parameters()),
        "classic": partial(classic, max_limit=MAX_LIMIT),
    }
    try:
        search = Search(plan, Genome(starts[0]), starts, _candidate, baselines, state)
    except ValueError as error:
        _CONSOLE.print(
            f"{state_file}: {error}; resume it with the options with which it began", style="red"
        )
        return 2
    steps = 0
    with evaluator(args.processes, _track) as evaluate:
        while not search.finished:
            if args.steps and steps == args.steps:
                _CONSOLE.print(f"stopped; continue with --resume ({state_file})")
                return 3
            began = time.monotonic()
            line = search.step(evaluate)
            _write(state_file, search.state)
            _CONSOLE.print(f"{line}  [{time.monotonic() - began:.1f} s]", markup=False)
            steps += 1
    result = search.result()
    checked(result["parameters"], "the result")
    _write(args.out, result)
    _CONSOLE.print(f"written to {args.out}")
    return 0


def _candidate(parameters: Parameters) -> Candidate:
    return partial(adaptive, max_limit=MAX_LIMIT, parameters=parameters)


def _start(start: str) -> Parameters:
    """Return the parameters to start with: the defaults, the middle of the bounds, or a file's."""
    if start == "defaults":
        return Parameters()
    if start == "middle":
        genome = Genome(Parameters())
        middle: Parameters = genome.decode((0.5,) * len(genome.genes))
        return middle
    return load(Path(start))


def _track(work: Iterable[Any], total: int) -> Iterable[Any]:
    return track(
        work,
        "evaluating",
        total,
        console=_CONSOLE,
        transient=True,
        disable=not _CONSOLE.is_terminal,
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file atomically."""
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.evolve", description=__doc__)
    plan = Plan()
    number = partial(parser.add_argument, type=_positive)
    parser.add_argument("--seed", type=int, default=plan.seed, help="seed of all random numbers")
    parser.add_argument(
        "--families",
        nargs="+",
        choices=FAMILIES,
        default=plan.families,
        metavar="FAMILY",
        help="families of legacies: " + ", ".join(FAMILIES),
    )
    number("--generations", default=plan.generations)
    number("--population", default=plan.options.population, help="candidates of a generation")
    parser.add_argument(
        "--first-step",
        type=_step,
        default=plan.options.first_step,
        help="mutation step of the first population; a small one searches near the start",
    )
    number("--draws", default=plan.draws, help="legacies of each family in a generation")
    number("--finals", default=plan.finals, help="the same in the finals")
    number("--held-out", default=plan.held_out, help="the same in the last comparison")
    number("--processes", default=os.cpu_count(), help="do not change the result")
    number("--steps", help="stop after this number of steps; --resume continues")
    parser.add_argument(
        "--start",
        nargs="+",
        default=["defaults"],
        help="first candidates: defaults, middle (of the safe bounds), or parameter files",
    )
    parser.add_argument("--out", type=Path, required=True, help="parameter file to write")
    parser.add_argument("--state", type=Path, help="state file (default: OUT.state.json)")
    parser.add_argument("--resume", action="store_true", help="continue from the state file")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _step(text: str) -> float:
    value = float(text)
    if not 0 < value <= MAX_STEP:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {MAX_STEP}, not {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
