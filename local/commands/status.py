"""``python -m local status``: show how many records each stage of a stack holds, and their age.

The counts are exact. They come from the stores, so the command works while the app is down. It
names within seconds each part that does not answer.
"""

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from textwrap import shorten
from typing import Any
from urllib.parse import urljoin

import psutil
import requests
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chalicelib.errors import UnavailableError
from chalicelib.instant import read_instant
from chalicelib.point_record import Status
from chalicelib.postgres.connection import Database
from local.services import SCHEDULES
from local.stack_file import TABLE, add_data_argument, connect_dynamodb, read_stack

_TIMEOUT_S = 5

# The stage, its number of records, the instant of the oldest, and a remark.
Row = tuple[str, int, datetime | None, str]

_POINT_RECORDS = """
SELECT status, count(*), min(created_at), max(next_attempt_at), max(attempts)
FROM point_record
GROUP BY status
"""
# The log of the last attempt of a record that waits for a retry.
_LAST_FAILURE = """
SELECT log.log
FROM integration_log AS log JOIN point_record AS record ON record.id = log.point_id
WHERE record.status = 'ERROR' AND log.log IS NOT NULL
ORDER BY record.updated_at DESC, log.number DESC
LIMIT 1
"""
_MAX_LOG_CHARS = 60
_QUARANTINE = "SELECT count(*), min(quarantined_at) FROM quarantine"
_PENDING = (Status.AWAITING, Status.INTEGRATING, Status.ERROR)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``status``."""
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; return 0, or 1 if a part of the stack does not respond."""
    console = Console()
    stack = read_stack(arguments.data)
    table = Table("Stage", "Records", "Oldest", "")
    table.columns[1].justify = table.columns[2].justify = "right"
    complete = True
    # All at once: a part that is frozen takes its whole timeout.
    with ThreadPoolExecutor(len(_SOURCES)) as pool:
        results = {name: pool.submit(read, stack) for name, read in _SOURCES.items()}
    for name, result in results.items():
        try:
            rows = result.result()
        except (UnavailableError, BotoCoreError, ClientError, requests.RequestException):
            table.add_row(name, "", "", "[red]does not respond[/red]")
            complete = False
            rows = []
        for stage, count, oldest, remark in rows:
            table.add_row(stage, f"{count:,}", _age(oldest), remark)
        table.add_section()
    for name in _stopped(stack):
        table.add_row(name, "", "", "[red]does not run[/red]")
        complete = False
    console.print(table)
    return 0 if complete else 1


def _api(stack: dict[str, Any]) -> list[Row]:
    """Return nothing if the API responds."""
    requests.get(urljoin(stack["api"], "/health"), timeout=_TIMEOUT_S).raise_for_status()
    return []


def _stopped(stack: dict[str, Any]) -> list[str]:
    """Return the schedules of the stack whose processes have ended or are frozen."""
    stopped = []
    for name in SCHEDULES:
        if name in stack["pids"]:
            try:
                state = psutil.Process(stack["pids"][name]).status()
            except psutil.NoSuchProcess:
                state = psutil.STATUS_DEAD
            if state in (psutil.STATUS_DEAD, psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                stopped.append(name)
    return stopped


def _buffer(stack: dict[str, Any]) -> list[Row]:
    client = connect_dynamodb(stack, timeout_s=_TIMEOUT_S)
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


def _postgres(stack: dict[str, Any]) -> list[Row]:
    database = Database(
        stack["postgres"], pool=1, connect_timeout_s=_TIMEOUT_S, statement_timeout_s=60
    )
    try:
        with database.transaction() as connection:
            rows_by_status = {row[0]: row for row in connection.run(_POINT_RECORDS)}
            ((quarantined, quarantined_at),) = connection.run(_QUARANTINE)
            failures = connection.run(_LAST_FAILURE)
    finally:
        database.close()
    rows: list[Row] = []
    for status in (*_PENDING, Status.INTEGRATED, Status.REJECTED):
        _, count, oldest, next_at, attempts = rows_by_status.get(status, (status, 0, None, None, 0))
        is_pending = status in _PENDING
        remarks = [f"up to {attempts} attempts"] if attempts and is_pending else []
        if status is Status.ERROR and next_at:
            remarks.append(f"the last retry is due {_due(next_at)}")
        if status is Status.ERROR and failures:
            remarks.append(f"the last failure: {escape(shorten(failures[0][0], _MAX_LOG_CHARS))}")
        rows.append(
            (f"PostgreSQL {status}", count, oldest if is_pending else None, ", ".join(remarks))
        )
    return [*rows, ("quarantine", quarantined, quarantined_at, "")]


def _legacy(stack: dict[str, Any]) -> list[Row]:
    if "legacy" not in stack["pids"]:
        return []
    response = requests.get(urljoin(stack["legacy"], "/report"), timeout=_TIMEOUT_S)
    response.raise_for_status()
    report = response.json()
    remark = (
        f"{report['calls']:,} calls, {report['duplicates']:,} duplicates,"
        f" {report['in_flight']:,} in flight (maximum {report['most_in_flight']:,})"
    )
    return [("legacy", report["accepted"], None, remark)]


_SOURCES: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
    "buffer": _buffer,
    "PostgreSQL": _postgres,
    "legacy": _legacy,
    "API": _api,
}


def _age(instant: datetime | None) -> str:
    return _format_duration((datetime.now(UTC) - instant).total_seconds()) if instant else ""


def _due(instant: datetime) -> str:
    seconds = (instant - datetime.now(UTC)).total_seconds()
    return f"in {_format_duration(seconds)}" if seconds > 0 else "now"


def _format_duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as ``2 h 5 min``."""
    rest = max(0, round(seconds))
    days, rest = divmod(rest, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])
