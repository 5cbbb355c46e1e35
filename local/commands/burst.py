"""``python -m local burst``: load like a shift change, followed to the end, with an exact count.

Sends distinct punches to a running stack from several processes (``local.burst.load``), follows
them through the stores to the legacy (``follow``) and prints when each stage was done, with the
count of what was lost or doubled (``tally``).
Load only ever goes to this machine: a stack of which any part is elsewhere is refused.
"""

import argparse
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from chalicelib.errors import UnavailableError
from chalicelib.net import is_loopback
from chalicelib.principal import Role
from local.arguments import number, whole
from local.burst.load import Crew, Plan, Sent
from local.burst.progress import Follower, Progress
from local.burst.report import Result, acknowledged, details, stage_table, tally
from local.stack_file import NotRunningError, add_data_argument, read_stack
from local.tokens import make_token

_POLL_S = 0.5
_START_S = 1.5  # for the processes to be up before the first punch is due
_GIVE_UP_S = 60.0  # for the calls in flight to end
_TOKEN_LASTS_S = 86_400.0
_STAGES = ("accepted", "replicated", "integrated", "at the legacy")


class BurstError(Exception):
    """The burst cannot begin or cannot be counted. The message is for people."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``burst``."""
    parser.add_argument("punches", type=whole(1), help="how many, each of another employee")
    parser.add_argument("--seconds", type=number(), default=15.0, help="they are spread over (15)")
    parser.add_argument("--processes", type=whole(1), default=2, help="that send (2)")
    parser.add_argument("--at-once", type=whole(1), default=32, help="calls in flight of each (32)")
    parser.add_argument(
        "--resent",
        type=number(0, 1),
        default=0.02,
        help="share sent once more on purpose (0.02)",
    )
    parser.add_argument(
        "--patience",
        type=number(),
        default=300.0,
        help="seconds to wait for any progress (300) before what is on its way counts as waiting",
    )
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run a burst and print its table; return 0 if it was clean, 1 if not, 2 if it could not be."""
    console = Console()
    try:
        stack = read_stack(arguments.data)
        require_loopback(stack)
        employer_id = secrets.randbelow(2**62) + 1
        key = Path(stack["jwt_key"]).read_text().strip()
        plan = Plan(
            url=urljoin(stack["api"], "/point-record"),
            token=make_token(key, Role.EMPLOYER, employer_id, lasts_s=_TOKEN_LASTS_S),
            employer_id=employer_id,
            punches=arguments.punches,
            seconds=arguments.seconds,
            starts_at=time.time() + _START_S,
            processes=arguments.processes,
            resent=arguments.resent,
            at_once=arguments.at_once,
        )
        result = burst(stack, plan, arguments.patience, console)
    except (NotRunningError, BurstError) as error:
        console.print(str(error), style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped; what was sent goes its way uncounted.")
        return 130
    console.print(stage_table(result), details(result))
    return 0 if result.is_clean else 1


def require_loopback(stack: Mapping[str, Any]) -> None:
    """Refuse a stack of which a part is on another machine.

    Raises:
        BurstError: naming the part.
    """
    for name in ("api", "dynamodb", "postgres", "legacy"):
        if not is_loopback(urlsplit(stack[name]).hostname):
            raise BurstError(f"The stack's {name} is not on this machine: no burst goes there.")


def burst(stack: Mapping[str, Any], plan: Plan, patience_s: float, console: Console) -> Result:
    """Send the punches and follow them until all are settled, or nothing moves for too long.

    Raises:
        BurstError: a sending process died, or the stores cannot be asked at the end.
    """
    follower = Follower(stack, plan.employer_id)
    crew = Crew(plan)
    try:
        with _Bars(plan.punches, console) as bars:
            return _follow(plan, crew, follower, bars, patience_s)
    except EOFError as error:
        raise BurstError("A process that sends punches died.") from error
    except UnavailableError as error:
        raise BurstError(f"The records cannot be counted: {error.message}") from error
    finally:
        crew.stop()
        follower.close()


def _follow(plan: Plan, crew: Crew, follower: Follower, bars: "_Bars", patience_s: float) -> Result:
    """Show progress until the count at the end can be made, and make it."""
    before = follower.legacy_accepted()
    progress, at_legacy, last = Progress(), 0, None
    moved_at = time.monotonic() + plan.starts_at - time.time() + plan.seconds
    while time.monotonic() < moved_at + patience_s:
        sent = crew.sent(wait_s=_POLL_S)
        progress = follower.progress() or progress
        at_legacy = max(at_legacy, (follower.legacy_accepted() or 0) - (before or 0))
        accepted = crew.accepted()
        bars.show(accepted, progress.replicated, progress.integrated, at_legacy)
        if (accepted, progress, at_legacy) != last:
            last, moved_at = (accepted, progress, at_legacy), max(moved_at, time.monotonic())
        if sent is None:
            continue
        if progress.integrated + progress.parked >= max(accepted, progress.replicated):
            result = _count(plan, sent, follower)
            done = not (result.waiting or result.lost)
            if done and (before is None or result.at_legacy is not None):
                return result
        time.sleep(_POLL_S)
    crew.give_up()
    sent = crew.sent(wait_s=_GIVE_UP_S)
    if sent is None:
        raise BurstError("The processes that send punches do not end.")
    return _count(plan, sent, follower)


def _count(plan: Plan, sent: Sequence[Sent], follower: Follower) -> Result:
    """Look for all that was acknowledged where it may be.

    Raises:
        UnavailableError: a store cannot be asked now.
    """
    in_replica, at_legacy = follower.in_replica(), follower.at_legacy()
    nowhere = follower.nowhere(acknowledged(sent) - in_replica.statuses.keys())
    return tally(plan, sent, in_replica, at_legacy, nowhere)


class _Bars:
    """A bar for each stage that a record passes."""

    def __init__(self, punches: int, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description:>13}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks = [self._bars.add_task(stage, total=punches) for stage in _STAGES]

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, *counts: int) -> None:
        """Set the bars to the counts of the stages, in their order."""
        for task, count in zip(self._tasks, counts, strict=True):
            self._bars.update(task, completed=count)
