"""The failure share: how often a good record's call fails although the legacy is alive for others.

A legacy may fail at random, or be up and down in turn. Then calls for good records count as
attempts, and MAX_ATTEMPTS of them in a row are only a matter of time: at a share of one half, one
record in 256. So a record is parked only if a good one would hardly ever fail as often.

Which records are good shows in the end: those that are delivered. Each brings with it how many of
its calls have counted before. Records that are never delivered do not belong to the share, even if
they are many and fail often.

This module does no I/O. The settlement queue reports deliveries; the run keeps the snapshot for the
next one.
"""

from math import isfinite

# The share is taken over about this many deliveries, and the larger of the two counts. The short
# memory notices soon that the legacy begins to fail; the long one is exact.
_MEMORIES = (20, 500)
# A good record is parked with about this probability. At a share of one tenth, the default of
# MAX_ATTEMPTS is enough; at a share of one half, it takes 27 attempts.
_MAX_CHANCE = 1e-8


class FailureShare:
    """The share of failures among the calls that counted, of records that were delivered."""

    def __init__(self) -> None:
        # For each memory: the calls that counted before deliveries, and the deliveries. Both fade.
        self._sums = [(0.0, 0.0) for _ in _MEMORIES]

    @property
    def value(self) -> float:
        """The share, between 0 and 1."""
        return max(map(_share, self._sums))

    def explains(self, attempts: int) -> bool:
        """Return whether a good record may fail this many times in a row."""
        return self.value**attempts > _MAX_CHANCE

    def on_delivered(self, attempts: int) -> None:
        """Note a delivery, and how many calls for this record counted before."""
        self._sums = [
            (failed * (1 - 1 / memory) + attempts, delivered * (1 - 1 / memory) + 1)
            for memory, (failed, delivered) in zip(_MEMORIES, self._sums, strict=True)
        ]

    def snapshot(self) -> list[tuple[float, float]]:
        """Return what is known, ready for JSON."""
        return self._sums

    def restore(self, snapshot: object) -> None:
        """Continue from a snapshot; start afresh if it is malformed."""
        if isinstance(snapshot, list) and list(map(_is_pair, snapshot)) == [True] * len(_MEMORIES):
            self._sums = [(float(failed), float(delivered)) for failed, delivered in snapshot]


def _share(sums: tuple[float, float]) -> float:
    failed, delivered = sums
    failed += min(1.0, failed)  # one failure may be the first of many
    return failed / (failed + delivered) if failed else 0.0


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(each, int | float) and isfinite(each) and each >= 0 for each in value)
        and value[1] > 0
    )
