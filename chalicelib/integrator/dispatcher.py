"""Send prefetched records as far as the limit allows, and pass on how their calls ended.

Invariants:

- Never more calls in flight than the limit allows.
- Never more suspects in flight than ``prefetch.max_suspects`` allows.
- Each result goes once to the limiter, to ``liveness`` and to the settlement queue.
"""

import logging
from collections.abc import Callable

from chalicelib.integrator.call_pool import CallPool
from chalicelib.integrator.call_thread import FinishedCall
from chalicelib.integrator.limiter.protocol import Limiter
from chalicelib.integrator.liveness import Liveness
from chalicelib.integrator.outcome import Outcome
from chalicelib.integrator.prefetch import PrefetchQueue, is_suspect, max_suspects
from chalicelib.integrator.run_stats import RunStats
from chalicelib.integrator.settlement_queue import SettlementQueue
from chalicelib.postgres.claims import Claimed
from chalicelib.telemetry import logger


class Dispatcher:
    """Decides which record is sent when. It belongs to the thread of the run.

    Args:
        call_pool: makes the calls.
        limiter: says how many calls may be in flight, and learns from each result.
        prefetched: the claimed records.
        unsettled: takes the calls that have ended.
        liveness: learns from each result whether the legacy is alive.
        stats: what the run counts.
        read_clock: reads the clock of the run, and thereby advances that of the limiter.
    """

    def __init__(
        self,
        call_pool: CallPool,
        limiter: Limiter,
        prefetched: PrefetchQueue,
        unsettled: SettlementQueue,
        liveness: Liveness,
        stats: RunStats,
        read_clock: Callable[[], float],
    ) -> None:
        self._calls = call_pool
        self._limiter = limiter
        self._prefetched = prefetched
        self._unsettled = unsettled
        self._liveness = liveness
        self._stats = stats
        self._read_clock = read_clock
        self._suspects_in_flight = 0

    def send(self, until: float) -> None:
        """Send prefetched records as far as the limit allows, but none from ``until`` on."""
        in_flight = self._calls.in_flight
        while (
            (now := self._read_clock()) < until
            and len(in_flight) < int(self._limiter.limit)
            and self._limiter.not_before <= now
            and (record := self._next_record(now))
        ):
            self._limiter.on_start()
            self._liveness.on_start(record.id)
            self._suspects_in_flight += is_suspect(record)
            self._calls.send(record, now)
            self._stats.sent += 1
            self._stats.most_in_flight = max(self._stats.most_in_flight, len(in_flight))
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug(
                    "Open requests: %d Max open requests: %d Errors: %d",
                    len(in_flight),
                    int(self._limiter.limit),
                    self._limiter.recent_failures,
                )

    def collect(self, wake_at: float) -> None:
        """Wait for calls that end, and pass their results on.

        Args:
            wake_at: when to return at the latest. It returns earlier if a call or a database task
                ends, or if the limiter allows another call.
        """
        if len(self._calls.in_flight) < int(self._limiter.limit) and self._prefetched.has_sendable(
            with_suspects=self._may_send_suspects()
        ):
            wake_at = min(wake_at, self._limiter.not_before)
        calls = self._calls.collect(wake_at - self._read_clock())
        now = self._read_clock()
        for call in calls:
            self._pass_on(call, now)
        self._prefetched.count_finished(len(calls), now)

    def _pass_on(self, call: FinishedCall, now: float) -> None:
        outcome, retry_after_s = call.result.outcome, call.result.retry_after_s
        if outcome is Outcome.OVERLOADED and retry_after_s is not None:
            self._limiter.on_retry_after(retry_after_s)
        suspicious = is_suspect(call.record)
        undecided = self._liveness.on_result(call.record.id, call.result, is_suspect=suspicious)
        latency_s = now - call.sent_at
        if outcome is Outcome.REFUSED and self._liveness.refusals_are_healthy:
            self._limiter.on_refused(latency_s, call.in_flight)
        else:
            is_delivered = outcome is Outcome.DELIVERED
            self._limiter.on_result(is_delivered, latency_s, call.in_flight)
        self._suspects_in_flight -= suspicious
        self._unsettled.add(call, undecided, now)

    def _next_record(self, now: float) -> Claimed | None:
        """Take the next record from the prefetch queue.

        In a silence it is the newest: the oldest may be a block of bad records, and each of them
        would cost a probe before a good one ends the silence. For the same reason suspects wait
        while nothing is delivered.
        """
        return self._prefetched.pop(
            now,
            with_suspects=self._may_send_suspects(),
            suspects_last=self._liveness.awaits_delivery,
            newest=self._liveness.is_silent,
        )

    def _may_send_suspects(self) -> bool:
        """Return whether one more suspect may be in flight."""
        return self._suspects_in_flight < max_suspects(self._limiter.limit)
