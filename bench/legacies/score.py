"""Score a limiter on a scenario, beside an operator who knows the legacy and its future."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.legacies.client import Clock, Trace, simulate
from bench.legacies.draws import Scenario
from chalicelib.integrator.limiter.protocol import Limiter

MAX_LIMIT = 1_000.0


@dataclass(frozen=True, slots=True)
class Score:
    """A limiter's score on a scenario."""

    ratio: float
    """Records accepted / those of the operator, from a cold start."""
    excess: float
    """Failed calls per accepted record, beyond the operator's."""
    slowness: float
    """95th percentile of the latency of accepted records / the operator's."""

    @property
    def merit(self) -> float:
        """The ratio, less a price for failures and for latency, which other clients would notice.

        One failed call per record costs 0.5. Latency costs up to 0.05, from 1.3 to 2.3 times the
        operator's.
        """
        return (
            self.ratio
            - 0.5 * min(1.0, self.excess)
            - 0.05 * min(1.0, max(0.0, self.slowness - 1.3))
        )


class Operator:
    """Sets the best limit at each time, keeps to the rate limit and sends nothing in an outage."""

    recent_failures = 0

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        self._clock, self._scenario = clock, scenario
        self._next_slot = -scenario.burst / scenario.rate if scenario.rate else 0.0

    @property
    def limit(self) -> float:
        return self._scenario.best_limit(self._clock())

    @property
    def not_before(self) -> float:
        return max(self._scenario.outage_until(self._clock()), self._next_slot)

    def on_start(self) -> None:
        if self._scenario.rate:
            self._next_slot += 1 / self._scenario.rate  # the bucket keeps an unused slot

    def on_result(self, ok: bool, latency_s: float, inflight: int) -> None:
        """Ignore it: the operator knows the legacy."""

    def on_refused(self, latency_s: float, inflight: int) -> None:
        """Ignore it: the operator knows the legacy."""

    def on_retry_after(self, seconds: float) -> None:
        """Ignore it: the operator knows the legacy."""

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, snapshot: dict[str, Any], idle_s: float = 0.0) -> None:
        """Ignore it: the operator knows the legacy."""


def score(scenario: Scenario, make: Callable[[Clock], Limiter]) -> Score:
    """Run a limiter on the scenario from a cold start, and compare it with the operator."""
    accepted, failures, p95_s = _operator(scenario)
    clock = Clock()
    trace = simulate(scenario.build(), make(clock), clock, scenario.duration_s)
    return Score(
        len(trace.ok_at) / accepted,
        max(0.0, _failures_per_record(trace) - failures),
        _p95_s(trace) / p95_s,
    )


@lru_cache(maxsize=512)
def _operator(scenario: Scenario) -> tuple[int, float, float]:
    clock = Clock()
    trace = simulate(scenario.build(), Operator(clock, scenario), clock, scenario.duration_s)
    return len(trace.ok_at), _failures_per_record(trace), _p95_s(trace)


def _failures_per_record(trace: Trace) -> float:
    return len(trace.failed_at) / max(1, len(trace.ok_at))


def _p95_s(trace: Trace) -> float:
    """Return the 95th percentile of the latency of accepted records; 0 without any."""
    latencies_s = sorted(trace.latencies_s)
    return latencies_s[int(0.95 * (len(latencies_s) - 1))] if latencies_s else 0.0


def fitness(scores: Sequence[Score]) -> float:
    """Return 0.5 * mean merit + 0.5 * mean merit of the worst fifth.

    The worst cases matter, because a stage has one legacy. The worst fifth is less noisy than the
    single worst scenario.
    """
    merits = sorted(each.merit for each in scores)
    worst = merits[: max(1, len(merits) // 5)]
    return 0.5 * sum(merits) / len(merits) + 0.5 * sum(worst) / len(worst)
