"""The settlement queue: finished calls whose outcomes are not yet in Postgres.

Invariant: each outcome is settled once. A batch whose flush Postgres did not confirm stays at the
head of the queue and is flushed again unchanged, which ``Claims.flush`` makes idempotent.

A call that did not deliver its record may be the record's fault or the legacy's. Until a call that
was sent later is delivered, the queue holds it: undecided, for a bounded time. Then it is settled
as an overload. A held record is leased like one in flight: if the run dies, it is sent again.

This module does no I/O. The dispatcher adds calls; the run flushes batches, and confirms them.
"""

import logging
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.integrator.call_thread import FinishedCall
from chalicelib.integrator.failure_share import FailureShare
from chalicelib.integrator.outcome import Outcome
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run_stats import RunStats, delivered_latencies_s, quantile_ms
from chalicelib.point_record import Status
from chalicelib.postgres.settlements import Sample, Settlement
from chalicelib.telemetry import CREDENTIALS_REFUSED, event

# Batches that may accumulate while a claim occupies the database worker.
_MAX_BATCHES = 4


@dataclass(frozen=True, slots=True)
class _Held:
    """A call that counts as an attempt if one of a higher number is delivered by ``until``."""

    call: FinishedCall
    number: int
    until: float


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
        hold_s: how long a call may be held undecided.
        failure_share: how often calls for good records fail; each delivery is added to it.
        limit_policy: the name of the limiter's policy, for the statistics.
        stats: what the run counts; each batch is added to it once.
    """

    def __init__(
        self,
        retry_policy: RetryPolicy,
        rng: random.Random,
        *,
        batch_size: int,
        hold_s: float,
        failure_share: FailureShare,
        limit_policy: str,
        stats: RunStats,
    ) -> None:
        self._retry_policy = retry_policy
        self._rng = rng
        self._batch_size = batch_size
        self._hold_s = hold_s
        self._failure_share = failure_share
        self._limit_policy = limit_policy
        self._stats = stats
        # Decided calls, each with whether it counts as an attempt.
        self._calls: deque[tuple[FinishedCall, bool]] = deque()
        self._held: deque[_Held] = deque()
        self._unconfirmed: Batch | None = None

    def __bool__(self) -> bool:
        """Return whether there is something to flush; held calls are not."""
        return bool(self._calls or self._unconfirmed)

    def record_ids(self) -> Iterator[str]:
        """Yield the ids of all records whose outcomes are not settled."""
        yield from (call.record.id for call, _ in self._calls)
        yield from (each.call.record.id for each in self._held)
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

    def add(self, call: FinishedCall, undecided: int | None, now: float) -> None:
        """Add a call; hold it if ``Liveness`` has returned its number, as it is undecided."""
        if call.result.outcome is Outcome.DELIVERED:
            self._failure_share.on_delivered(call.record.attempts)
        if undecided is not None:
            self._held.append(_Held(call, undecided, now + self._hold_s))
        else:
            self._calls.append((call, False))

    def decide(self, delivered: int, now: float) -> None:
        """Decide held calls: those sent before a delivered call, and those held too long.

        Args:
            delivered: the highest number of a call that was delivered.
            now: the present; infinity decides all.
        """
        for _ in range(len(self._held)):
            each = self._held.popleft()
            if each.number < delivered:
                self._calls.append((each.call, True))
            elif now >= each.until:
                self._calls.append((each.call, False))
            else:
                self._held.append(each)

    def next_batch(self, limit: float, in_flight: int) -> Batch:
        """Return the batch to flush: the unconfirmed one, or else a new one, empty if none wait.

        Args:
            limit: the limit at present.
            in_flight: calls in flight at present.
        """
        if self._unconfirmed is None:
            count = min(len(self._calls), self._batch_size)
            decided = [self._calls.popleft() for _ in range(count)]
            settlements = [
                self._retry_policy.settlement_of(
                    call, self._rng, counts=counts, failure_share=self._failure_share
                )
                for call, counts in decided
            ]
            self._stats.parked += sum(each.status is Status.REJECTED for each in settlements)
            sample = self._sample([call for call, _ in decided], limit, in_flight)
            self._unconfirmed = Batch(settlements, sample)
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
        self._stats.credentials_refused += refused
        if refused:
            event(CREDENTIALS_REFUSED, level=logging.ERROR, calls=refused)
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
