"""Read from intake's log which records were accepted.

The log is independent evidence: no store and no later step can alter it. See
docs/decisions/0005-accepted-log.md. This module only reads, one line at a time.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from chalicelib.settings import SettingsError
from chalicelib.telemetry import ACCEPTED


def accepted(
    log: str, since: datetime, until: datetime, client: Callable[[], Any]
) -> Iterator[str]:
    """Yield the ids of the records that were accepted in a period.

    Args:
        log: the location of the log, in the format of the setting ``ACCEPTED_LOG``.
        since: the first instant of the period.
        until: the first instant after the period.
        client: makes a ``boto3.client("logs")``.

    Raises:
        SettingsError: ``log`` has neither of the two formats.
    """
    kind, _, location = log.partition(":")
    if kind == "file":
        return from_file(Path(location), since, until)
    if kind == "cloudwatch":
        return from_cloudwatch(client(), location.split(","), since, until)
    raise SettingsError("ACCEPTED_LOG must be cloudwatch:LOG_GROUP,LOG_GROUP… or file:PATH")


def from_file(path: Path, since: datetime, until: datetime) -> Iterator[str]:
    """Yield the ids from a log file and its rotated predecessor, ``*.old``."""
    for each in (path.with_suffix(".old"), path):
        if each.exists():
            with each.open(encoding="utf-8") as lines:
                yield from _accepted_ids(lines, since, until)


def from_cloudwatch(
    logs: Any, groups: Iterable[str], since: datetime, until: datetime
) -> Iterator[str]:
    """Yield the ids from CloudWatch log groups.

    Args:
        logs: a ``boto3.client("logs")``.
        groups: the log groups of the functions that accept records.
        since: the first instant of the period.
        until: the first instant after the period.
    """
    for group in groups:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(since.timestamp() * 1000),
            endTime=int(until.timestamp() * 1000),
            filterPattern=f'{{ $.message = "{ACCEPTED}" }}',
        )
        for page in pages:
            yield from _accepted_ids((each["message"] for each in page["events"]), since, until)


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
