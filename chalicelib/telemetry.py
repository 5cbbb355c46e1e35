"""What the service tells its operators: one JSON line per event on standard output.

A line has a constant ``message`` and fields. No body, no token, no secret is ever a field.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

# The event of a stored record, with its id: the reconciler reads what intake has logged.
ACCEPTED = "accepted"

logger = logging.getLogger("punch_clock")


def configure(level: str) -> None:
    """Send the service's events of at least ``level`` to standard output. Safe to repeat."""
    if not any(isinstance(each.formatter, _JsonLines) for each in logger.handlers):
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(_JsonLines())
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(level.upper())


def event(message: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event."""
    logger.log(level, message, extra={"fields": fields})


def error(message: str, cause: BaseException, **fields: Any) -> None:
    """Log one fault with its cause and traceback."""
    logger.error(message, exc_info=cause, extra={"fields": fields})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
