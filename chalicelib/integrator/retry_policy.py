"""What an attempt's end makes of its record: its status, and when the next attempt is due."""

import random
from dataclasses import dataclass, fields

from chalicelib.integrator.call_pool import Sent
from chalicelib.integrator.outcome import Outcome
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Settlement
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of settling: when an outcome is written, and when what fails goes again.

    All but the counts are in seconds; ``Settings`` says what each does.
    """

    settle_interval_s: float
    settle_batch: int
    max_attempts: int
    retry_base_s: float
    retry_max_s: float
    overload_retry_max_s: float

    @classmethod
    def of(cls, settings: Settings) -> "Terms":
        """Take the terms that a stage has set."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})


def settlement(sent: Sent, terms: Terms, chance: random.Random) -> Settlement:
    """Say what an attempt's end makes of its record."""
    record, reply = sent.record, sent.reply
    attempts, overloads = record.attempts + 1, 0
    wait: float | None = None
    if reply.outcome is Outcome.DELIVERED:
        status = Status.INTEGRATED
    elif reply.outcome is Outcome.OVERLOADED:
        # No attempt is used up: an outage of a week buries nothing.
        status = Status.ERROR
        attempts, overloads = record.attempts, record.overloads + 1
        wait = wait_s(overloads, terms.retry_base_s, terms.overload_retry_max_s, chance)
    elif attempts >= terms.max_attempts:
        status = Status.REJECTED
    else:
        status = Status.ERROR
        wait = wait_s(attempts, terms.retry_base_s, terms.retry_max_s, chance)
    if wait is not None:
        wait = max(wait, reply.retry_after_s or 0.0)
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


def wait_s(times: int, base_s: float, most_s: float, chance: random.Random) -> float:
    """Return the wait after the ``times``-th failure in a row: doubling, bounded, half jitter.

    Equal jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # The exponent is bounded so that years of failures overflow nothing.
    longest = min(most_s, base_s * 2.0 ** min(times - 1, 60))
    return chance.uniform(longest / 2, longest)
