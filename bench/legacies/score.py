"""How well a limiter does on a scenario, beside an operator who knows the legacy and its future."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.legacies.client import Clock, Result, drive
from bench.legacies.scenarios import Scenario
from chalicelib.integrator.limiter.protocol import Limiter

MOST = 1_000.0


@dataclass(frozen=True, slots=True)
class Score:
    """What a limiter made of a scenario."""

    ratio: float
    """Records accepted / those of the operator, from a cold start."""
    excess: float
    """Failed calls per accepted record, beyond the operator's."""
    slowness: float
    """95th percentile of the latency of accepted records / the operator's."""

    @property
    def merit(self) -> float:
        """One number: ratio, less a price for failures and for latency that others of the legacy
        would feel. A failure for each record costs 0.25, twice the operator's latency 0.05."""
        return (
            self.ratio
            - 0.25 * min(1.0, self.excess)
            - 0.05 * min(1.0, max(0.0, self.slowness - 1.3))
        )


class Operator:
    """Sets the best limit for each instant, keeps to the rate and is silent during outages."""

    recent_failures = 0

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        self._clock, self._scenario = clock, scenario
        self._slot = -scenario.burst / scenario.rate if scenario.rate else 0.0

    @property
    def limit(self) -> float:
        return self._scenario.best(self._clock())

    @property
    def not_before(self) -> float:
        return max(self._scenario.closed_until(self._clock()), self._slot)

    def on_start(self) -> None:
        if self._scenario.rate:
            self._slot += 1 / self._scenario.rate  # the bucket keeps a slot that is not used

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        """Learn nothing: all is known."""

    def on_retry_after(self, seconds: float) -> None:
        """Learn nothing: all is known."""

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up nothing: all is known."""


def score(scenario: Scenario, make: Callable[[Clock], Limiter]) -> Score:
    """Drive a limiter against the scenario from a cold start, and compare."""
    accepted, waste, slow_s = _operator(scenario)
    clock = Clock()
    result = drive(scenario.build(), make(clock), clock, scenario.duration_s)
    return Score(
        len(result.ok_at) / accepted,
        max(0.0, _waste(result) - waste),
        _slow_s(result) / slow_s,
    )


@lru_cache(maxsize=512)
def _operator(scenario: Scenario) -> tuple[int, float, float]:
    clock = Clock()
    result = drive(scenario.build(), Operator(clock, scenario), clock, scenario.duration_s)
    return len(result.ok_at), _waste(result), _slow_s(result)


def _waste(result: Result) -> float:
    return len(result.failed_at) / max(1, len(result.ok_at))


def _slow_s(result: Result) -> float:
    """Return the 95th percentile of the latencies of accepted records; 0 if there are none."""
    latencies_s = sorted(result.latencies_s)
    return latencies_s[int(0.95 * (len(latencies_s) - 1))] if latencies_s else 0.0


def fitness(scores: Sequence[Score]) -> float:
    """Weigh the mean merit with 0.7 and the mean of the worst fifth with 0.3.

    A limiter is only as good as what it does to the legacy that suits it least, but one scenario
    alone would be luck.
    """
    merits = sorted(each.merit for each in scores)
    worst = merits[: max(1, len(merits) // 5)]
    return 0.7 * sum(merits) / len(merits) + 0.3 * sum(worst) / len(worst)
