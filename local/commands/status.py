"""``python -m local status``: how many records are at each stage of a stack, and since when.

It counts exactly and asks the stores themselves, so it also tells of a stack whose app is down.
"""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import requests
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from chalicelib.errors import UnavailableError
from chalicelib.instant import read_instant
from chalicelib.point_record import Status
from chalicelib.postgres.connection import Database
from local.stack_file import TABLE, add_data_argument, connect_dynamodb, read_stack

_TIMEOUT_S = 5

# Each row: the stage, how many records, the oldest of them, and what else there is to know.
Row = tuple[str, int, datetime | None, str]

_REPLICA = """
SELECT status, count(*), min(created_at), max(next_attempt_at), max(attempts)
FROM point_record
GROUP BY status
"""
_QUARANTINE = "SELECT count(*), min(quarantined_at) FROM quarantine"
_WAITING = (Status.AWAITING, Status.INTEGRATING, Status.ERROR)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``status``."""
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; return 0, or 1 if a part of the stack does not answer."""
    console = Console()
    stack = read_stack(arguments.data)
    table = Table("Stage", "Records", "Oldest", "")
    table.columns[1].justify = table.columns[2].justify = "right"
    complete = True
    for name, read in _SOURCES.items():
        try:
            for stage, count, oldest, remark in read(stack):
                table.add_row(stage, f"{count:,}", _age(oldest), remark)
        except (UnavailableError, BotoCoreError, ClientError, requests.RequestException):
            table.add_row(name, "", "", "[red]does not answer[/red]")
            complete = False
        table.add_section()
    console.print(table)
    return 0 if complete else 1


def _buffer(stack: dict[str, Any]) -> list[Row]:
    client = connect_dynamodb(stack)
    count, oldest, unreadable = 0, None, 0
    for page in client.get_paginator("scan").paginate(TableName=TABLE):
        count += len(page["Items"])
        for item in page["Items"]:
            try:
                accepted_at = read_instant(json.loads(item["record"]["S"])["createdAt"])
            except (KeyError, TypeError, ValueError):
                unreadable += 1
            else:
                oldest = min(oldest or accepted_at, accepted_at)
    return [("buffer", count, oldest, f"{unreadable:,} unreadable" if unreadable else "")]


def _replica(stack: dict[str, Any]) -> list[Row]:
    database = Database(
        stack["postgres"], pool=1, connect_timeout_s=_TIMEOUT_S, statement_timeout_s=60
    )
    try:
        with database.transaction() as connection:
            counted = {row[0]: row for row in connection.run(_REPLICA)}
            ((quarantined, quarantined_at),) = connection.run(_QUARANTINE)
    finally:
        database.close()
    rows: list[Row] = []
    for status in (*_WAITING, Status.INTEGRATED, Status.REJECTED):
        _, count, oldest, next_at, attempts = counted.get(status, (status, 0, None, None, 0))
        waits = status in _WAITING
        remarks = [f"up to {attempts} attempts"] if attempts and waits else []
        if status is Status.ERROR and next_at:
            remarks.append(f"the last is due {_in(next_at)}")
        rows.append((f"replica {status}", count, oldest if waits else None, ", ".join(remarks)))
    return [*rows, ("quarantine", quarantined, quarantined_at, "")]


def _legacy(stack: dict[str, Any]) -> list[Row]:
    if "legacy" not in stack["pids"]:
        return []
    answer = requests.get(urljoin(stack["legacy"], "/report"), timeout=_TIMEOUT_S)
    answer.raise_for_status()
    report = answer.json()
    remark = (
        f"{report['calls']:,} calls, {report['duplicates']:,} duplicates,"
        f" {report['in_flight']:,} in flight (most {report['most_in_flight']:,})"
    )
    return [("legacy", report["accepted"], None, remark)]


_SOURCES: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
    "buffer": _buffer,
    "replica": _replica,
    "legacy": _legacy,
}


def _age(instant: datetime | None) -> str:
    return _span((datetime.now(UTC) - instant).total_seconds()) if instant else ""


def _in(instant: datetime) -> str:
    seconds = (instant - datetime.now(UTC)).total_seconds()
    return f"in {_span(seconds)}" if seconds > 0 else "now"


def _span(seconds: float) -> str:
    """Write a span of time as people say it: the largest two units."""
    rest = max(0, round(seconds))
    days, rest = divmod(rest, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])
