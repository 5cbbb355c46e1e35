"""Divide a number of equal things among bins at random, quickly and reproducibly."""

import math
from collections.abc import Mapping
from random import Random
from typing import TypeVar

Key = TypeVar("Key")

# With fewer things than this in each bin, they are thrown one by one.
_FEW = 10


def spread(count: int, bins: int, rng: Random) -> list[int]:
    """Throw ``count`` things into bins of equal size; return how many each has.

    The numbers are those of a multinomial distribution. Where bins have many things, the normal
    distribution approximates the binomial one of each bin.
    """
    thrown = [0] * bins
    if count < _FEW * bins:
        for _ in range(count):
            thrown[rng.randrange(bins)] += 1
        return thrown
    left = count
    for position in range(bins - 1):
        share = 1 / (bins - position)
        mean, deviation = left * share, math.sqrt(left * share * (1 - share))
        thrown[position] = min(max(round(rng.gauss(mean, deviation)), 0), left)
        left -= thrown[position]
    thrown[-1] = left
    return thrown


def take(groups: Mapping[Key, int], count: int) -> dict[Key, int]:
    """Take ``count`` things from groups, from each in proportion to its size."""
    total = sum(groups.values())
    if count >= total:
        return dict(groups)
    taken = {key: size * count // total for key, size in groups.items()}
    missing = count - sum(taken.values())
    for key, size in groups.items():
        more = min(missing, size - taken[key])
        taken[key] += more
        missing -= more
    return taken


def remove(groups: Mapping[Key, int], taken: Mapping[Key, int]) -> dict[Key, int]:
    """Return what is left of groups; without groups that are empty."""
    return {
        key: size - taken.get(key, 0) for key, size in groups.items() if size > taken.get(key, 0)
    }
