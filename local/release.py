"""``python -m local release``: send an item of a running stack's quarantine on its way."""

import argparse
import getpass
import json

from local.attach import add_data_argument, attach


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``release``."""
    parser.add_argument("id", type=int, nargs="?", help="of the item; without, all are listed")
    parser.add_argument(
        "--record",
        type=json.loads,
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
        for item in app.release({}, None):
            print(json.dumps(item))
    else:
        asked = {"quarantineId": arguments.id, "record": arguments.record, "by": arguments.by}
        print(app.release(asked, None))
    return 0
