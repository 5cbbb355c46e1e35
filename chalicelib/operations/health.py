"""How the service is: the depth and age of each stage, as far as it can be had cheaply.

Counts stop at a bound, and say so: asking costs no more however many records there are.
"""

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.buffer import Buffer
from chalicelib.errors import UnavailableError
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.telemetry import OBSERVED, event

# A page of a scan: what of the buffer is looked at for each question.
_MOST_BUFFERED = 1_000
_MOST_REPLICATED = 10_000


def stages(buffer: Callable[[], Buffer], replica: Callable[[], PointRecordStore]) -> dict[str, Any]:
    """Describe each stage; one whose store cannot be had is ``{"status": "unavailable"}``."""
    questions: dict[str, Callable[[], dict[str, Any]]] = {
        "buffer": lambda: buffer().pending(_MOST_BUFFERED),
        "replica": lambda: replica().stages(_MOST_REPLICATED),
    }
    found: dict[str, Any] = {}
    for name, ask in questions.items():
        try:
            found[name] = {"status": "ok", **ask()}
        except UnavailableError as error:
            found[name] = {"status": "unavailable", "reason": error.message}
    healthy = all(stage["status"] == "ok" for stage in found.values())
    return {"status": "ok" if healthy else "degraded", **found}


def observe(stages: Mapping[str, Any]) -> None:
    """Log what ``stages`` returned as one event of metrics; what is not known is left out.

    A metric that stays away is for its alarm to notice.
    """
    buffer, replica = stages["buffer"], stages["replica"]
    found: dict[str, Any] = {"status": stages["status"]}
    if "waiting" in buffer:
        found |= {"buffered": buffer["waiting"], "buffered_age_s": _age(buffer)}
    if "waiting" in replica:
        found |= {
            "waiting": sum(replica["waiting"].values()),
            "waiting_age_s": _age(replica),
            "parked": replica["parked"],
            "quarantined": replica["quarantined"],
        }
    event(OBSERVED, **found)


def _age(stage: Mapping[str, Any]) -> float:
    """Return the age of the oldest of a stage: where nothing waits, nothing is old."""
    return stage["oldestAgeSeconds"] or 0.0
