"""``python -m local release``: send an item of a running stack's quarantine on its way."""

import argparse
import json
import sys

from local.arguments import json_text, whole
from local.operator_session import add_operator_arguments, asked, audited
from local.stack_file import attach

_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``release``."""
    parser.add_argument("id", type=whole(1), nargs="?", help="of the item; without, all are listed")
    parser.add_argument(
        "--record",
        type=json_text,
        metavar="JSON",
        help="the punch as it should have been, as a phone would POST it (as it is)",
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Release the item and print the id of its record, or list all."""
    attach(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import Context  # noqa: PLC0415 - so does this

    event = asked(arguments, quarantineId=arguments.id, record=arguments.record)
    with audited(arguments.data):
        released = app.release(event, Context("release", _SECONDS))
    if isinstance(released, str):
        print(released)
        return 0
    for item in released:
        print(json.dumps(item))
    if not released:
        print("Nothing is in quarantine.", file=sys.stderr)
    return 0
