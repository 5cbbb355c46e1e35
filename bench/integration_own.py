"""Measure the integrator's own cost of a record: claims at no cost, a legacy that answers at once.

``BESIDE=DIRECTORY python -m bench integration_own`` measures another checkout of the project in
turn with this one, and prints the ratio of the medians.
"""

import gc
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.instant_http import running
from bench.integration import POLICY, integrate, settings
from bench.integration_cpu import FixedLimit, NoDatabase
from chalicelib.integrator.limiter import POLICIES

_RECORDS = 10_000
_LIMITS = (8, 32, 100)
_ROUNDS = 5
_HERE = Path(__file__).resolve().parents[1]

# By limit: CPU of a record in us, and records a second.
_Figures = dict[str, tuple[float, float]]


def main() -> None:
    """Measure and print."""
    trees = [_HERE, *map(Path, filter(None, [os.environ.get("BESIDE")]))]
    figures: dict[Path, list[_Figures]] = {tree: [] for tree in trees}
    with running("bench.instant_legacy") as url:
        for tree in track(trees * _ROUNDS, "instant legacy", console=Console(stderr=True)):
            figures[tree].append(_measured(tree, url))
    table = Table("calls at once", *(str(each) for each in (*_LIMITS, POLICY)))
    medians = {
        tree: [[median(run[name][number] for run in runs) for name in runs[0]] for number in (0, 1)]
        for tree, runs in figures.items()
    }
    for tree, (cpu_us, per_s) in medians.items():
        name = "" if tree == _HERE else f", {tree.name}"
        table.add_row(f"CPU a record{name}", *(f"{each:.0f} us" for each in cpu_us))
        table.add_row(f"records/s{name}", *(f"{each:,.0f}" for each in per_s))
    if len(trees) > 1:
        for title, here, beside in zip(("CPU", "records/s"), *medians.values(), strict=True):
            ratios = (a / b for a, b in zip(here, beside, strict=True))
            table.add_row(f"ratio of {title}", *(f"{each:.2f}" for each in ratios))
    Console().print(table)


def _measured(tree: Path, url: str) -> _Figures:
    """Measure a checkout in a process of its own."""
    child = subprocess.run(
        [sys.executable, Path(__file__), url],
        env=os.environ | {"PYTHONPATH": str(tree)},
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the log of the runs
    )
    figures: _Figures = json.loads(child.stdout.splitlines()[-1])
    return figures


def _measure(url: str) -> _Figures:
    makers = {str(limit): partial(FixedLimit, limit) for limit in _LIMITS}
    adaptive = partial(POLICIES[POLICY], max_limit=settings.limit_max)
    figures: _Figures = {}
    for name, make in [*makers.items(), (POLICY, adaptive)]:
        claims = NoDatabase(_RECORDS)
        gc.collect()
        cpu_s = time.process_time()
        run, _ = integrate(None, url, limiter=make, claims=claims)  # type: ignore[arg-type]
        cpu_s = time.process_time() - cpu_s
        figures[name] = cpu_s / _RECORDS * 1e6, _RECORDS / run.seconds
    return figures


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1])))
