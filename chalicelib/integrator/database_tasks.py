"""Decide which database task is next: a claim, a flush, the release of lost claims, or the end.

The most urgent one is submitted while the database worker is free:

1. A flush, if the outcomes of several batches wait, or the run's lease must be renewed.
2. A claim, so that the legacy is never idle; or a release, if claims were lost track of.
3. A flush, if it is due or has a full batch.
"""

import logging
from collections.abc import Callable
from typing import Any

from chalicelib.errors import UnavailableError
from chalicelib.integrator.call_pool import CallPool
from chalicelib.integrator.database_worker import DatabaseWorker
from chalicelib.integrator.limiter.protocol import Limiter
from chalicelib.integrator.prefetch import PrefetchQueue
from chalicelib.integrator.settlement_queue import SettlementQueue
from chalicelib.postgres.claims import Claimed, Claims
from chalicelib.telemetry import event

# Pause between two attempts while Postgres is unavailable.
RETRY_S = 0.5


class DatabaseTasks:
    """The database tasks of a run. It belongs to the thread of the run.

    Args:
        claims: the run's claims in Postgres.
        worker: runs the tasks.
        call_pool: has the calls in flight.
        limiter: says how many records can be sent.
        prefetched: takes the claimed records.
        unsettled: has the outcomes to flush.
        learned: returns what the next run must know, for each flush.
        settle_interval_s: how long an outcome may wait for its flush.
        read_clock: reads the clock of the run, and thereby advances that of the limiter.

    Attributes:
        leased_until: until then, no other run can become active.
        is_active: whether the run had its lease at the last flush.
    """

    def __init__(
        self,
        claims: Claims,
        worker: DatabaseWorker,
        call_pool: CallPool,
        limiter: Limiter,
        prefetched: PrefetchQueue,
        unsettled: SettlementQueue,
        *,
        learned: Callable[[], dict[str, Any]],
        settle_interval_s: float,
        read_clock: Callable[[], float],
    ) -> None:
        self._claims = claims
        self._worker = worker
        self._calls = call_pool
        self._limiter = limiter
        self._prefetched = prefetched
        self._unsettled = unsettled
        self._learned = learned
        self._settle_interval_s = settle_interval_s
        self._read_clock = read_clock
        self._claim_at = self._retry_at = now = read_clock()
        self._flush_at = now + settle_interval_s
        self.leased_until = self._renew_at = 0.0
        self.is_active = True

    def begin_lease(self, started: float) -> None:
        """Note that the run has become active; ``started`` is when it asked for that."""
        self.leased_until = started + self._claims.run_lease_s
        self._renew_at = started + self._claims.run_lease_s / 3

    def pause_after(self, error: UnavailableError) -> None:
        """Submit nothing for a while, after an error of a task. It may have been committed."""
        event(
            "the database is unavailable",
            level=logging.WARNING,
            reason=error.message,
            cause=error.__cause__,
        )
        self._retry_at = self._read_clock() + RETRY_S
        self._prefetched.needs_release = True

    @property
    def pause_s(self) -> float:
        """How long that pause still lasts."""
        return max(0.0, self._retry_at - self._read_clock())

    @property
    def flush_at(self) -> float:
        """When waiting outcomes may be flushed."""
        return max(self._flush_at, self._retry_at)

    def submit_next(self, *, may_claim: bool) -> None:
        """Submit the most urgent task, if there is one and the worker is free."""
        now = self._read_clock()
        if self._worker.is_busy or now < self._retry_at:
            return
        nothing_to_send = not (self._prefetched or self._calls.in_flight)
        flush_is_due = now >= self._flush_at or nothing_to_send
        # During a longer pause of the limiter, claimed records would only wait.
        is_paused = self._limiter.not_before > now + self._settle_interval_s
        may_claim = may_claim and not is_paused and now >= self._claim_at
        if self._unsettled.is_overfull or now >= self._renew_at:
            self.flush()
        elif may_claim and (deficit := self._prefetched.deficit(self._limiter.limit, now)):
            self._claim(deficit, now)
        elif self._unsettled.has_full_batch or (flush_is_due and self._unsettled):
            self.flush()

    def flush(self) -> None:
        """Submit a flush of the next batch of outcomes, which also renews the run's lease."""
        batch = self._unsettled.next_batch(self._limiter.limit, len(self._calls.in_flight))
        learned = self._learned()
        submitted_at = self._read_clock()

        def on_result(is_active: bool) -> None:
            self._unsettled.confirm()
            self.is_active = is_active
            if is_active:
                self.leased_until = submitted_at + self._claims.run_lease_s
            else:
                event("the run has lost its lease", level=logging.WARNING)
            now = self._read_clock()
            self._flush_at = now + self._settle_interval_s
            self._renew_at = now + self._claims.run_lease_s / 3

        self._worker.submit(
            lambda: self._claims.flush(batch.settlements, batch.sample, learned), on_result
        )

    def end(self) -> None:
        """Submit the run's end: return its unsent records to the queue, and end its lease."""
        in_flight = list(self._calls.in_flight)
        self._worker.submit(lambda: self._claims.end(in_flight), lambda _: None)

    def _claim(self, max_records: int, now: float) -> None:
        """Submit a claim; if claims were lost track of, submit their release instead."""
        held = self._held_ids()
        if self._prefetched.needs_release:
            self._prefetched.needs_release = False
            self._worker.submit(lambda: self._claims.release(held), lambda _: None)
            return

        def on_result(records: list[Claimed]) -> None:
            # If the database's clock steps ahead, records that this run holds become due.
            known = set(held)
            self._prefetched.add([each for each in records if each.id not in known], now)
            if len(records) < max_records:  # no more are due yet
                self._claim_at = self._read_clock() + self._settle_interval_s

        self._worker.submit(lambda: self._claims.claim(max_records), on_result)

    def _held_ids(self) -> list[str]:
        """Return the ids of all records that this run knows it holds."""
        return [
            *self._calls.in_flight,
            *(record.id for record in self._prefetched),
            *self._unsettled.record_ids(),
        ]
