"""``python -m local reconcile``: prove that what a running stack accepted is somewhere."""

import argparse

from rich.console import Console
from rich.table import Table

from local.attach import add_data_argument, attach


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``reconcile``."""
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the schedule and show what it found; return 1 if something is missing."""
    attach(arguments.data)
    from local.schedule import Context, invoke  # noqa: PLC0415 - the app reads the environment

    found = invoke("reconcile", Context("reconcile", 60))
    table = Table("accepted", "in buffer", "in replica", "in quarantine", "missing", "unlogged")
    counts = [len(each) if isinstance(each, list) else each for each in found.values()]
    table.add_row(*map(str, counts))
    console = Console()
    console.print(table)
    for record_id in found["missing"] + found["unlogged"]:
        console.print(record_id)
    return 1 if found["missing"] or found["unlogged"] else 0
