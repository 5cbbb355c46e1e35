"""``python -m tests.chaos --seconds 600``: run chaos, print a table, and return 1 if it found."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.chaos.rounds import run


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    console = Console(width=120)
    console.print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as home:
        outcome = run(options.seconds, options.seed, Path(home), console.print)
    console.print(outcome.table())
    for problem in outcome.faults_of_ours():
        console.print(problem, style="red", markup=False)
    return 1 if outcome.faults_of_ours() else 0


if __name__ == "__main__":
    sys.exit(main())
