"""``python -m local restore``: put back what the PostgreSQL of a running stack has lost."""

import argparse
import sys

from local.operator_session import add_operator_arguments, audit_to_file, operator_event
from local.stack_file import load_environment

_TIMEOUT_S = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``restore``."""
    parser.add_argument(
        "--since",
        required=True,
        metavar="INSTANT",
        help="the instant to which PostgreSQL was taken back, in RFC 3339",
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore and print what came back; return 1 if a file of the journal is damaged."""
    load_environment(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import LambdaContext  # noqa: PLC0415 - it imports the app

    cursor: str | None = None
    damaged: list[str] = []
    while True:
        event = operator_event(arguments, since=arguments.since, cursor=cursor)
        with audit_to_file(arguments.data):
            result = app.restore(event, LambdaContext("restore", _TIMEOUT_S))
        print(
            f"Files read: {result['files']:,}. Records restored: {result['records']:,};"
            f" already there: {result['already_there']:,}; in quarantine:"
            f" {result['quarantined']:,}. Deliveries restored: {result['deliveries']:,}."
        )
        damaged += result["damaged"]
        cursor = result["cursor"]
        if cursor is None:
            break
    for name in damaged:
        print(f"Damaged: {name}", file=sys.stderr)
    return 1 if damaged else 0
