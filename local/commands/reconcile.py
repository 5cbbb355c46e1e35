"""``python -m local reconcile``: check that a running stack still has every accepted record."""

import argparse

from rich.console import Console
from rich.table import Table

from local.operator_session import add_operator_arguments, run_command

_TIMEOUT_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``reconcile``."""
    parser.add_argument(
        "--since",
        metavar="INSTANT",
        help="the start of the period, in RFC 3339 (default: two hours before its end)",
    )
    parser.add_argument(
        "--until", metavar="INSTANT", help="the end of the period, in RFC 3339 (default: now)"
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Reconcile the period and print the counts; return 1 if a record is missing or unlogged."""
    period = {"since": arguments.since, "until": arguments.until}
    result = run_command(arguments, "reconcile-period", _TIMEOUT_S, **period)
    table = Table("accepted", "in buffer", "in PostgreSQL", "in quarantine", "missing", "unlogged")
    counts = [len(each) if isinstance(each, list) else each for each in result.values()]
    table.add_row(*map(str, counts))
    console = Console()
    console.print(table)
    for record_id in result["missing"] + result["unlogged"]:
        console.print(record_id)
    return 1 if result["missing"] or result["unlogged"] else 0
