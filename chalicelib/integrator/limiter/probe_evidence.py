"""What two windows show, and what probes show together: do calls queue at both limits?"""

import math

from chalicelib.integrator.limiter.parameters import (
    EVIDENCE_CONTRADICTED,
    EVIDENCE_KEPT,
    QUEUE_RELIEF,
)
from chalicelib.integrator.limiter.sample_window import SampleWindow
from chalicelib.integrator.limiter.state import LearnedState


def excess_relief(lower: SampleWindow, higher: SampleWindow) -> float:
    """Return by how much latency has fallen with the limit, beyond what shows a queue.

    If calls queue at the lower limit, too, latency falls about as much as the limit, and more if
    the legacy thrashes. The result is positive then, but for the error of the measurement. All are
    logarithms.
    """
    reduction = math.log(higher.limit / lower.limit)
    return higher.log_latency - lower.log_latency - QUEUE_RELIEF * reduction


def add_probe(learned: LearnedState, excess: float, error: float) -> bool:
    """Add a probe's ``excess_relief`` to that of earlier ones; return whether calls queue.

    A probe lowers the limit so little that its error is half of what it measures. Each probe that
    showed no queue by chance would raise the base latency, and the limit with it.
    """
    if learned.probe_excess * excess < 0 and abs(excess) > EVIDENCE_CONTRADICTED * error:
        forget_probes(learned)  # the legacy has probably changed
    learned.probe_excess = EVIDENCE_KEPT * learned.probe_excess + excess
    learned.probe_variance = EVIDENCE_KEPT**2 * learned.probe_variance + error**2
    return learned.probe_excess > math.sqrt(learned.probe_variance)


def forget_probes(learned: LearnedState) -> None:
    """Drop what earlier probes have shown."""
    learned.probe_excess = learned.probe_variance = 0.0
