"""How the service is: the depth and age of each stage, as far as it can be had cheaply.

Counts stop at a bound, and say so: asking costs no more however many records there are.
"""

from collections.abc import Callable
from typing import Any

from chalicelib.buffer import Buffer
from chalicelib.errors import UnavailableError
from chalicelib.postgres.replica import Replica

# A page of a scan: what of the buffer is looked at for each question.
_MOST_BUFFERED = 1_000
_MOST_REPLICATED = 10_000


def stages(buffer: Callable[[], Buffer], replica: Callable[[], Replica]) -> dict[str, Any]:
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
