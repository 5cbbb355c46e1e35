"""The settlement queue: finished calls whose outcomes are not yet in Postgres.

Invariant: each outcome is settled once. A batch whose flush Postgres did not confirm stays at the
head of the queue and is flushed again unchanged, which ``Claims.flush`` makes idempotent.

This module does no I/O. The run adds calls, flushes batches, and confirms them.
"""

import logging
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.integrator.call_pool import FinishedCall
from chalicelib.integrator.outcome import Outcome
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run_stats import RunStats, delivered_latencies_s, quantile_ms
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Sample, Settlement
from chalicelib.telemetry import event

# Batches that may accumulate while a claim occupies the database worker.
_MAX_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """The settlements of one flush, and their statistics."""

    settlements: list[Settlement]
    sample: Sample


class SettlementQueue:
    """A queue of finished calls. It belongs to one thread.

    Args:
        retry_policy: decides each record's new state.
        rng: the randomness of the backoff.
        batch_size: most settlements of one flush.
        limit_policy: the name of the limiter's policy, for the statistics.
        stats: what the run counts; each batch is added to it once.
    """

    def __init__(
        self,
        retry_policy: RetryPolicy,
        rng: random.Random,
        *,
        batch_size: int,
        limit_policy: str,
        stats: RunStats,
    ) -> None:
        self._retry_policy = retry_policy
        self._rng = rng
        self._batch_size = batch_size
        self._limit_policy = limit_policy
        self._stats = stats
        self._calls: deque[FinishedCall] = deque()
        self._unconfirmed: Batch | None = None

    def __bool__(self) -> bool:
        return bool(self._calls or self._unconfirmed)

    def record_ids(self) -> Iterator[str]:
        """Yield the ids of all records whose outcomes are not settled."""
        yield from (call.record.id for call in self._calls)
        if self._unconfirmed:
            yield from (each.id for each in self._unconfirmed.settlements)

    @property
    def has_full_batch(self) -> bool:
        """Whether enough calls wait for a batch of the full size."""
        return len(self._calls) >= self._batch_size

    @property
    def is_overfull(self) -> bool:
        """Whether so many calls wait that a flush takes precedence over a claim."""
        return len(self._calls) >= _MAX_BATCHES * self._batch_size

    def add(self, call: FinishedCall) -> None:
        self._calls.append(call)

    def next_batch(self, limit: float, in_flight: int) -> Batch:
        """Return the batch to flush: the unconfirmed one, or else a new one, empty if none wait.

        Args:
            limit: the limit at present.
            in_flight: calls in flight at present.
        """
        if self._unconfirmed is None:
            count = min(len(self._calls), self._batch_size)
            calls = [self._calls.popleft() for _ in range(count)]
            settlements = [self._retry_policy.settlement_of(each, self._rng) for each in calls]
            self._stats.parked += sum(each.status is Status.REJECTED for each in settlements)
            self._unconfirmed = Batch(settlements, self._sample(calls, limit, in_flight))
        return self._unconfirmed

    def confirm(self) -> None:
        """Remove the batch that was flushed."""
        self._unconfirmed = None

    def _sample(self, calls: list[FinishedCall], limit: float, in_flight: int) -> Sample:
        outcomes = Counter(each.result.outcome for each in calls)
        latencies_s = delivered_latencies_s(calls)
        self._stats.outcomes.update(outcomes)
        self._stats.latencies_s.extend(latencies_s)
        refused = sum(each.result.credentials_refused for each in calls)
        if refused:
            event("the legacy refuses our credentials", level=logging.ERROR, calls=refused)
        return Sample(
            max_open_requests=limit,
            open_requests=in_flight,
            delivered=outcomes[Outcome.DELIVERED],
            failed=outcomes[Outcome.FAILED] + outcomes[Outcome.OVERLOADED],
            rejected=outcomes[Outcome.REFUSED],
            latency_p50_ms=quantile_ms(latencies_s, 0.50),
            latency_p95_ms=quantile_ms(latencies_s, 0.95),
            policy=self._limit_policy,
        )
