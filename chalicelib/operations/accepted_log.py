"""Read from intake's log which records were accepted.

The log is independent evidence: no store and no later step can alter it. See
docs/decisions/0005-accepted-log.md. This module only reads, one line at a time.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from chalicelib.settings import SettingsError
from chalicelib.telemetry import ACCEPTED

# CloudWatch stamps a line when it arrives there, after the instant in the line.
_MAX_DELAY = timedelta(seconds=30)
# Lines of a file between two calls of ``check``.
_LINES = 1_000


def accepted(
    log: str,
    since: datetime,
    until: datetime,
    client: Callable[[], Any],
    check: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """Yield the ids of the records that were accepted in a period.

    Args:
        log: the location of the log, in the format of the setting ``ACCEPTED_LOG``.
        since: the first instant of the period.
        until: the first instant after the period.
        client: makes a ``boto3.client("logs")``.
        check: is called repeatedly while the log is read; its exceptions end the reading.

    Raises:
        SettingsError: ``log`` has neither of the two formats.
    """
    kind, _, location = log.partition(":")
    if kind == "file":
        return from_file(Path(location), since, until, check)
    if kind == "cloudwatch":
        return from_cloudwatch(client(), location.split(","), since, until, check)
    raise SettingsError("ACCEPTED_LOG must be cloudwatch:LOG_GROUP,LOG_GROUP… or file:PATH")


def from_file(
    path: Path, since: datetime, until: datetime, check: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Yield the ids from a log file and its rotated predecessor, ``*.old``."""
    for each in (path.with_suffix(".old"), path):
        if each.exists():
            with each.open(encoding="utf-8") as lines:
                yield from _accepted_ids(_checked(lines, check), since, until)


def _checked(lines: Iterable[str], check: Callable[[], None]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number % _LINES == 0:
            check()
        yield line


def from_cloudwatch(
    logs: Any,
    groups: Iterable[str],
    since: datetime,
    until: datetime,
    check: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """Yield the ids from CloudWatch log groups.

    Args:
        logs: a ``boto3.client("logs")``.
        groups: the log groups of the functions that accept records.
        since: the first instant of the period.
        until: the first instant after the period.
        check: is called before each page is read.
    """
    for group in groups:
        check()
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(since.timestamp() * 1000),
            endTime=int((until + _MAX_DELAY).timestamp() * 1000),
            filterPattern=f'{{ $.message = "{ACCEPTED}" }}',
        )
        for page in pages:
            yield from _accepted_ids((each["message"] for each in page["events"]), since, until)
            check()


def _accepted_ids(lines: Iterable[str], since: datetime, until: datetime) -> Iterator[str]:
    for line in lines:
        if f'"{ACCEPTED}"' not in line:
            continue  # skips nearly all other lines without parsing them
        try:
            entry = json.loads(line)
            if (
                entry["message"] == ACCEPTED
                and since <= datetime.fromisoformat(entry["at"]) < until
            ):
                yield entry["id"]
        except (ValueError, KeyError, TypeError):
            continue  # a line cut short when its writer was killed, or another program's line
