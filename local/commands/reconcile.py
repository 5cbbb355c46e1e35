"""``python -m local reconcile``: prove that what a running stack accepted is somewhere."""

import argparse

from rich.console import Console
from rich.table import Table

from local.operator_session import add_operator_arguments, asked, audited
from local.stack_file import attach

_SECONDS = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``reconcile``."""
    parser.add_argument("--since", metavar="INSTANT", help="RFC 3339 (two hours before its end)")
    parser.add_argument("--until", metavar="INSTANT", help="RFC 3339 (now)")
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look for all that was accepted in the period; return 1 if something is missing."""
    attach(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import Context  # noqa: PLC0415 - so does this

    event = asked(arguments, since=arguments.since, until=arguments.until)
    with audited(arguments.data):
        found = app.reconcile_period(event, Context("reconcile-period", _SECONDS))
    table = Table("accepted", "in buffer", "in replica", "in quarantine", "missing", "unlogged")
    counts = [len(each) if isinstance(each, list) else each for each in found.values()]
    table.add_row(*map(str, counts))
    console = Console()
    console.print(table)
    for record_id in found["missing"] + found["unlogged"]:
        console.print(record_id)
    return 1 if found["missing"] or found["unlogged"] else 0
