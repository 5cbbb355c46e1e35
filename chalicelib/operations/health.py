"""Measure the service: the depth of each stage and the age of its oldest record.

Invariants:

- The cost of a measurement does not grow with the number of records. Beyond a bound it estimates,
  and names what it has estimated.
- A store that fails or hangs hides no number of the other one, and delays it for a bounded time.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib import telemetry
from chalicelib.bounded_call import begin
from chalicelib.buffered_items import BufferedItems
from chalicelib.errors import MisconfiguredError, PunchClockError
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.telemetry import OBSERVED, event

# The first page of a scan gives the ages; beyond it, the count is an estimate.
_MAX_BUFFERED = 1_000
# Postgres counts this many in a fraction of a second; beyond it, the count is an estimate.
_MAX_IN_POSTGRES = 50_000
# If more records pass in a minute, the numbers of the last minute are lower bounds.
_MAX_RECENT = 50_000


def stages(
    buffer: Callable[[], BufferedItems],
    store: Callable[[], PointRecordStore],
    timeout_s: float,
    *,
    with_flow: bool = False,
) -> dict[str, Any]:
    """Describe each stage; a stage whose store fails, or does not answer, is ``unavailable``.

    Args:
        buffer: returns the buffer.
        store: returns the records in Postgres.
        timeout_s: when to stop waiting, for both stores together.
        with_flow: whether to describe the last minute and the last failures, too.

    Raises:
        MisconfiguredError: a setting or a secret of a store is missing or wrong.
    """
    until = time.monotonic() + timeout_s

    def postgres() -> dict[str, Any]:
        counts = store().stages(_MAX_IN_POSTGRES, timeout_s)
        return counts | (store().flow(_MAX_RECENT, timeout_s) if with_flow else {})

    # ``replica`` is Postgres: clients know it by this name.
    measurements = {
        "buffer": begin(lambda: buffer().pending(_MAX_BUFFERED), "The buffer"),
        "replica": begin(postgres, "Postgres"),
    }
    described = {name: _described(each, until) for name, each in measurements.items()}
    healthy = all(stage["status"] == "ok" for stage in described.values())
    return {"status": "ok" if healthy else "degraded", **described}


def _described(result: Callable[[float], dict[str, Any]], until: float) -> dict[str, Any]:
    """Return the result of a measurement, or why there is none."""
    try:
        return {"status": "ok", **result(until - time.monotonic())}
    except MisconfiguredError:
        raise
    except PunchClockError as error:
        return {"status": "unavailable", "reason": error.message}
    except Exception as error:  # noqa: BLE001 - the numbers of the other store are still worth it
        telemetry.error("a stage could not be measured", error)
        reason = "The measurement failed. The log of the service has the cause."
        return {"status": "unavailable", "reason": reason}


def observe(stages: Mapping[str, Any]) -> None:
    """Log the result of ``stages`` as one event of metrics, without the unavailable stages.

    An alarm detects a missing metric. ``estimated`` names the metrics that are not counted.
    """
    buffer, postgres = stages["buffer"], stages["replica"]
    estimated = {*postgres.get("estimated", ())} & {"waiting", "parked", "quarantined"}
    if buffer.get("estimated"):
        estimated.add("buffered")
    metrics: dict[str, Any] = {"status": stages["status"], "estimated": sorted(estimated)}
    if "waiting" in buffer:
        metrics |= {"buffered": buffer["waiting"], "buffered_age_s": _oldest_age_s(buffer)}
    if "waiting" in postgres:
        metrics |= {
            "waiting": sum(postgres["waiting"].values()),
            "waiting_age_s": _oldest_age_s(postgres),
            "parked": postgres["parked"],
            "quarantined": postgres["quarantined"],
            "unpartitioned": postgres["unpartitioned"],
        }
    event(OBSERVED, **metrics)


def _oldest_age_s(stage: Mapping[str, Any]) -> float:
    """Return the age of the stage's oldest waiting record; 0 if none is waiting."""
    return stage["oldestAgeSeconds"] or 0.0
