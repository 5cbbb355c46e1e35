"""Run a function of the app in a separate process, and kill or stop it at a point or a time.

The processes are forked from a server that has imported everything, so one starts within
milliseconds.
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

import psutil

import app
from tests.support.lambda_events import context, schedule_event
from tests.support.waiting import wait_until

# The modules that the schedules import on first use.
for name in ("replicator", "postgres.point_records", "integrator.run", "dynamodb.boto_client"):
    import_module(f"chalicelib.{name}")

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class KillPoint:
    """Where a process signals itself: before or after the n-th call of a method.

    Attributes:
        moment: before or after the call.
        method: the method, as ``module:Class.method``.
        call: which call of the method in this process, from 1.
        statement: count only calls whose first argument, an SQL statement, begins with this.
        by: SIGKILL, or SIGSTOP for a process that is silent until it gets SIGCONT.
    """

    moment: Literal["before", "after"]
    method: str
    call: int = 1
    statement: str = ""
    by: signal.Signals = signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.moment} {self.method.rpartition(':')[2]} {self.statement} {self.call}"


def start(
    function: str,
    variables: dict[str, str],
    point: KillPoint | None = None,
    seconds: float = 60.0,
    event: dict[str, Any] | None = None,
) -> BaseProcess:
    """Start a process that runs a function of the app once, and signal it at ``point``.

    Args:
        function: a schedule, such as ``replicate``, or an operator command.
        variables: the environment of the process.
        point: where the process signals itself.
        seconds: the time that Lambda gives it.
        event: the event of an operator command; None for a schedule.
    """
    process = _processes.Process(
        target=_run_function, args=(function, variables, point, seconds, event)
    )
    process.start()
    return process


def run(
    function: str,
    variables: dict[str, str],
    point: KillPoint | None = None,
    event: dict[str, Any] | None = None,
) -> int | None:
    """Run a function in a process, wait until the process ends, and return its exit code."""
    process = start(function, variables, point, event=event)
    process.join(60)
    process.kill()
    process.join()
    return process.exitcode


def wait_until_stopped(process: BaseProcess) -> None:
    """Wait until SIGSTOP has stopped a process."""

    def is_stopped() -> bool:
        assert process.is_alive()
        return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED

    wait_until(is_stopped)


def kill_after(process: BaseProcess, seconds: float) -> None:
    """Kill a process with SIGKILL after this time, unless it has ended before."""
    process.join(seconds)
    process.kill()
    process.join()


def run_killed_at_random(
    schedule: str,
    variables: dict[str, str],
    rounds: int,
    accept_more: Callable[[], list[str]],
    after_each: Callable[[], None] = lambda: None,
) -> list[str]:
    """Run a schedule ``rounds`` times, and kill each run at a random time unless it ends before.

    Args:
        schedule: ``replicate`` or ``integrate``.
        variables: the environment of the process.
        rounds: the number of runs that are killed.
        accept_more: called before each run; accepts records and returns their ids.
        after_each: called after each run.

    Returns:
        All ids from ``accept_more``.
    """
    rng = Random(20_261_122)
    ids = accept_more()
    started = time.monotonic()
    assert run(schedule, variables) == 0
    whole_run_s = time.monotonic() - started
    exit_codes = []
    for _ in range(rounds):
        ids += accept_more()
        process = start(schedule, variables)
        kill_after(process, rng.uniform(0, whole_run_s))
        exit_codes.append(process.exitcode)
        after_each()
    assert -signal.SIGKILL in exit_codes
    return ids


def _run_function(
    function: str,
    variables: dict[str, str],
    point: KillPoint | None,
    seconds: float,
    event: dict[str, Any] | None,
) -> None:
    os.environ.update(variables)
    if point:
        _kill_at(point)
    getattr(app, function)(event or schedule_event(), context(seconds))


def _kill_at(point: KillPoint) -> None:
    """Replace the method of the point by one that signals this process at the point."""
    module, _, path = point.method.partition(":")
    class_name, _, name = path.partition(".")
    owner = getattr(import_module(module), class_name)
    original = getattr(owner, name)
    calls = count(1)

    def call_or_kill(self: Any, *args: Any, **named: Any) -> Any:
        counts = not point.statement or args[0].startswith(point.statement)
        is_last = counts and next(calls) == point.call
        if is_last and point.moment == "before":
            os.kill(os.getpid(), point.by)
        result = original(self, *args, **named)
        if is_last and point.moment == "after":
            os.kill(os.getpid(), point.by)
        return result

    setattr(owner, name, call_or_kill)
