"""``python -m local tick``: one run of a schedule now, against a running stack."""

import argparse

from chalicelib.principal import Principal
from local.arguments import number
from local.operator_session import add_operator_arguments, asked, audited
from local.services import SCHEDULES
from local.stack_file import attach


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``tick``."""
    parser.add_argument("schedule", choices=SCHEDULES)
    parser.add_argument("--seconds", type=number(), default=60, help="until its deadline (60)")
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the schedule and return 0."""
    attach(arguments.data)
    from chalicelib import container  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import Context, invoke  # noqa: PLC0415 - so does this

    def tick(_: Principal) -> tuple[None, dict[str, object]]:
        invoke(arguments.schedule, Context(arguments.schedule, arguments.seconds))
        return None, {}

    with audited(arguments.data):
        container.perform(f"tick {arguments.schedule}", asked(arguments), tick)
    return 0
