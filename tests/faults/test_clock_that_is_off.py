"""A legacy whose clock is ahead of ours, and which tells by a date when to call again."""

from chalicelib.integrator.outcome import Outcome
from tests.conftest import SimulatedLegacy
from tests.support.integrator_run import run

RECORDS = 150


def test_legacy_whose_clock_is_a_minute_ahead_is_left_idle_for_seconds_only(
    legacy: SimulatedLegacy,
) -> None:
    """Its dates are measured by its own clock: by ours, each refusal would cost a minute."""
    limit = {"per_s": 60, "burst": 20, "retry_after_s": 1, "retry_after": "date"}
    legacy.set(workers=50, latency_ms=10, rate_limit=limit, clock_ahead_s=60)
    stats = run(legacy.url, RECORDS)
    assert stats.outcomes[Outcome.OVERLOADED] > 0
    assert sum(stats.outcomes.values()) == RECORDS
    assert stats.seconds < 15
