"""``python -m local tick``: one run of a schedule now, against a running stack."""

import argparse

from local.arguments import number
from local.attach import add_data_argument, attach
from local.services import SCHEDULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``tick``."""
    parser.add_argument("schedule", choices=SCHEDULES)
    parser.add_argument("--seconds", type=number(), default=60, help="until its deadline (60)")
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the schedule and return 0."""
    attach(arguments.data)
    from local.schedule import Context, invoke  # noqa: PLC0415 - the app reads the environment

    invoke(arguments.schedule, Context(arguments.schedule, arguments.seconds))
    return 0
