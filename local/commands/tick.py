"""``python -m local tick``: run a schedule of a running stack once, now."""

import argparse

from chalicelib.principal import Principal
from local.arguments import number
from local.operator_session import add_operator_arguments, audit_to_file, operator_event
from local.services import SCHEDULES
from local.stack_file import load_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``tick``."""
    parser.add_argument(
        "schedule",
        choices=SCHEDULES,
        help="replicate moves buffered records to PostgreSQL; integrate sends them to the legacy;"
        " reconcile checks the last two hours and drops months that are older than the retention",
    )
    parser.add_argument(
        "--seconds", type=number(), default=60, help="the timeout of the run (default: 60)"
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the schedule and return 0."""
    load_environment(arguments.data)
    from chalicelib import operator_commands  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import LambdaContext, invoke  # noqa: PLC0415 - it imports the app

    def tick(_: Principal) -> tuple[None, dict[str, object]]:
        invoke(arguments.schedule, LambdaContext(arguments.schedule, arguments.seconds))
        return None, {}

    with audit_to_file(arguments.data):
        operator_commands.perform(f"tick {arguments.schedule}", operator_event(arguments), tick)
    return 0
