"""``python -m local replay``: have parked records of a running stack go again."""

import argparse
import getpass
import os
import sys
from pathlib import Path

from chalicelib.errors import PunchClockError
from local.attach import NotRunningError, environment, read_stack

_SECONDS = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``replay``."""
    parser.add_argument(
        "--filter",
        required=True,
        help="which of them, as an OData $filter: \"status eq 'REJECTED' and employerId eq 121\"",
    )
    parser.add_argument("--by", help="who asks, for the log (the name of this account)")
    parser.add_argument("--data", type=Path, default=Path(".local"), help="the stack's directory")


def run(arguments: argparse.Namespace) -> int:
    """Replay and print how many go again; return 1 if that could not be."""
    try:
        os.environ.update(environment(read_stack(arguments.data)))
        import app  # noqa: PLC0415 - the app reads the environment
        from local.schedule import Context  # noqa: PLC0415 - so does this

        asked = {"filter": arguments.filter, "by": arguments.by or getpass.getuser()}
        done = app.replay(asked, Context("replay", _SECONDS))
    except (NotRunningError, PunchClockError) as error:
        print(error, file=sys.stderr)
        return 1
    more = ", and there are more: ask again" if done["more"] else ""
    print(f"{done['replayed']:,} go again{more}")
    return 0
