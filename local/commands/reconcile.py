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
    table = Table("accepted", "in buffer", "in Postgres", "in quarantine", "missing", "unlogged")
    places = ("accepted", "in_buffer", "in_postgres", "in_quarantine", "missing", "unlogged")
    table.add_row(*(str(result[each]) for each in places))
    console = Console()
    console.print(table)
    for record_id in result["missing_ids"] + result["unlogged_ids"]:
        console.print(record_id)
    if result["more"]:
        console.print("… and more: reconcile shorter periods.")
    return 1 if result["missing"] or result["unlogged"] else 0
