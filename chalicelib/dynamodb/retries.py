"""Decide how often and when to retry a call, as botocore's retry mode ``standard`` does.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

import random
import threading
from collections.abc import Callable

from chalicelib.dynamodb.dynamodb_error import Retry

MAX_ATTEMPTS = 3
# Seconds: the longest first delay. It doubles with each further attempt.
_BASE_S = {Retry.TRANSIENT: 0.025, Retry.THROTTLED: 1.0}
_MAX_DELAY_S = 20.0
# How much longer than its own delay a client waits if DynamoDB asks for it.
_MAX_ASKED_S = 5.0

# Tokens of a ``RetryBudget``.
_CAPACITY = 500
_COST = {Retry.TRANSIENT: 14, Retry.THROTTLED: 5}


def delay_s(
    retry: Retry,
    attempt: int,
    asked_ms: str | None,
    rng: Callable[[], float] = random.random,
) -> float:
    """Return the delay before the next attempt, with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Args:
        retry: the reason of the retry.
        attempt: the number of the failed attempt, from 1.
        asked_ms: the value of the header ``x-amz-retry-after``, or None.
        rng: returns a number from 0 to 1.
    """
    delay = rng() * min(_BASE_S[retry] * 2.0 ** (attempt - 1), _MAX_DELAY_S)
    if asked_ms is None or not asked_ms.isdecimal() or len(asked_ms) > 9:
        return delay
    return max(delay, min(int(asked_ms) / 1000, delay + _MAX_ASKED_S))


class RetryBudget:
    """Limits the retries of a process, so that they do not prolong an outage. Thread-safe.

    A retry takes tokens, and the process has 500. A call that succeeds after a retry returns those
    of its last retry, one that succeeds at once returns one. Without tokens, calls fail at their
    first error.
    """

    def __init__(self) -> None:
        self._tokens = _CAPACITY
        self._lock = threading.Lock()

    def take(self, retry: Retry) -> int:
        """Take the tokens of a retry, and return how many; 0 if there are not enough."""
        cost = _COST[retry]
        with self._lock:
            if self._tokens < cost:
                return 0
            self._tokens -= cost
        return cost

    def give_back(self, tokens: int) -> None:
        """Return tokens after a success."""
        if self._tokens < _CAPACITY:
            with self._lock:
                self._tokens = min(_CAPACITY, self._tokens + tokens)
