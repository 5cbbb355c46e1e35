"""Step 3, the integrator: brings what is due in the replica to the legacy, at the limiter's pace.

    claim ──▶ waiting ──▶ senders (HTTP, never more than the limit) ──▶ unsettled ──▶ settle

Promises that never more calls are open than the limit allows, that every outcome is written once,
and that a run which ends well leaves nothing INTEGRATING. A run killed anywhere leaves leases that
run out: its records are sent again under the same key. This thread alone has the database.
"""

import logging
import random
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chalicelib.errors import UnavailableError
from chalicelib.integrator.legacy import Legacy, Outcome
from chalicelib.integrator.limiter import Limiter
from chalicelib.integrator.retry import wait_s
from chalicelib.integrator.senders import Senders, Sent
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claimed, Claims, Sample, Settlement
from chalicelib.telemetry import event, logger

# Kept beyond the longest call, to settle it.
_SETTLE_MARGIN_S = 2.0
# A run with nothing to do stays for a record that is due so soon.
_LINGER_S = 5.0
# Between two tries while Postgres does not answer.
_DATABASE_PAUSE_S = 0.5
_MOST_CLAIMED = 5_000


@dataclass(frozen=True, slots=True)
class Pace:
    """When an outcome is written, and when what fails goes again. All but the counts in seconds."""

    settle_interval_s: float
    settle_batch: int
    max_attempts: int
    retry_base_s: float
    retry_max_s: float
    overload_retry_max_s: float


@dataclass(slots=True)
class Integration:
    """What a run did. Latencies are of the delivered, in seconds."""

    limit_first: float
    limit_last: float
    sent: int = 0
    parked: int = 0
    most_in_flight: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    seconds: float = 0.0


class Run:
    """One run of the integrator; made for it and gone with it."""

    def __init__(
        self,
        claims: Claims,
        legacy: Legacy,
        limiter: Limiter,
        policy: str,
        pace: Pace,
        *,
        chance: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claims = claims
        self._call_timeout_s = legacy.call_timeout_s
        self._limiter = limiter
        self._policy = policy
        self._pace = pace
        self._chance = chance
        self._clock = clock
        self._senders = Senders(legacy)
        # Claimed and not yet sent, each with the instant from which its lease is too short for it.
        self._waiting: deque[tuple[Claimed, float]] = deque()
        self._unsettled: list[Sent] = []
        # The flush that Postgres has not confirmed, to be tried again as it is.
        self._flushing: tuple[list[Settlement], Sample] | None = None
        self._flush_at = self._renew_at = self._claim_at = clock()
        self._leased_until = 0.0  # before it, no other run can be the active one
        self._sent_since_claim = 0
        self._active = True
        self._forgotten = False  # claimed records of which this run knows nothing any more
        self._done = Integration(limiter.limit, limiter.limit)

    def run(self, remaining_s: Callable[[], float]) -> Integration | None:
        """Integrate until nothing is due or ``remaining_s()`` comes near its end.

        Returns:
            What was done; None if another run is the active one.

        Raises:
            UnavailableError: Postgres did not come back in time. What the legacy was sent and could
                not be written goes again when its lease runs out.
        """
        asked_at = self._clock()
        begun = self._claims.begin()
        if begun is None:
            event("integration is under way in another run")
            return None
        policy, learned = begun
        if learned and policy == self._policy:
            self._limiter.restore(learned)
        self._leased_until = asked_at + self._claims.run_lease_s
        started = self._clock()
        self._done.limit_first = self._limiter.limit
        try:
            self._work(remaining_s)
        finally:
            self._senders.close()
            self._done.seconds = self._clock() - started
            self._done.limit_last = self._limiter.limit
            _report(self._done)
        return self._done

    def _work(self, remaining_s: Callable[[], float]) -> None:
        needed_s = self._call_timeout_s + _SETTLE_MARGIN_S
        while remaining_s() > _SETTLE_MARGIN_S / 2:
            claiming = self._active and remaining_s() > needed_s
            if not claiming or self._limiter.not_before > self._leased_until:
                self._give_up_waiting()
            try:
                self._dispatch()
                self._take_replies()
                self._flush_if_due()
                if claiming:
                    self._top_up()
                if self._is_idle() and not (
                    claiming and self._is_due_within(min(_LINGER_S, remaining_s() - needed_s))
                ):
                    break
            except UnavailableError as error:
                event("the database is away", level=logging.WARNING, reason=error.message)
                time.sleep(_DATABASE_PAUSE_S)
        while self._unsettled or self._flushing:
            self._flush()
        self._claims.end(list(self._senders.in_flight))

    def _top_up(self) -> None:
        """Claim what can be sent soon, when little of it is left."""
        now = self._clock()
        open_limit = int(self._limiter.limit)
        if now < self._claim_at or len(self._waiting) > open_limit // 2:
            return
        if self._forgotten:
            self._claims.release(self._held())
            self._forgotten = False
        if self._limiter.not_before > now + self._pace.settle_interval_s:
            return  # what is claimed now would only wait
        # As much as was sent since the last claim, twice, and a limit's worth.
        most = min(_MOST_CLAIMED, 2 * self._sent_since_claim + max(1, open_limit))
        self._forgotten = True  # should the answer be lost
        records = self._claims.claim(most)
        self._forgotten = False
        last_start = now + self._claims.record_lease_s - self._call_timeout_s - _SETTLE_MARGIN_S
        self._waiting.extend((record, last_start) for record in records)
        self._sent_since_claim = 0
        if len(records) < most:  # that was all; more may come
            self._claim_at = now + self._pace.settle_interval_s

    def _give_up_waiting(self) -> None:
        """Forget what is waiting: it is given back at the next claim, or at the end."""
        self._forgotten = self._forgotten or bool(self._waiting)
        self._waiting.clear()

    def _dispatch(self) -> None:
        """Send what is waiting, as far as the limit lets it."""
        open_calls = self._senders.in_flight
        while (
            self._waiting
            and len(open_calls) < int(self._limiter.limit)
            and self._limiter.not_before <= (now := self._clock()) < self._leased_until
        ):
            record, last_start = self._waiting.popleft()
            if now > last_start or record.id in open_calls:
                self._forgotten = True  # its lease is too short by now: given back, then claimed
                continue
            self._limiter.on_start()
            self._senders.send(record)
            self._sent_since_claim += 1
            self._done.sent += 1
            self._done.most_in_flight = max(self._done.most_in_flight, len(open_calls))
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug(
                    "Open requests: %d Max open requests: %d Errors: %d",
                    len(open_calls),
                    int(self._limiter.limit),
                    self._limiter.errors,
                )

    def _take_replies(self) -> None:
        """Wait a moment for calls to end and tell the limiter of those that have."""
        now = self._clock()
        wake_at = now + self._pace.settle_interval_s
        if self._unsettled:
            wake_at = min(wake_at, self._flush_at)
        if self._waiting and len(self._senders.in_flight) < int(self._limiter.limit):
            wake_at = min(wake_at, self._limiter.not_before)
        if self._is_idle():
            return
        for sent in self._senders.ended(wake_at - now):
            reply = sent.reply
            overloaded = reply.outcome is Outcome.OVERLOADED
            if overloaded and reply.retry_after_s is not None:
                self._limiter.on_retry_after(reply.retry_after_s)
            # A record that the legacy refuses says nothing against its health.
            healthy = reply.outcome in (Outcome.DELIVERED, Outcome.REJECTED)
            self._limiter.on_result(healthy, reply.latency_s, overloaded, sent.in_flight)
            self._unsettled.append(sent)

    def _flush_if_due(self) -> None:
        now = self._clock()
        full = len(self._unsettled) >= self._pace.settle_batch
        late = bool(self._unsettled or self._flushing) and now >= self._flush_at
        last = bool(self._unsettled) and not (self._waiting or self._senders.in_flight)
        if full or late or last or now >= self._renew_at:
            self._flush()

    def _flush(self) -> None:
        """Write what has ended and renew the lease; on an error the same is tried again."""
        if self._flushing is None:
            settlements = [self._settlement(sent) for sent in self._unsettled]
            self._flushing = settlements, self._sample()
            self._unsettled.clear()
        asked_at = self._clock()
        self._active = self._claims.flush(*self._flushing, self._limiter.snapshot())
        self._flushing = None
        if self._active:
            self._leased_until = asked_at + self._claims.run_lease_s
        now = self._clock()
        self._flush_at = now + self._pace.settle_interval_s
        self._renew_at = now + self._claims.run_lease_s / 3
        if not self._active:
            event("the lease of this run is lost", level=logging.WARNING)

    def _settlement(self, sent: Sent) -> Settlement:
        """Say what an attempt's end makes of its record."""
        record, reply, pace = sent.record, sent.reply, self._pace
        attempts, overloads = record.attempts + 1, 0
        wait: float | None = None
        if reply.outcome is Outcome.DELIVERED:
            status = Status.INTEGRATED
        elif reply.outcome is Outcome.OVERLOADED:
            # No attempt is used up: an outage of a week buries nothing.
            status = Status.ERROR
            attempts, overloads = record.attempts, record.overloads + 1
            wait = wait_s(overloads, pace.retry_base_s, pace.overload_retry_max_s, self._chance)
            wait = max(wait, reply.retry_after_s or 0.0)
        elif attempts >= pace.max_attempts:
            status = Status.REJECTED
            self._done.parked += 1
        else:
            status = Status.ERROR
            wait = wait_s(attempts, pace.retry_base_s, pace.retry_max_s, self._chance)
        return Settlement(
            id=record.id,
            status=status,
            attempt=record.attempts + 1,
            attempts=attempts,
            overloads=overloads,
            wait_s=wait,
            log=reply.log,
            http_status=reply.http_status,
            latency_ms=round(reply.latency_s * 1000),
        )

    def _sample(self) -> Sample:
        """Sum up the unsettled calls."""
        outcomes = Counter(sent.reply.outcome for sent in self._unsettled)
        delivered_s = [
            sent.reply.latency_s
            for sent in self._unsettled
            if sent.reply.outcome is Outcome.DELIVERED
        ]
        self._done.outcomes.update(outcomes)
        self._done.latencies_s.extend(delivered_s)
        denied = sum(sent.reply.denied for sent in self._unsettled)
        if denied:
            event("the legacy refuses our credentials", level=logging.ERROR, calls=denied)
        return Sample(
            max_open_requests=self._limiter.limit,
            open_requests=len(self._senders.in_flight),
            delivered=outcomes[Outcome.DELIVERED],
            failed=outcomes[Outcome.FAILED] + outcomes[Outcome.OVERLOADED],
            rejected=outcomes[Outcome.REJECTED],
            latency_p50_ms=quantile_ms(delivered_s, 0.50),
            latency_p95_ms=quantile_ms(delivered_s, 0.95),
            policy=self._policy,
        )

    def _is_idle(self) -> bool:
        """Say whether nothing is waiting, open or unwritten."""
        return not (self._waiting or self._senders.in_flight or self._unsettled or self._flushing)

    def _is_due_within(self, linger_s: float) -> bool:
        """Say whether a record is due so soon that it pays to stay for it, and wait for it."""
        pause_s = self._claims.next_due_s()
        if pause_s > linger_s:
            return False
        time.sleep(max(self._pace.settle_interval_s, pause_s))
        return True

    def _held(self) -> list[str]:
        """Return the ids of all records that this run knows to be its own."""
        return [
            *self._senders.in_flight,
            *(record.id for record, _ in self._waiting),
            *(sent.record.id for sent in self._unsettled),
            *(each.id for each in (self._flushing[0] if self._flushing else ())),
        ]


def quantile_ms(latencies_s: Sequence[float], q: float) -> int | None:
    """Return the ``q``-quantile of latencies in whole milliseconds; None if there are none."""
    if not latencies_s:
        return None
    return round(sorted(latencies_s)[int(q * (len(latencies_s) - 1))] * 1000)


def _report(done: Integration) -> None:
    delivered = done.outcomes[Outcome.DELIVERED]
    event(
        "integrated",
        sent=done.sent,
        **{outcome.lower(): done.outcomes[outcome] for outcome in Outcome},
        parked=done.parked,
        limit_first=round(done.limit_first, 3),
        limit_last=round(done.limit_last, 3),
        most_in_flight=done.most_in_flight,
        latency_p50_ms=quantile_ms(done.latencies_s, 0.50),
        latency_p95_ms=quantile_ms(done.latencies_s, 0.95),
        seconds=round(done.seconds, 3),
        records_per_s=round(delivered / done.seconds, 1) if done.seconds else 0.0,
    )
