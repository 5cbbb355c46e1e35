"""Offer a shift change to a whole stack: how fast it is accepted, and the CPU a punch by part.

``PUNCHES=50000 BESIDE=DIRECTORY python -m bench burst`` measures another checkout of the project in
turn with this one. Both get the same senders, those of this checkout. ``PERIOD_S`` is the period of
the burst (15), ``ROUNDS`` the number of bursts of each (3); the figures are medians. Each burst has
a stack of its own, with an empty data directory.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.stack_cpu import cpu_by_part
from local.burst.report import stages
from local.commands.burst import make_plan, run_burst
from local.stack_file import NotRunningError, read_stack

_PUNCHES = int(os.environ.get("PUNCHES", "5000"))
_SECONDS = float(os.environ.get("PERIOD_S", "15"))
_ROUNDS = int(os.environ.get("ROUNDS", "3"))
_HERE = Path(__file__).resolve().parents[1]
_POLL_S = 0.2
_START_TIMEOUT_S = 120.0
_PATIENCE_S = 300.0
_CPU = "CPU a punch, ms"
# Figures that are no durations: their ratio says nothing.
_COUNTS = ("lost", "duplicated", "cores that others used")

_Figures = dict[str, float]


def main() -> None:
    """Measure and print."""
    trees = [_HERE, *map(Path, filter(None, [os.environ.get("BESIDE")]))]
    figures: dict[Path, list[_Figures]] = {tree: [] for tree in trees}
    console = Console(stderr=True)
    for tree in trees * _ROUNDS:
        figures[tree].append(_measure(tree, console))
        console.print(
            tree.name, {name: round(value, 2) for name, value in figures[tree][-1].items()}
        )
    is_compared = len(trees) > 1
    table = Table(f"{_PUNCHES:,} punches in {_SECONDS:g} s", *(tree.name for tree in figures))
    if is_compared:
        table.add_column("ratio")
    for name in dict.fromkeys(name for runs in figures.values() for run in runs for name in run):
        values = [[run[name] for run in runs if name in run] for runs in figures.values()]
        row = [f"{median(each):,.2f}" if each else "" for each in values]
        if is_compared and all(values) and name not in _COUNTS:
            # The bursts are in turns: each ratio is of neighbours in time.
            row.append(f"{median(a / b for a, b in zip(*values, strict=True) if b):.2f}")
        table.add_row(name, *row)
    Console().print(table)


def _measure(tree: Path, console: Console) -> _Figures:
    """Return the figures of one burst on a new stack of a checkout."""
    with _stack_of(tree) as stack:
        plan = make_plan(stack, punches=_PUNCHES, seconds=_SECONDS)
        started_at, busy_s, own_s = time.monotonic(), _busy_s(), time.process_time()
        before = cpu_by_part(stack["pids"])
        result = run_burst(stack, plan, _PATIENCE_S, console)
        after = cpu_by_part(stack["pids"])
        busy_s, own_s = _busy_s() - busy_s, time.process_time() - own_s
        elapsed_s = time.monotonic() - started_at
    cpu_s = {name: after[name] - before[name] for name in after}
    cpu_s |= {"senders": sum(each.cpu_s for each in result.sent), "counting": own_s}
    ends_s = {name: at_s for name, (_, at_s) in stages(result).items()}
    return {
        "accepted/s": len(result.accepted) / ends_s["accepted in"],
        **{f"{name}, s": at_s for name, at_s in ends_s.items()},
        "lost": len(result.lost) + len(result.waiting),
        "duplicated": len(result.duplicated),
        "cores that others used": (busy_s - sum(cpu_s.values())) / elapsed_s,
        _CPU: sum(cpu_s.values()) / _PUNCHES * 1000,
        **{f"  {name}": each / _PUNCHES * 1000 for name, each in cpu_s.items()},
    }


@contextmanager
def _stack_of(tree: Path) -> Iterator[Mapping[str, Any]]:
    """Run a stack of a checkout in a new data directory; yield its description."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "data"
        home.parent.chmod(0o755)  # PostgreSQL runs under its own account
        command = [sys.executable, "-m", "local", "up", "--data", str(home), "--port", "0"]
        with home.with_name("up.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=tree, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _description(home, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _description(home: Path, process: "subprocess.Popen[bytes]") -> Mapping[str, Any]:
    """Wait until the stack is ready, and return its description.

    Raises:
        RuntimeError: it did not start. The message has its output.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return read_stack(home)
        except NotRunningError:
            time.sleep(_POLL_S)
    raise RuntimeError(f"The stack did not start: {home.with_name('up.log').read_text()}")


def _busy_s() -> float:
    """Return the CPU that all processes of this machine have used, in seconds."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))
