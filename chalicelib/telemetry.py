"""Log events as JSON lines on standard output, and redact secrets in them.

A line has a constant ``message``, fields, and the ids of the run or request that logged it. Callers
never log a body, a token or a secret as a field. On AWS, lines of some events are also metrics, in
the embedded metric format of CloudWatch (docs/decisions/0009). It needs no call and no thread, so
it cannot fail.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# Logged with the id of each stored record. The reconciler reads these events.
ACCEPTED = "accepted"
REPLICATED = "replicated"
INTEGRATED = "integrated"
OBSERVED = "observed"
RECONCILED = "reconciled"
RETENTION_ENDED = "retention ended"
CANARY = "canary"
CREDENTIALS_REFUSED = "our credentials are refused"
NOTHING_DELIVERED = "the legacy delivers nothing"
DELIVERS_AGAIN = "the legacy delivers again"
ISSUER_KEYS = "the issuer's keys are stored"

# The metrics of an event: for each, the field that has the value, and the unit.
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
        "nothing_delivered": ("nothing_delivered", "None"),
        "limit": ("limit_last", "None"),
        "latency_p50": ("latency_p50_ms", "Milliseconds"),
        "latency_p95": ("latency_p95_ms", "Milliseconds"),
    },
    # A run may last a quarter of an hour, so an alarm does not wait for its end.
    CREDENTIALS_REFUSED: {"credentials_refused": ("calls", "Count")},
    NOTHING_DELIVERED: {"nothing_delivered": ("nothing_delivered", "None")},
    DELIVERS_AGAIN: {"nothing_delivered": ("nothing_delivered", "None")},
    OBSERVED: {
        "buffered": ("buffered", "Count"),
        "buffered_age": ("buffered_age_s", "Seconds"),
        "waiting": ("waiting", "Count"),
        "waiting_age": ("waiting_age_s", "Seconds"),
        "parked": ("parked", "Count"),
        "quarantined": ("quarantined", "Count"),
        "unpartitioned": ("unpartitioned", "Count"),
    },
    ISSUER_KEYS: {
        "issuer_keys_age": ("age_s", "Seconds"),
        "issuer_keys_failed": ("failed", "Count"),
    },
    # The schedule's runs only: an operator's look at an old period proves nothing about today.
    RECONCILED: {
        "reconciled": ("accepted", "Count"),
        "missing": ("missing", "Count"),
        "unlogged": ("unlogged", "Count"),
    },
    RETENTION_ENDED: {"held_months": ("held_months", "Count")},
    CANARY: {
        "canary_age": ("age_s", "Seconds"),
        "canary_replication": ("replication_s", "Seconds"),
        "canary_integration": ("integration_s", "Seconds"),
    },
}

logger = logging.getLogger("punch_clock")
# Operator commands are logged at every LOG_LEVEL.
audit_logger = logger.getChild("audit")
audit_logger.setLevel(logging.INFO)

_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound", default={})  # noqa: B039 - never mutated


def configure(level: str, namespace: str = "") -> None:
    """Write the events of at least ``level`` to standard output. Idempotent.

    Args:
        level: a level of ``logging``.
        namespace: the CloudWatch namespace of the metrics. Empty: no line is a metric.
    """
    if not any(isinstance(each.formatter, JsonLines) for each in logger.handlers):
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonLines(namespace))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(level.upper())


def bind(ids: Mapping[str, Any]) -> None:
    """Add these fields to every further line of this thread."""
    _bound.set(ids)


def bound() -> Mapping[str, Any]:
    """Return the bound fields of this thread, to bind them in a worker thread as well."""
    return _bound.get()


def event(message: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event."""
    if logger.isEnabledFor(level):
        # ``logger.log`` would also look for the caller's file and line, which no line shows.
        logger.handle(
            logger.makeRecord(
                logger.name, level, "", 0, message, (), None, extra={"fields": fields}
            )
        )


def audit(message: str, level: int, **fields: Any) -> None:
    """Log one event of an operator command, at every LOG_LEVEL."""
    audit_logger.log(level, message, extra={"fields": fields})


def error(message: str, cause: BaseException, **fields: Any) -> None:
    """Log one error with its cause and traceback."""
    logger.error(message, exc_info=cause, extra={"fields": fields})


def redact_with(redact: Callable[[str], str]) -> None:
    """Apply ``redact`` to every further line: it knows secrets that are in use.

    It replaces the one of the last call.
    """
    for handler in logger.handlers:
        if isinstance(handler.formatter, JsonLines):
            handler.formatter.redact_known = redact


def _redact(text: str) -> str:
    """Redact passwords and tokens, which the messages of libraries may quote."""
    if "://" in text:
        text = _PASSWORD.sub(r"\1[secret]@", text)
    if "eyJ" in text:
        text = _TOKEN.sub("[token]", text)
    if "pck_" in text:
        text = _ACCESS_KEY.sub("[access key]", text)
    if "asic " in text:
        text = _BASIC.sub(r"\1[secret]", text)
    return text


# The password of a URL, an access key, Basic credentials, and a JWT. The header of a JWT is a JSON
# object, which starts with eyJ in Base64.
_PASSWORD = re.compile(r"(://[^\s:@/\"\\]*:)[^\s@/\"\\]+@")
_ACCESS_KEY = re.compile(r"pck_[\w-]{20,}")
_BASIC = re.compile(r"(\b[Bb]asic\s+)[A-Za-z0-9+/]{16,}={0,2}")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


class JsonLines(logging.Formatter):
    """Formats an event as one line: a JSON object with secrets redacted in its texts.

    Names, numbers and constant messages are ours and stay: a secret such as ``2000`` or ``"_aws":``
    would otherwise destroy metrics, and silence alarms.
    """

    def __init__(self, namespace: str = "") -> None:
        super().__init__()
        self._namespace = namespace
        self.redact_known: Callable[[str], str] = str

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": self._redacted(record.getMessage()) if record.args else str(record.msg),
            **self._redacted(_bound.get()),
            **self._redacted(getattr(record, "fields", {})),
        }
        if record.exc_info:
            line["exception"] = self._redacted(self.formatException(record.exc_info))
        if self._namespace and record.msg in METRICS:
            self._add_metrics(line, METRICS[record.msg], record.created)
        return json.dumps(line)

    def _redacted(self, value: Any) -> Any:
        """Return a value for JSON with secrets redacted in each text."""
        if not isinstance(value, str):
            if value is None or isinstance(value, int | float):
                return value
            if isinstance(value, Mapping):
                return {name: self._redacted(each) for name, each in value.items()}
            if isinstance(value, list | tuple):
                return [self._redacted(each) for each in value]
        return _redact(self.redact_known(str(value)))

    def _add_metrics(
        self, line: dict[str, Any], metrics: Mapping[str, tuple[str, str]], created: float
    ) -> None:
        """Add the embedded metric format to a line, for the metrics whose value is known.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        """
        definitions = []
        for name, (field, unit) in metrics.items():
            value = line.get(field)
            if value is not None:
                line[name] = value
                definitions.append({"Name": name, "Unit": unit})
        line["_aws"] = {
            "Timestamp": int(created * 1000),
            "CloudWatchMetrics": [
                {"Namespace": self._namespace, "Dimensions": [[]], "Metrics": definitions}
            ],
        }
