"""The witness: what intake's log says was accepted, which no store and no later step can alter.

docs/decisions/0005-accepted-log.md. Reads only, one line after the other.
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
    """Yield the ids that a log says were accepted in a period.

    Args:
        log: where it is, as ``ACCEPTED_LOG`` says it.
        since: the first instant of the period.
        until: the first instant after it.
        client: makes a ``boto3.client("logs")``.

    Raises:
        SettingsError: there is no such place.
    """
    kind, _, place = log.partition(":")
    if kind == "file":
        return from_file(Path(place), since, until)
    if kind == "cloudwatch":
        return from_cloudwatch(client(), place.split(","), since, until)
    raise SettingsError("ACCEPTED_LOG must be cloudwatch:LOG_GROUP,LOG_GROUP… or file:PATH")


def from_file(path: Path, since: datetime, until: datetime) -> Iterator[str]:
    """Yield the ids that a log file, and its forerunner, say were accepted in a period."""
    for each in (path.with_suffix(".old"), path):
        if each.exists():
            with each.open(encoding="utf-8") as lines:
                yield from _accepted(lines, since, until)


def from_cloudwatch(
    logs: Any, groups: Iterable[str], since: datetime, until: datetime
) -> Iterator[str]:
    """Yield the ids that CloudWatch log groups say were accepted in a period.

    Args:
        logs: a ``boto3.client("logs")``.
        groups: the log groups of the functions that accept records.
        since: the first instant of the period.
        until: the first instant after it.
    """
    for group in groups:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(since.timestamp() * 1000),
            endTime=int(until.timestamp() * 1000),
            filterPattern=f'{{ $.message = "{ACCEPTED}" }}',
        )
        for page in pages:
            yield from _accepted((each["message"] for each in page["events"]), since, until)


def _accepted(lines: Iterable[str], since: datetime, until: datetime) -> Iterator[str]:
    for line in lines:
        if f'"{ACCEPTED}"' not in line:
            continue  # nearly all other lines, without reading them
        try:
            found = json.loads(line)
            if (
                found["message"] == ACCEPTED
                and since <= datetime.fromisoformat(found["at"]) < until
            ):
                yield found["id"]
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut when its writer was killed, or is another's
