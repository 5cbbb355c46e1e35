"""What the service tells its operators: one JSON line per event on standard output.

A line has a constant ``message``, fields, and the ids of the run that wrote it. No body, no token,
no secret is ever a field. On AWS a line of some events is a measurement as well, in CloudWatch's
embedded metric format (docs/decisions/0009): no call, no thread, nothing that could fail.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# The event of a stored record, with its id: the reconciler reads what intake has logged.
ACCEPTED = "accepted"
REPLICATED = "replicated"
INTEGRATED = "integrated"
OBSERVED = "observed"

# Of each event that measures: the metrics, with the field that has the value, and its unit.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
METRICS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    ACCEPTED: {"accepted": ("accepted", "Count"), "put_latency": ("put_ms", "Milliseconds")},
    REPLICATED: {
        "replicated": ("written", "Count"),
        "age_at_replication": ("oldest_age_s", "Seconds"),
    },
    INTEGRATED: {
        "integrated": ("delivered", "Count"),
        "overloaded": ("overloaded", "Count"),
        "failed": ("failed", "Count"),
        "refused": ("refused", "Count"),
        "newly_parked": ("parked", "Count"),
        "limit": ("limit_last", "None"),
        "latency_p50": ("latency_p50_ms", "Milliseconds"),
        "latency_p95": ("latency_p95_ms", "Milliseconds"),
    },
    OBSERVED: {
        "buffered": ("buffered", "Count"),
        "buffered_age": ("buffered_age_s", "Seconds"),
        "waiting": ("waiting", "Count"),
        "waiting_age": ("waiting_age_s", "Seconds"),
        "parked": ("parked", "Count"),
        "quarantined": ("quarantined", "Count"),
    },
}

logger = logging.getLogger("punch_clock")
# What operators ask for is told whatever LOG_LEVEL is.
audit_logger = logger.getChild("audit")
audit_logger.setLevel(logging.INFO)

_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound", default={})  # noqa: B039 - never changed


def configure(level: str, namespace: str = "") -> None:
    """Send the service's events of at least ``level`` to standard output. Safe to repeat.

    Args:
        level: of logging.
        namespace: of the metrics in CloudWatch; without one, lines are only lines.
    """
    if not any(isinstance(each.formatter, JsonLines) for each in logger.handlers):
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonLines(namespace))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(level.upper())


def bind(ids: Mapping[str, Any]) -> None:
    """Let each line that this thread writes from now on have these fields."""
    _bound.set(ids)


def bound() -> Mapping[str, Any]:
    """Return what this thread's lines have, for a thread that works for it."""
    return _bound.get()


def event(message: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event."""
    logger.log(level, message, extra={"fields": fields})


def audit(message: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event of what an operator asked for, whatever level others are logged from."""
    audit_logger.log(level, message, extra={"fields": fields})


def error(message: str, cause: BaseException, **fields: Any) -> None:
    """Log one fault with its cause and traceback."""
    logger.error(message, exc_info=cause, extra={"fields": fields})


def _without_secrets(line: str) -> str:
    """Leave out what must not be told, whoever has told it: a message of a library may quote it."""
    if "://" in line:
        line = _PASSWORD.sub(r"\1[secret]@", line)
    if "eyJ" in line:
        line = _TOKEN.sub("[token]", line)
    return line


# The password of a URL, and a JWT: the header of one is a JSON object, which begins like that.
_PASSWORD = re.compile(r"(://[^\s:@/\"\\]*:)[^\s@/\"\\]+@")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


class JsonLines(logging.Formatter):
    """Writes an event as one line: a JSON object without secrets."""

    def __init__(self, namespace: str = "") -> None:
        super().__init__()
        self._namespace = namespace

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **_bound.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if self._namespace and record.msg in METRICS:
            self._measure(line, METRICS[record.msg], record.created)
        return _without_secrets(json.dumps(line, default=str))

    def _measure(
        self, line: dict[str, Any], metrics: Mapping[str, tuple[str, str]], created: float
    ) -> None:
        """Make a line a measurement of those metrics whose value is known.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        """
        told = []
        for name, (field, unit) in metrics.items():
            value = line.get(field)
            if value is not None:
                line[name] = value
                told.append({"Name": name, "Unit": unit})
        line["_aws"] = {
            "Timestamp": int(created * 1000),
            "CloudWatchMetrics": [
                {"Namespace": self._namespace, "Dimensions": [[]], "Metrics": told}
            ],
        }
