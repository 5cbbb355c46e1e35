"""The DynamoDB table: partitions, each with a bucket of writes."""

import math
from random import Random

from deploy.capacity.facts import limit
from deploy.capacity.lots import spread


class Table:
    """A table with as many partitions as its warm throughput needs.

    Ids are hashes, so writes meet partitions at random. A partition holds the writes of one second
    at most. DynamoDB's own burst capacity is best effort and is not counted on.

    Args:
        warm_writes: writes a second for which the table is warm.
        rng: draws the partition of each write.
    """

    def __init__(self, warm_writes: int, rng: Random) -> None:
        self._per_s = limit("DynamoDB, writes of a partition")
        self._tokens = [float(self._per_s)] * math.ceil(warm_writes / self._per_s)
        self._rng = rng

    def refill(self, seconds: float) -> None:
        """Let time pass."""
        self._tokens = [min(each + self._per_s * seconds, self._per_s) for each in self._tokens]

    def write(self, count: int) -> int:
        """Make ``count`` writes; return how many were not throttled."""
        written = 0
        for position, asked in enumerate(spread(count, len(self._tokens), self._rng)):
            if asked:  # most positions get none
                taken = min(asked, int(self._tokens[position]))
                self._tokens[position] -= taken
                written += taken
        return written
