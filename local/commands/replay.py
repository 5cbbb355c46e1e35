"""``python -m local replay``: have parked records of a running stack go again."""

import argparse

from local.operator_session import add_operator_arguments, asked, audited
from local.stack_file import attach

_SECONDS = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``replay``."""
    parser.add_argument(
        "--filter",
        required=True,
        help="which of them, as an OData $filter: \"status eq 'REJECTED' and employerId eq 121\"",
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay and print how many go again."""
    attach(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import Context  # noqa: PLC0415 - so does this

    with audited(arguments.data):
        done = app.replay(asked(arguments, filter=arguments.filter), Context("replay", _SECONDS))
    more = ", and there are more: ask again" if done["more"] else ""
    print(f"{done['replayed']:,} go again{more}")
    return 0
