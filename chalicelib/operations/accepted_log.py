"""Read from intake's log which records were accepted.

The log is independent evidence: no store and no later step can alter it. See
docs/decisions/0005-accepted-log.md. This module only reads, one line at a time.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from chalicelib.errors import MisconfiguredError, UnavailableError
from chalicelib.telemetry import ACCEPTED

# CloudWatch stamps a line when it arrives there, after the instant in the line.
_MAX_DELAY = timedelta(seconds=30)
# Lines of a file between two calls of ``check``.
_LINES = 1_000
# What CloudWatch Logs answers if the setting or the function's policy is wrong. Other errors pass.
_OF_THE_STAGE = {
    "AccessDeniedException",
    "InvalidParameterException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
}


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
        MisconfiguredError: ``log`` has neither of the two formats, or names what cannot be read.
        UnavailableError: the log cannot be read now.
    """
    kind, _, location = log.partition(":")
    if kind == "file":
        return from_file(Path(location), since, until, check)
    if kind == "cloudwatch":
        return from_cloudwatch(client(), location.split(","), since, until, check)
    raise MisconfiguredError("ACCEPTED_LOG must be cloudwatch:LOG_GROUP,LOG_GROUP… or file:PATH.")


def from_file(
    path: Path, since: datetime, until: datetime, check: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Yield the ids from a log file and its rotated predecessor, ``*.old``.

    Raises:
        MisconfiguredError: neither file exists, or one exists and cannot be read.
    """
    is_found = False
    for each in (path.with_suffix(".old"), path):
        try:
            if each.exists():
                is_found = True
                with each.open(encoding="utf-8", errors="replace") as lines:
                    yield from _accepted_ids(_checked(lines, check), since, until)
        except OSError as error:
            raise MisconfiguredError("The file that ACCEPTED_LOG names cannot be read.") from error
    if not is_found:
        raise MisconfiguredError("The file that ACCEPTED_LOG names does not exist.")


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

    Raises:
        MisconfiguredError: a group does not exist, or may not be read.
        UnavailableError: CloudWatch Logs throttles, or does not answer.
    """
    for group in groups:
        check()
        for messages in _pages(logs, group, since, until):
            yield from _accepted_ids(messages, since, until)
            check()


def _pages(logs: Any, group: str, since: datetime, until: datetime) -> Iterator[list[str]]:
    """Yield the messages of a log group page by page; a page may be empty."""
    try:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(since.timestamp() * 1000),
            endTime=int((until + _MAX_DELAY).timestamp() * 1000),
            filterPattern=f'{{ $.message = "{ACCEPTED}" }}',
        )
        for page in pages:
            yield [each["message"] for each in page["events"]]
    except ClientError as error:
        _raise(group, error.response.get("Error", {}).get("Code", "unknown"), error)
    except (BotoCoreError, ResponseParserError, LookupError, TypeError, ValueError) as error:
        _raise(group, type(error).__name__, error)


def _raise(group: str, reason: str, error: Exception) -> NoReturn:
    if reason in _OF_THE_STAGE:
        raise MisconfiguredError(
            f"The log group {group}, which ACCEPTED_LOG names, cannot be read: {reason}."
        ) from error
    raise UnavailableError(
        f"The log of accepted records cannot be read now: {reason}. Try again soon."
    ) from error


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
