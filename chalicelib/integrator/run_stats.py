"""Count what a run did; log it as one line at the run's end."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chalicelib.integrator.call_thread import FinishedCall
from chalicelib.integrator.outcome import Outcome
from chalicelib.telemetry import INTEGRATED, event


@dataclass(slots=True)
class RunStats:
    """The counts of one run. Latencies are of delivered records, in seconds.

    ``delivers`` is whether the legacy delivers at the end of the run; None if that is not sure.
    """

    limit_first: float
    limit_last: float
    sent: int = 0
    parked: int = 0
    delivers: bool | None = None
    credentials_refused: int = 0
    most_in_flight: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    seconds: float = 0.0

    def log(self) -> None:
        """Log the counts, which are the run's metrics too."""
        delivered = self.outcomes[Outcome.DELIVERED]
        event(
            INTEGRATED,
            sent=self.sent,
            **{outcome.lower(): self.outcomes[outcome] for outcome in Outcome},
            parked=self.parked,
            nothing_delivered=None if self.delivers is None else int(not self.delivers),
            credentials_refused=self.credentials_refused,
            limit_first=round(self.limit_first, 3),
            limit_last=round(self.limit_last, 3),
            most_in_flight=self.most_in_flight,
            latency_p50_ms=quantile_ms(self.latencies_s, 0.50),
            latency_p95_ms=quantile_ms(self.latencies_s, 0.95),
            seconds=round(self.seconds, 3),
            records_per_s=round(delivered / self.seconds, 1) if self.seconds else 0.0,
        )


def delivered_latencies_s(calls: Sequence[FinishedCall]) -> list[float]:
    """Return the latencies of the calls that delivered their record."""
    return [each.result.latency_s for each in calls if each.result.outcome is Outcome.DELIVERED]


def quantile_ms(latencies_s: Sequence[float], q: float) -> int | None:
    """Return the ``q``-quantile of latencies in whole milliseconds; None if there are none."""
    if not latencies_s:
        return None
    return round(sorted(latencies_s)[int(q * (len(latencies_s) - 1))] * 1000)
