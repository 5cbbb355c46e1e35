"""``python -m local tick``: one run of a schedule now, against a running stack."""

import argparse
import os
import sys
from pathlib import Path

from local.attach import NotRunningError, environment, read_stack
from local.services import SCHEDULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``tick``."""
    parser.add_argument("schedule", choices=SCHEDULES)
    parser.add_argument("--seconds", type=float, default=60, help="until its deadline (60)")
    parser.add_argument("--data", type=Path, default=Path(".local"), help="the stack's directory")


def run(arguments: argparse.Namespace) -> int:
    """Run the schedule; return 0, or 1 if no stack runs."""
    try:
        os.environ.update(environment(read_stack(arguments.data)))
    except NotRunningError as error:
        print(error, file=sys.stderr)
        return 1
    from local.schedule import Context, invoke  # noqa: PLC0415 - the app reads the environment

    invoke(arguments.schedule, Context(arguments.schedule, arguments.seconds))
    return 0
