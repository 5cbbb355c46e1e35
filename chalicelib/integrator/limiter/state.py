"""What the adaptive limiter is doing, and what it has learned."""

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from math import exp, isfinite, log

from chalicelib.integrator.limiter.parameters import (
    GUESS_DOUBLING_S,
    LONG_PAUSE_S,
    MAX_LATENCY_S,
    MAX_WAIT_S,
    MIN_LATENCY_S,
    MIN_PAUSE_S,
    NO_CEILING,
    WIDE_MAX_S,
    bounded,
)

# Numbers whose stored name is another one: snapshots of earlier releases have it.
_STORED_AS = {"base_log_latency": "base_latency"}
# What snapshots of earlier releases lack; it begins with its default.
_ADDED = ("check_s",)


class LimiterState(StrEnum):
    """What decides the limit now. Where two apply, the first in this order counts."""

    OUTAGE = "outage"
    """Nothing succeeds: single outage probes, spaced ever further apart, until one succeeds."""
    PACED = "paced"
    """A Retry-After, or the rate learned from them, delays the next call."""
    TENTATIVE_CUT = "tentative cut"
    """The limit was cut after failures; the next calls show whether load was their cause."""
    PROBE = "probe"
    """A lower limit for one window, to measure the base latency."""
    SLOW_START = "slow start"
    """The limit grows in steps, up to double, while there is no queue."""
    STEADY = "steady"
    """The limit follows the gradient of latency, window by window."""


@dataclass(slots=True)
class LearnedState:
    """What one run passes on to the next. It holds durations but no instants."""

    limit: float = bounded(1, 1, 1e6, "calls")
    slow_start: bool = bounded(True, 0, 1, "yes or no")
    base_log_latency: float = bounded(
        log(0.1), log(MIN_LATENCY_S), log(MAX_LATENCY_S), "log s, without a queue"
    )
    base_calls: float = bounded(0, 0, 1e3, "calls that base_log_latency averages")
    unconfirmed: bool = bounded(False, 0, 1, "whether that base may have a queue in it")
    probe_excess: float = bounded(0, -10, 10, "sum of what probes showed; above 0: calls queue")
    probe_variance: float = bounded(0, 0, 10, "variance of that sum")
    windows_since_probe: float = bounded(0, 0, 100, "windows")
    variance: float = bounded(0.25, 0, 100, "variance of a call's log latency")
    background: float = bounded(0.02, 0, 1, "share of calls that fail whatever the load")
    ceiling: float = bounded(NO_CEILING, 1, NO_CEILING, "calls; highest limit after failures")
    lowered_ceiling: float = bounded(NO_CEILING, 1, NO_CEILING, "calls; when it was last lowered")
    outage: bool = bounded(False, 0, 1, "yes or no")
    rate: float = bounded(0, 0, 1e6, "calls/s; 0: no refusal so far")
    burst: float = bounded(-1, -1, 1e6, "calls; -1: unknown, and the rate a guess")
    first_calls: float = bounded(0, 0, 1e6, "calls of the first interval since the bucket was full")
    first_s: float = bounded(0, 0, 1e6, "s in which they were sent; with 0 calls: unknown")
    rate_age_s: float = bounded(0, 0, 1e6, "s of sending since the rate was learned")
    rate_doubling_s: float = bounded(GUESS_DOUBLING_S, 0.1, 1e6, "s of sending")
    pause_s: float = bounded(0, 0, MAX_WAIT_S, "s that the next call must wait")
    check_s: float = bounded(0, 0, LONG_PAUSE_S, "s until a call checks this pause; 0: none does")
    rested_s: float = bounded(0, 0, 1e6, "s from the last refusal to the end of its pause; 0: none")
    wide_s: float = bounded(0, 0, WIDE_MAX_S, "s in which a Retry-After concerns all calls")

    @property
    def base_s(self) -> float:
        """The latency without a queue, in s."""
        return exp(self.base_log_latency)

    def shorten_pauses(self, seconds: float) -> None:
        """Shorten the pauses by a time in which no run has worked.

        A moment of each remains: the first call goes ahead of the others, as after every pause.
        """
        for name in ("pause_s", "check_s", "wide_s"):
            value: float = getattr(self, name)
            setattr(self, name, max(min(value, MIN_PAUSE_S), value - seconds))

    def snapshot(self) -> dict[str, float]:
        """Return the values by their stored names, ready for JSON."""
        return {_STORED_AS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def restore(cls, snapshot: object) -> "LearnedState | None":
        """Return a snapshot's numbers, clamped to their bounds; None if any is missing.

        Those of ``_ADDED`` may be missing.
        """
        learned = cls()
        for each in fields(cls):
            name = _STORED_AS.get(each.name, each.name)
            missing = each.default if each.name in _ADDED else None
            value = snapshot.get(name, missing) if isinstance(snapshot, dict) else None
            if not isinstance(value, (int, float)) or not isfinite(value):
                return None
            low, high = each.metadata["low"], each.metadata["high"]
            value = min(high, max(low, value))
            # Earlier releases have stored Booleans as numbers.
            setattr(learned, each.name, bool(value) if isinstance(each.default, bool) else value)
        return learned
