"""Step 3, the integrator: send due records to the legacy, never more at once than the limit.

                                         limiter ◀──────┐
                                     limit │            │ each result
    Postgres ─ claim ─▶ prefetch queue ──▶ call pool ───┴──▶ settlement queue ─ flush ─▶ Postgres
                                           ⇅ HTTP
                                         legacy

Invariants:

- Never more calls in flight than the limit allows.
- Each outcome is settled once, even if a flush is repeated.
- A run that ends normally leaves no record INTEGRATING.
- A run that is killed at any point leaves only leases, which expire. Later runs send its records
  again, under the same idempotency keys.

Threads:

- The main thread, which calls ``run``, makes every decision and owns all state. It waits for
  Postgres at the start, at the end, and while there is nothing to send.
- The database worker runs one task at a time: a claim, a release, a flush or the run's end.
- The call pool's threads make HTTP calls.
"""

import math
import random
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from chalicelib.errors import UnavailableError
from chalicelib.integrator.call_pool import CallPool
from chalicelib.integrator.database_tasks import RETRY_S, DatabaseTasks
from chalicelib.integrator.database_worker import DatabaseWorker
from chalicelib.integrator.delivery_alarm import DeliveryAlarm
from chalicelib.integrator.dispatcher import Dispatcher
from chalicelib.integrator.failure_share import FailureShare
from chalicelib.integrator.limiter.protocol import Clock, Limiter
from chalicelib.integrator.liveness import Liveness
from chalicelib.integrator.prefetch import PrefetchQueue
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run_stats import RunStats
from chalicelib.integrator.settlement_queue import SettlementQueue
from chalicelib.postgres.claims import Claims
from chalicelib.telemetry import event

# Time reserved after the longest call, to settle its outcome.
_SETTLE_MARGIN_S = 2.0
# A run without work waits for a record that is due within this time.
_LINGER_S = 5.0
# A call that did not deliver its record is held this long, or as long as a call may take if that is
# longer: one that is sent later may show that the legacy is alive. It is held at most for half of
# the time that the lease leaves.
_MIN_HOLD_S = 5.0
# What a run learns is stored together: the limiter's numbers, and two values under these keys.
_FAILURE_SHARE, _IS_ALIVE = "failure_share", "is_alive"


class Run:
    """One run of the integrator; not reusable.

    Args:
        claims: the run's claims in Postgres.
        call_pool: makes the calls; the run closes it.
        database_worker: runs the database tasks, and wakes ``call_pool`` after each.
        make_limiter: makes the limiter, given a clock.
        retry_policy: decides when a failed record is retried.
        limit_policy: the name of the limiter's policy. The limiter takes over what the last run
            learned if that run had the same policy.
        settle_interval_s: how long an outcome may wait for its flush.
        settle_batch: most outcomes of one flush.
        rng: the randomness of the backoff.
        clock: monotonic, in seconds; the call pool must measure by the same clock.
        sleep: waits for a number of seconds of that clock.
    """

    def __init__(
        self,
        claims: Claims,
        call_pool: CallPool,
        database_worker: DatabaseWorker,
        make_limiter: Callable[[Clock], Limiter],
        retry_policy: RetryPolicy,
        *,
        limit_policy: str,
        settle_interval_s: float,
        settle_batch: int,
        rng: random.Random,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._claims = claims
        self._calls = call_pool
        self._database = database_worker
        self._limit_policy = limit_policy
        self._settle_interval_s = settle_interval_s
        self._clock, self._sleep = clock, sleep
        self._now = clock()
        # The limiter's clock advances only when the run reads its own. The limiter computes a
        # call's start as its end minus its latency, and has to get exactly the recorded start.
        self._limiter = make_limiter(lambda: self._now)
        self._stats = RunStats(self._limiter.limit, self._limiter.limit)
        # The lease covers the wait before the call, the call, and the time that it is held after.
        spare_s = claims.record_lease_s - call_pool.call_timeout_s - _SETTLE_MARGIN_S
        hold_s = min(max(_MIN_HOLD_S, call_pool.call_timeout_s), spare_s / 2)
        self._prefetched = PrefetchQueue(spare_s - hold_s, self._now)
        self._liveness = Liveness()
        self._failure_share = FailureShare()
        self._unsettled = SettlementQueue(
            retry_policy,
            rng,
            batch_size=settle_batch,
            hold_s=hold_s,
            failure_share=self._failure_share,
            limit_policy=limit_policy,
            stats=self._stats,
        )
        self._dispatcher = Dispatcher(
            call_pool,
            self._limiter,
            self._prefetched,
            self._unsettled,
            self._liveness,
            self._stats,
            self._read_clock,
        )
        self._alarm = DeliveryAlarm(self._liveness, self._stats)
        self._tasks = DatabaseTasks(
            claims,
            database_worker,
            call_pool,
            self._limiter,
            self._prefetched,
            self._unsettled,
            learned=self._learned,
            settle_interval_s=settle_interval_s,
            read_clock=self._read_clock,
        )

    def run(self, remaining_s: Callable[[], float]) -> RunStats | None:
        """Integrate until nothing is due, or until ``remaining_s()`` is too short for more.

        Returns:
            What the run did; None if another run is active.

        Raises:
            UnavailableError: Postgres did not become available again in time. Records whose
                outcomes could not be settled are sent again when their leases expire.
        """
        with closing(self._calls):
            return self._run(remaining_s)

    def _run(self, remaining_s: Callable[[], float]) -> RunStats | None:
        started = self._read_clock()
        last_run = self._claims.begin()
        if last_run is None:
            event("another integration run is active")
            return None
        learned = last_run.learned or {}
        self._failure_share.restore(learned.get(_FAILURE_SHARE))
        self._liveness.restore(learned.get(_IS_ALIVE))
        if learned and last_run.policy == self._limit_policy:
            self._limiter.restore(learned, last_run.idle_s)
        self._tasks.begin_lease(started)
        self._stats.limit_first = self._limiter.limit
        try:
            self._work(remaining_s)
            self._finish(remaining_s)
        finally:
            self._stats.seconds = self._read_clock() - started
            self._stats.limit_last = self._limiter.limit
            self._stats.delivers = self._alarm.delivers
            self._stats.log()
        return self._stats

    def _work(self, remaining_s: Callable[[], float]) -> None:
        """Claim, send and settle until nothing is due or the time is nearly over."""
        send_and_settle_s = self._calls.call_timeout_s + _SETTLE_MARGIN_S
        while remaining_s() > _SETTLE_MARGIN_S / 2:
            may_claim = self._tasks.is_active and remaining_s() > send_and_settle_s
            if (
                not may_claim
                or max(self._read_clock(), self._limiter.not_before) >= self._tasks.leased_until
            ):
                self._prefetched.clear()
            try:
                self._database.collect()
                self._dispatcher.send(self._tasks.leased_until)
                self._unsettled.decide(self._liveness.delivered, self._read_clock())
                self._tasks.submit_next(may_claim=may_claim)
                self._collect_calls()
                if self._is_idle() and not (
                    may_claim
                    and self._wait_for_due_record(min(_LINGER_S, remaining_s() - send_and_settle_s))
                ):
                    break
            except UnavailableError as error:
                self._tasks.pause_after(error)

    def _finish(self, remaining_s: Callable[[], float]) -> None:
        """Settle all outcomes, return unsent records to the queue, and end the run's lease."""
        self._alarm.check(self._read_clock(), run_ends=True)
        # Held calls are settled as overloads: no call follows that could show more.
        self._unsettled.decide(self._liveness.delivered, math.inf)
        while True:
            try:
                self._database.wait(remaining_s())
                while self._unsettled:
                    self._tasks.flush()
                    self._database.wait(remaining_s())
                self._tasks.end()
                self._database.wait(remaining_s())
            except UnavailableError as error:
                if remaining_s() <= RETRY_S:
                    raise
                self._tasks.pause_after(error)
                self._sleep(RETRY_S)
            else:
                return

    def _learned(self) -> dict[str, Any]:
        """Return what the next run must know."""
        return self._limiter.snapshot() | {
            _FAILURE_SHARE: self._failure_share.snapshot(),
            _IS_ALIVE: self._liveness.snapshot(),
        }

    def _read_clock(self) -> float:
        self._now = self._clock()
        return self._now

    def _collect_calls(self) -> None:
        """Wait until a call or a database task ends, and collect the calls that have ended."""
        if self._is_idle():
            return
        wake_at = self._read_clock() + self._settle_interval_s
        if self._unsettled and not self._database.is_busy:
            wake_at = min(wake_at, self._tasks.flush_at)
        self._dispatcher.collect(wake_at)
        self._alarm.check(self._read_clock())

    def _is_idle(self) -> bool:
        """Return whether no record and no database task is in progress, apart from held calls."""
        return not (
            self._prefetched or self._calls.in_flight or self._unsettled or self._database.is_busy
        )

    def _wait_for_due_record(self, linger_s: float) -> bool:
        """Wait for the next due record; return False if none is due within ``linger_s``."""
        self._sleep(self._tasks.pause_s)
        next_due_s = self._claims.next_due_s()
        if next_due_s > linger_s:
            return False
        self._sleep(max(self._settle_interval_s, next_due_s))
        return True
