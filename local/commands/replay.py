"""``python -m local replay``: return parked records of a running stack to the queue."""

import argparse

from local.operator_session import add_operator_arguments, run_command

_TIMEOUT_S = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``replay``."""
    parser.add_argument(
        "--filter",
        required=True,
        help="an OData $filter that selects the records, such as"
        " \"status eq 'REJECTED' and employerId eq 121\"",
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay the records and print how many there were."""
    result = run_command(arguments, "replay", _TIMEOUT_S, filter=arguments.filter)
    more = " (more records match: run the command again)" if result["more"] else ""
    print(f"Records returned to the queue: {result['replayed']:,}{more}")
    return 0
