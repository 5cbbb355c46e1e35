"""``python -m local replay``: have parked records of a running stack go again."""

import argparse
import getpass

from local.attach import add_data_argument, attach

_SECONDS = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``replay``."""
    parser.add_argument(
        "--filter",
        required=True,
        help="which of them, as an OData $filter: \"status eq 'REJECTED' and employerId eq 121\"",
    )
    parser.add_argument("--by", default=getpass.getuser(), help="who asks, for the log (you)")
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay and print how many go again."""
    attach(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.schedule import Context  # noqa: PLC0415 - so does this

    asked = {"filter": arguments.filter, "by": arguments.by}
    done = app.replay(asked, Context("replay", _SECONDS))
    more = ", and there are more: ask again" if done["more"] else ""
    print(f"{done['replayed']:,} go again{more}")
    return 0
