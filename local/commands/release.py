"""``python -m local release``: return a quarantined item of a running stack to the pipeline."""

import argparse
import json
import sys

from local.arguments import integer, json_text
from local.operator_session import add_operator_arguments, audit_to_file, operator_event
from local.stack_file import load_environment

_TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``release``."""
    parser.add_argument(
        "id",
        type=integer(1),
        nargs="?",
        help="the id of the item (default: list all items)",
    )
    parser.add_argument(
        "--record",
        type=json_text,
        metavar="JSON",
        help="the corrected punch, as a client would POST it (default: the item as it is)",
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Release the item and print the id of its record, or list all items."""
    load_environment(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import LambdaContext  # noqa: PLC0415 - it imports the app

    event = operator_event(arguments, quarantineId=arguments.id, record=arguments.record)
    with audit_to_file(arguments.data):
        result = app.release(event, LambdaContext("release", _TIMEOUT_S))
    if isinstance(result, str):
        print(result)
        return 0
    for item in result:
        print(json.dumps(item))
    if not result:
        print("The quarantine is empty.", file=sys.stderr)
    return 0
