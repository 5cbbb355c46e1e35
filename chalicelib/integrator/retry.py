"""When a record goes again after an attempt that did not deliver it."""

import random


def wait_s(times: int, base_s: float, most_s: float, chance: random.Random) -> float:
    """Return the wait after the ``times``-th failure in a row: doubling, bounded, half jitter.

    Equal jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # The exponent is bounded so that years of failures overflow nothing.
    longest = min(most_s, base_s * 2.0 ** min(times - 1, 60))
    return chance.uniform(longest / 2, longest)
