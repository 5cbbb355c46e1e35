"""``python -m local burst``: send load like a shift change and account for every punch.

Several processes send distinct punches to a running stack (``local.burst.load``). The command
follows the records through the stores to the legacy (``progress``). It prints how long each stage
took, and how many records were lost or duplicated (``report``). It refuses a stack with a part on
another machine, so that load never leaves this one.
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
from local.arguments import integer, number
from local.burst.load import Plan, SenderPool, SendResult
from local.burst.progress import BurstReader, Progress
from local.burst.report import BurstResult, accepted_ids, compare, details, stage_table
from local.stack_file import NotRunningError, add_data_argument, read_stack
from local.tokens import make_token

_POLL_S = 0.5
_START_DELAY_S = 1.5  # the processes start before the first punch is due
_GIVE_UP_TIMEOUT_S = 60.0  # the calls in flight may take this long to end
_TOKEN_LIFETIME_S = 86_400.0
_PROCESSES = 2
_AT_ONCE = 32
_RESENT = 0.02
_STAGES = ("accepted", "replicated", "integrated", "at the legacy")


class BurstError(Exception):
    """The burst cannot start, or its records cannot be counted. The message is for people."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``burst``."""
    parser.add_argument(
        "punches", type=integer(1), help="the number of punches, each of another employee"
    )
    parser.add_argument(
        "--seconds",
        metavar="SECONDS",
        type=number(),
        default=15.0,
        help="the period over which the punches are spread evenly (default: 15)",
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=integer(1),
        default=_PROCESSES,
        help=f"the number of sending processes (default: {_PROCESSES})",
    )
    parser.add_argument(
        "--at-once",
        metavar="N",
        type=integer(1),
        default=_AT_ONCE,
        help=f"the most calls in flight of each process (default: {_AT_ONCE})",
    )
    parser.add_argument(
        "--resent",
        metavar="SHARE",
        type=number(0, 1),
        default=_RESENT,
        help="the share of accepted punches that are sent again, as duplicates"
        f" (default: {_RESENT})",
    )
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=number(),
        default=300.0,
        help="the time without progress after which the burst ends and unfinished records count"
        " as waiting (default: 300)",
    )
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run a burst and print its tables; return 0 if it is clean, 1 if not, 2 if it failed."""
    console = Console()
    try:
        stack = read_stack(arguments.data)
        require_loopback(stack)
        plan = make_plan(
            stack,
            punches=arguments.punches,
            seconds=arguments.seconds,
            processes=arguments.processes,
            resent=arguments.resent,
            at_once=arguments.at_once,
        )
        result = run_burst(stack, plan, arguments.patience, console)
    except (NotRunningError, BurstError) as error:
        console.print(str(error), style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped. The punches that were sent are still processed, but not counted.")
        return 130
    console.print(stage_table(result), details(result))
    return 0 if result.is_clean else 1


def make_plan(
    stack: Mapping[str, Any],
    *,
    punches: int,
    seconds: float,
    processes: int = _PROCESSES,
    resent: float = _RESENT,
    at_once: int = _AT_ONCE,
) -> Plan:
    """Return a plan for a stack, of an employer of its own. The first punch is due soon."""
    employer_id = secrets.randbelow(2**62) + 1
    key = Path(stack["jwt_key"]).read_text().strip()
    return Plan(
        url=urljoin(stack["api"], "/point-record"),
        token=make_token(key, Role.EMPLOYER, employer_id, lasts_s=_TOKEN_LIFETIME_S),
        employer_id=employer_id,
        punches=punches,
        seconds=seconds,
        starts_at=time.time() + _START_DELAY_S,
        processes=processes,
        resend_share=resent,
        concurrency=at_once,
    )


def require_loopback(stack: Mapping[str, Any]) -> None:
    """Require every part of a stack to be on this machine.

    Raises:
        BurstError: a part is on another machine. The message names it.
    """
    for name in ("api", "dynamodb", "postgres", "legacy"):
        if not is_loopback(urlsplit(stack[name]).hostname):
            raise BurstError(
                f"The stack's {name} is not on this machine. A burst needs a local stack."
            )


def run_burst(
    stack: Mapping[str, Any], plan: Plan, patience_s: float, console: Console
) -> BurstResult:
    """Send the punches and follow them until all are settled, or until progress stops.

    Raises:
        BurstError: a sending process died, or a store is unavailable at the end.
    """
    reader = BurstReader(stack, plan.employer_id)
    senders = SenderPool(plan)
    try:
        stages = _STAGES if "legacy" in stack["pids"] else _STAGES[:-1]
        with _Bars(stages, plan.punches, console) as bars:
            return _follow(plan, senders, reader, bars, patience_s)
    except EOFError as error:
        raise BurstError("A sending process died.") from error
    except UnavailableError as error:
        raise BurstError(f"The records cannot be counted: {error.message}") from error
    finally:
        senders.stop()
        reader.close()


def _follow(
    plan: Plan, senders: SenderPool, reader: BurstReader, bars: "_Bars", patience_s: float
) -> BurstResult:
    """Show progress until every record is settled or progress stops; return the result."""
    before = reader.legacy_accepted()
    progress, at_legacy, last = Progress(), 0, None
    moved_at = time.monotonic() + plan.starts_at - time.time() + plan.seconds
    while time.monotonic() < moved_at + patience_s:
        sent = senders.results(_POLL_S)
        progress = reader.progress() or progress
        at_legacy = max(at_legacy, (reader.legacy_accepted() or 0) - (before or 0))
        accepted = senders.accepted()
        bars.show(accepted, progress.replicated, progress.integrated, at_legacy)
        if (accepted, progress, at_legacy) != last:
            last, moved_at = (accepted, progress, at_legacy), max(moved_at, time.monotonic())
        if sent is None:
            continue
        if progress.integrated + progress.parked >= max(accepted, progress.replicated):
            result = _count(plan, sent, reader)
            is_settled = not (result.waiting or result.lost)
            if is_settled and (before is None or result.deliveries is not None):
                return result
        time.sleep(_POLL_S)
    senders.give_up()
    sent = senders.results(_GIVE_UP_TIMEOUT_S)
    if sent is None:
        raise BurstError(f"The sending processes did not end within {_GIVE_UP_TIMEOUT_S:g} s.")
    return _count(plan, sent, reader)


def _count(plan: Plan, sent: Sequence[SendResult], reader: BurstReader) -> BurstResult:
    """Read all accepted records from the stores and the legacy, and compare.

    Raises:
        UnavailableError: a store is unavailable.
    """
    replicated, deliveries = reader.replicated(), reader.legacy_deliveries()
    missing = reader.missing(accepted_ids(sent) - replicated.statuses.keys())
    return compare(plan, sent, replicated, deliveries, missing)


class _Bars:
    """A progress bar for each stage of the pipeline."""

    def __init__(self, stages: Sequence[str], punches: int, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description:>13}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks = [self._bars.add_task(stage, total=punches) for stage in stages]

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, *counts: int) -> None:
        """Set the bars to the counts of the stages, in the order of ``_STAGES``."""
        for task, count in zip(self._tasks, counts, strict=False):  # the last may have no bar
            self._bars.update(task, completed=count)
