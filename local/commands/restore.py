"""``python -m local restore``: put back what the PostgreSQL of a running stack has lost."""

import argparse
import sys

from local.operator_session import add_operator_arguments, run_in_steps

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
    damaged: list[str] = []
    for result in run_in_steps(arguments, "restore", _TIMEOUT_S, since=arguments.since):
        print(
            f"Files read: {result['files']:,}. Records restored: {result['records']:,};"
            f" already there: {result['already_there']:,}; in quarantine:"
            f" {result['quarantined']:,}. Deliveries restored: {result['deliveries']:,}."
        )
        damaged += result["damaged"]
    for name in damaged:
        print(f"Damaged: {name}", file=sys.stderr)
    return 1 if damaged else 0
