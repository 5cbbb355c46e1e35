"""Measure the service: the depth of each stage and the age of its oldest record.

Counts stop at a bound and say so: a measurement costs the same however many records there are.
"""

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.buffer import Buffer
from chalicelib.errors import UnavailableError
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.telemetry import OBSERVED, event

# One page of a scan: one request to DynamoDB for each measurement.
_MAX_BUFFERED = 1_000
_MAX_REPLICATED = 10_000


def stages(buffer: Callable[[], Buffer], store: Callable[[], PointRecordStore]) -> dict[str, Any]:
    """Describe each stage; a stage whose store cannot be reached is ``unavailable``."""
    measure: dict[str, Callable[[], dict[str, Any]]] = {
        "buffer": lambda: buffer().pending(_MAX_BUFFERED),
        "replica": lambda: store().stages(_MAX_REPLICATED),
    }
    described: dict[str, Any] = {}
    for name, measure_stage in measure.items():
        try:
            described[name] = {"status": "ok", **measure_stage()}
        except UnavailableError as error:
            described[name] = {"status": "unavailable", "reason": error.message}
    healthy = all(stage["status"] == "ok" for stage in described.values())
    return {"status": "ok" if healthy else "degraded", **described}


def observe(stages: Mapping[str, Any]) -> None:
    """Log the result of ``stages`` as one event of metrics, without the unavailable stages.

    An alarm detects a missing metric.
    """
    buffer, replica = stages["buffer"], stages["replica"]
    metrics: dict[str, Any] = {"status": stages["status"]}
    if "waiting" in buffer:
        metrics |= {"buffered": buffer["waiting"], "buffered_age_s": _oldest_age_s(buffer)}
    if "waiting" in replica:
        metrics |= {
            "waiting": sum(replica["waiting"].values()),
            "waiting_age_s": _oldest_age_s(replica),
            "parked": replica["parked"],
            "quarantined": replica["quarantined"],
        }
    event(OBSERVED, **metrics)


def _oldest_age_s(stage: Mapping[str, Any]) -> float:
    """Return the age of the stage's oldest waiting record; 0 if none is waiting."""
    return stage["oldestAgeSeconds"] or 0.0
