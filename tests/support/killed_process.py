"""A run of a schedule in a process of its own, there to be killed: at a point of it, or any time.

The processes are forked from a server that has everything imported: one lives within milliseconds.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from multiprocessing.process import BaseProcess
from random import Random
from typing import Any, Literal

import app
from tests.support.lambda_events import context, schedule_event

# What the schedules import when they first run.
for lazily in ("replicator", "postgres.point_records", "integrator.run"):
    import_module(f"chalicelib.{lazily}")

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Point:
    """Where a process kills itself: before or after a method's call, counted in that process.

    ``statement`` narrows the calls to those that begin with it.
    """

    moment: Literal["before", "after"]
    method: str
    call: int = 1
    statement: str = ""

    def __str__(self) -> str:
        return f"{self.moment} {self.method.rpartition(':')[2]} {self.statement} {self.call}"


def start(
    schedule: str, variables: dict[str, str], point: Point | None = None, seconds: float = 60.0
) -> BaseProcess:
    """Start a process that runs ``replicate`` or ``integrate`` once and dies at ``point``."""
    process = _processes.Process(target=_live, args=(schedule, variables, point, seconds))
    process.start()
    return process


def run(schedule: str, variables: dict[str, str], point: Point | None = None) -> int | None:
    """Run a schedule in a process to its end, and return the process' exit code."""
    process = start(schedule, variables, point)
    process.join(60)
    process.kill()
    process.join()
    return process.exitcode


def kill_after(process: BaseProcess, seconds: float) -> None:
    """Kill -9 a process after so long, unless it has ended by then."""
    process.join(seconds)
    process.kill()
    process.join()


def killed_at_random(
    schedule: str,
    variables: dict[str, str],
    rounds: int,
    accept_more: Callable[[], list[str]],
    after_each: Callable[[], None] = lambda: None,
) -> list[str]:
    """Run a schedule ``rounds`` times, each killed at any time of it, if it has not ended by then.

    ``accept_more`` is called before each, and returns ids; all of them are returned.
    """
    chance = Random(20_261_122)
    ids = accept_more()
    started = time.monotonic()
    assert run(schedule, variables) == 0
    whole_run_s = time.monotonic() - started
    ends = []
    for _ in range(rounds):
        ids += accept_more()
        process = start(schedule, variables)
        kill_after(process, chance.uniform(0, whole_run_s))
        ends.append(process.exitcode)
        after_each()
    assert -signal.SIGKILL in ends
    return ids


def _live(schedule: str, variables: dict[str, str], point: Point | None, seconds: float) -> None:
    os.environ.update(variables)
    if point:
        _arm(point)
    getattr(app, schedule)(schedule_event(), context(seconds))


def _arm(point: Point) -> None:
    module, _, path = point.method.partition(":")
    class_name, _, name = path.partition(".")
    owner = getattr(import_module(module), class_name)
    original = getattr(owner, name)
    calls = count(1)

    def deadly(self: Any, *args: Any, **named: Any) -> Any:
        meant = not point.statement or args[0].startswith(point.statement)
        is_last = meant and next(calls) == point.call
        if is_last and point.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, *args, **named)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)
