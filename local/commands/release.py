"""``python -m local release``: return a quarantined item of a running stack to the pipeline."""

import argparse
import json
import sys

from local.arguments import integer, json_text
from local.operator_session import add_operator_arguments, run_command

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
    members = {"quarantineId": arguments.id, "record": arguments.record}
    result = run_command(arguments, "release", _TIMEOUT_S, **members)
    if isinstance(result, str):
        print(result)
        return 0
    for item in result:
        print(json.dumps(item))
    if not result:
        print("The quarantine is empty.", file=sys.stderr)
    return 0
