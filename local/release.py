"""``python -m local release``: send an item of a running stack's quarantine on its way."""

import argparse
import getpass
import json
import sys

from local.arguments import json_text, whole
from local.attach import add_data_argument, attach


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``release``."""
    parser.add_argument("id", type=whole(1), nargs="?", help="of the item; without, all are listed")
    parser.add_argument(
        "--record",
        type=json_text,
        metavar="JSON",
        help="the punch as it should have been, as a phone would POST it (as it is)",
    )
    parser.add_argument("--by", default=getpass.getuser(), help="who asks, for the log (you)")
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Release the item and print the id of its record, or list all."""
    attach(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment

    if arguments.id is None:
        items = app.release({}, None)
        for item in items:
            print(json.dumps(item))
        if not items:
            print("Nothing is in quarantine.", file=sys.stderr)
    else:
        asked = {"quarantineId": arguments.id, "record": arguments.record, "by": arguments.by}
        print(app.release(asked, None))
    return 0
