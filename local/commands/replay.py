"""``python -m local replay``: return parked records of a running stack to the queue."""

import argparse

from local.operator_session import add_operator_arguments, audit_to_file, operator_event
from local.stack_file import load_environment

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
    load_environment(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import LambdaContext  # noqa: PLC0415 - it imports the app

    event = operator_event(arguments, filter=arguments.filter)
    with audit_to_file(arguments.data):
        result = app.replay(event, LambdaContext("replay", _TIMEOUT_S))
    more = " (more records match: run the command again)" if result["more"] else ""
    print(f"Records returned to the queue: {result['replayed']:,}{more}")
    return 0
