"""Run the adaptive limiter against a simulated legacy, in virtual time."""

import json

from bench.legacies.client import Clock, Trace, simulate
from bench.legacies.models import Legacy
from chalicelib.integrator.limiter import adaptive


def run(legacy: Legacy, until: float, cycle_s: float = 0.0) -> Trace:
    """Run until a time, in one run, or in runs of ``cycle_s`` that pass on what they learn."""
    clock, whole, snapshot = Clock(), Trace(), None
    while clock.now < until:
        limiter = adaptive(clock)
        limiter.restore(json.loads(snapshot) if snapshot else None)
        trace = simulate(legacy, limiter, clock, min(until, clock.now + (cycle_s or until)))
        whole.ok_at += trace.ok_at
        whole.failed_at += trace.failed_at
        whole.limits += trace.limits
        snapshot = json.dumps(limiter.snapshot())
    return whole
