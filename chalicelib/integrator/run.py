"""Step 3, the integrator: brings what is due in the replica to the legacy, at the limiter's pace.

    claim ──▶ supply ──▶ senders (HTTP, never more than the limit) ──▶ unsettled ──▶ settle

Promises that never more calls are open than the limit allows, that every outcome is written once,
and that a run which ends well leaves nothing INTEGRATING. A run killed anywhere leaves leases that
run out: its records are sent again under the same key. This thread alone decides: the senders' do
HTTP and the desk's does what it is handed, while this one goes on sending.
"""

import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable

from chalicelib.errors import UnavailableError
from chalicelib.integrator.call_pool import Senders, Sent
from chalicelib.integrator.database_worker import Desk
from chalicelib.integrator.legacy_client import Legacy
from chalicelib.integrator.limiter.protocol import Clock, Limiter
from chalicelib.integrator.outcome import Outcome
from chalicelib.integrator.prefetch import Supply, foreseen
from chalicelib.integrator.retry_policy import Terms, settlement
from chalicelib.integrator.run_stats import Integration, delivered_s, quantile_ms
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claimed, Claims, Sample, Settlement
from chalicelib.telemetry import event, logger

# Kept beyond the longest call, to settle it.
_SETTLE_MARGIN_S = 2.0
# A run with nothing to do stays for a record that is due so soon.
_LINGER_S = 5.0
# Batches of outcomes that may wait for a claim to end.
_MOST_UNSETTLED = 4
# Between two tries while Postgres does not answer.
_DATABASE_PAUSE_S = 0.5


class Run:
    """One run of the integrator; made for it and gone with it.

    Args:
        limiter: makes the limiter of the policy, given a clock.
    """

    def __init__(
        self,
        claims: Claims,
        legacy: Legacy,
        limiter: Callable[[Clock], Limiter],
        policy: str,
        terms: Terms,
        *,
        chance: random.Random,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._claims = claims
        self._call_timeout_s = legacy.call_timeout_s
        self._clock, self._sleep = clock, sleep
        self._now = clock()
        # The limiter's time stands still between two looks at the clock: what it is told at a
        # call's end then leads back to exactly the instant at which it was told of its start.
        self._limiter = limiter(lambda: self._now)
        self._policy = policy
        self._terms = terms
        self._chance = chance
        self._senders = Senders(legacy)
        self._desk = Desk(self._senders.wake)
        longest_wait_s = claims.record_lease_s - legacy.call_timeout_s - _SETTLE_MARGIN_S
        self._supply = Supply(longest_wait_s, self._now)
        self._unsettled: deque[Sent] = deque()
        # The flush that Postgres has not confirmed, to be tried again as it is.
        self._flushing: tuple[list[Settlement], Sample] | None = None
        self._claim_at = self._desk_at = self._now
        self._flush_at = self._now + terms.settle_interval_s
        self._leased_until = self._renew_at = 0.0  # before it, no other run can be the active one
        self._active = True
        self._done = Integration(self._limiter.limit, self._limiter.limit)

    def run(self, remaining_s: Callable[[], float]) -> Integration | None:
        """Integrate until nothing is due or ``remaining_s()`` comes near its end.

        Returns:
            What was done; None if another run is the active one.

        Raises:
            UnavailableError: Postgres did not come back in time. What the legacy was sent and could
                not be written goes again when its lease runs out.
        """
        started = self._look()
        begun = self._claims.begin()
        if begun is None:
            event("integration is under way in another run")
            return None
        policy, learned = begun
        if learned and policy == self._policy:
            self._limiter.restore(learned)
        self._leased_until = started + self._claims.run_lease_s
        self._renew_at = started + self._claims.run_lease_s / 3
        self._done.limit_first = self._limiter.limit
        try:
            self._work(remaining_s)
            self._end(remaining_s)
        finally:
            self._senders.close()
            self._done.seconds = self._look() - started
            self._done.limit_last = self._limiter.limit
            self._done.report()
        return self._done

    def _work(self, remaining_s: Callable[[], float]) -> None:
        needed_s = self._call_timeout_s + _SETTLE_MARGIN_S
        while remaining_s() > _SETTLE_MARGIN_S / 2:
            claiming = self._active and remaining_s() > needed_s
            if not claiming or max(self._look(), self._limiter.not_before) >= self._leased_until:
                self._supply.drop()
            try:
                self._desk.take()
                self._dispatch()
                self._hand_over(claiming)
                self._take_replies()
                if self._is_idle() and not (
                    claiming and self._is_due_within(min(_LINGER_S, remaining_s() - needed_s))
                ):
                    break
            except UnavailableError as error:
                event("the database is away", level=logging.WARNING, reason=error.message)
                self._desk_at = self._look() + _DATABASE_PAUSE_S
                self._supply.has_dropped = True  # the answer to a claim, maybe

    def _end(self, remaining_s: Callable[[], float]) -> None:
        """Write what has ended and give back all that was not sent."""
        self._desk.finish(remaining_s())
        while self._unsettled or self._flushing:
            self._flush()
            self._desk.finish(remaining_s())
        in_flight = list(self._senders.in_flight)
        self._desk.begin(lambda: self._claims.end(in_flight), lambda _: None)
        self._desk.finish(remaining_s())

    def _look(self) -> float:
        """Look at the clock."""
        self._now = self._clock()
        return self._now

    def _dispatch(self) -> None:
        """Send what is at hand, as far as the limit lets it."""
        open_calls = self._senders.in_flight
        if self._supply:
            at_hand = len(self._supply) + len(open_calls)
            self._senders.prepare(min(at_hand, foreseen(self._limiter.limit)))
        while (
            (now := self._look()) < self._leased_until
            and len(open_calls) < int(self._limiter.limit)
            and self._limiter.not_before <= now
            and (record := self._supply.pop(now))
        ):
            self._limiter.on_start()
            self._senders.send(record, now)
            self._done.sent += 1
            self._done.most_in_flight = max(self._done.most_in_flight, len(open_calls))
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug(
                    "Open requests: %d Max open requests: %d Errors: %d",
                    len(open_calls),
                    int(self._limiter.limit),
                    self._limiter.recent_failures,
                )

    def _take_replies(self) -> None:
        """Wait a moment for calls, or the desk's work, to end; tell the limiter of the calls."""
        if self._is_idle():
            return
        now = self._look()
        wake_at = now + self._terms.settle_interval_s
        if (self._unsettled or self._flushing) and not self._desk.is_busy:
            wake_at = min(wake_at, max(self._flush_at, self._desk_at))
        if self._supply and len(self._senders.in_flight) < int(self._limiter.limit):
            wake_at = min(wake_at, self._limiter.not_before)
        ended = self._senders.ended(wake_at - now)
        now = self._look()
        for sent in ended:
            reply = sent.reply
            overloaded = reply.outcome is Outcome.OVERLOADED
            if overloaded and reply.retry_after_s is not None:
                self._limiter.on_retry_after(reply.retry_after_s)
            # A record that the legacy refuses says nothing against its health.
            healthy = reply.outcome in (Outcome.DELIVERED, Outcome.REFUSED)
            self._limiter.on_result(healthy, now - sent.sent_at, sent.in_flight)
            self._unsettled.append(sent)
        self._supply.count_ended(len(ended), now)

    def _hand_over(self, claiming: bool) -> None:
        """Give the desk, if it is free, what Postgres is to do next."""
        now = self._look()
        if self._desk.is_busy or now < self._desk_at:
            return
        full = len(self._unsettled) >= self._terms.settle_batch
        overfull = len(self._unsettled) >= _MOST_UNSETTLED * self._terms.settle_batch
        late = now >= self._flush_at or not (self._supply or self._senders.in_flight)
        # What is claimed now would only wait.
        paused = self._limiter.not_before > now + self._terms.settle_interval_s
        claiming = claiming and not paused and now >= self._claim_at
        if overfull or now >= self._renew_at:
            self._flush()
        elif claiming and (most := self._supply.lacking(self._limiter.limit, now)):
            self._top_up(most)  # first, for nothing makes up for a legacy's idle time
        elif full or (late and (self._unsettled or self._flushing)):
            self._flush()

    def _top_up(self, most: int) -> None:
        """Claim, once what was dropped is given back."""
        asked_at = self._now
        held = self._held()
        if self._supply.has_dropped:
            self._supply.has_dropped = False
            self._desk.begin(lambda: self._claims.release(held), lambda _: None)
            return

        def take(records: list[Claimed]) -> None:
            # A database's clock that steps ahead makes due what this run has in hand.
            known = set(held)
            self._supply.add([each for each in records if each.id not in known], asked_at)
            if len(records) < most:  # that was all; more may come
                self._claim_at = self._look() + self._terms.settle_interval_s

        self._desk.begin(lambda: self._claims.claim(most), take)

    def _flush(self) -> None:
        """Write what has ended and renew the lease; if it fails, the same is tried again."""
        if self._flushing is None:
            count = min(len(self._unsettled), self._terms.settle_batch)
            calls = [self._unsettled.popleft() for _ in range(count)]
            settlements = [settlement(each, self._terms, self._chance) for each in calls]
            self._done.parked += sum(each.status is Status.REJECTED for each in settlements)
            self._flushing = settlements, self._sample(calls)
        settlements, sample = self._flushing
        learned = self._limiter.snapshot()
        asked_at = self._look()

        def take(active: bool) -> None:
            self._flushing = None
            self._active = active
            if active:
                self._leased_until = asked_at + self._claims.run_lease_s
            else:
                event("the lease of this run is lost", level=logging.WARNING)
            now = self._look()
            self._flush_at = now + self._terms.settle_interval_s
            self._renew_at = now + self._claims.run_lease_s / 3

        self._desk.begin(lambda: self._claims.flush(settlements, sample, learned), take)

    def _sample(self, calls: list[Sent]) -> Sample:
        """Sum up the calls that are about to be written."""
        outcomes = Counter(each.reply.outcome for each in calls)
        latencies_s = delivered_s(calls)
        self._done.outcomes.update(outcomes)
        self._done.latencies_s.extend(latencies_s)
        denied = sum(each.reply.denied for each in calls)
        if denied:
            event("the legacy refuses our credentials", level=logging.ERROR, calls=denied)
        return Sample(
            max_open_requests=self._limiter.limit,
            open_requests=len(self._senders.in_flight),
            delivered=outcomes[Outcome.DELIVERED],
            failed=outcomes[Outcome.FAILED] + outcomes[Outcome.OVERLOADED],
            rejected=outcomes[Outcome.REFUSED],
            latency_p50_ms=quantile_ms(latencies_s, 0.50),
            latency_p95_ms=quantile_ms(latencies_s, 0.95),
            policy=self._policy,
        )

    def _is_idle(self) -> bool:
        """Say whether nothing is waiting, open, unwritten or at the desk."""
        return not (
            self._supply
            or self._senders.in_flight
            or self._unsettled
            or self._flushing
            or self._desk.is_busy
        )

    def _is_due_within(self, linger_s: float) -> bool:
        """Say whether a record is due so soon that it pays to stay for it, and wait for it."""
        self._sleep(max(0.0, self._desk_at - self._look()))
        pause_s = self._claims.next_due_s()
        if pause_s > linger_s:
            return False
        self._sleep(max(self._terms.settle_interval_s, pause_s))
        return True

    def _held(self) -> list[str]:
        """Return the ids of all records that this run knows to be its own."""
        return [
            *self._senders.in_flight,
            *(record.id for record in self._supply),
            *(sent.record.id for sent in self._unsettled),
            *(each.id for each in (self._flushing[0] if self._flushing else ())),
        ]
