"""Decide a record's new state after an attempt: its status, and when it is retried.

    the call                   attempts    new status      next attempt
    ─────────────────────────────────────────────────────────────────────────────────────────────
    is delivered               +1          INTEGRATED      none
    does not count (*)         unchanged   ERROR           backoff by overloads, up to
                                                           overload_retry_max_s
    counts                     +1          ERROR           backoff by attempts, up to retry_max_s
    counts, and attempts       +1          REJECTED        none: the record is parked
    reach max_attempts (**)

(*) The legacy was overloaded, or was not shown to be alive for others: see ``liveness``.
(**) And good records hardly ever fail as often: see ``failure_share``.

A Retry-After may delay the next attempt further. After a call that broke off, the legacy may still
work on the record, so the next attempt waits at least as long as that call took: a second request
for a record in progress costs a slow legacy more time, or is refused. Overloads in a row are
counted apart from attempts, so an outage by any status never parks a record.
"""

import random
from dataclasses import dataclass, fields

from chalicelib.integrator.call_thread import FinishedCall
from chalicelib.integrator.failure_share import FailureShare
from chalicelib.integrator.outcome import Outcome
from chalicelib.point_record import Status
from chalicelib.postgres.settlements import Settlement
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The settings of retries; ``Settings`` describes each. Durations are in seconds."""

    max_attempts: int
    retry_base_s: float
    retry_max_s: float
    overload_retry_max_s: float

    @classmethod
    def from_settings(cls, settings: Settings) -> "RetryPolicy":
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})

    def settlement_of(
        self,
        call: FinishedCall,
        rng: random.Random,
        *,
        counts: bool,
        failure_share: FailureShare,
    ) -> Settlement:
        """Return the record's new state after a call; see the table at the head of this module.

        Args:
            call: the call that has ended.
            rng: the randomness of the backoff.
            counts: whether the call uses up an attempt. A delivery always does.
            failure_share: how often calls for good records fail.
        """
        record, result = call.record, call.result
        attempts, overloads = record.attempts + 1, 0
        wait_s: float | None = None
        if result.outcome is Outcome.DELIVERED:
            status = Status.INTEGRATED
        elif not counts:
            status = Status.ERROR
            attempts, overloads = record.attempts, record.overloads + 1
            wait_s = backoff_s(overloads, self.retry_base_s, self.overload_retry_max_s, rng)
        elif attempts >= self.max_attempts and not failure_share.explains(attempts):
            status = Status.REJECTED
        else:
            status = Status.ERROR
            wait_s = backoff_s(attempts, self.retry_base_s, self.retry_max_s, rng)
        if wait_s is not None:
            took_s = result.latency_s if result.broke_off else 0.0
            wait_s = max(wait_s, took_s, result.retry_after_s or 0.0)
        return Settlement(
            id=record.id,
            status=status,
            attempt=record.attempts + 1,
            attempts=attempts,
            overloads=overloads,
            wait_s=wait_s,
            log=result.log,
            http_status=result.http_status,
            latency_ms=round(result.latency_s * 1000),
        )


def backoff_s(failures: int, base_s: float, max_s: float, rng: random.Random) -> float:
    """Return the wait after ``failures`` failures in a row: exponential, bounded, equal jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # The bound on the exponent keeps years of failures from overflowing.
    longest_s = min(max_s, base_s * 2.0 ** min(failures - 1, 60))
    return rng.uniform(longest_s / 2, longest_s)
