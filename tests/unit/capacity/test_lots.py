"""Things are divided at random, none is lost, and the division is that of a multinomial."""

from random import Random
from statistics import mean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.capacity.lots import remove, spread, take
from deploy.capacity.table import Table

GROUPS = st.dictionaries(st.integers(0, 9), st.integers(0, 10_000), max_size=5)


@given(st.integers(0, 20_000), st.integers(1, 60), st.integers(0, 9))
def test_spread_loses_nothing(count: int, bins: int, seed: int) -> None:
    thrown = spread(count, bins, Random(seed))
    assert (len(thrown), sum(thrown)) == (bins, count)
    assert min(thrown) >= 0


@pytest.mark.parametrize("count", [40, 4_000])
def test_spread_varies_as_a_binomial_distribution(count: int) -> None:
    rng = Random(3)
    rounds = [spread(count, 8, rng) for _ in range(400)]
    for position in (0, 4, 7):
        sizes = [each[position] for each in rounds]
        assert mean(sizes) == pytest.approx(count / 8, rel=0.1)
        assert pstdev(sizes) == pytest.approx((count / 8 * 7 / 8) ** 0.5, rel=0.2)


@given(GROUPS, st.integers(0, 60_000))
def test_take_takes_as_many_as_there_are_and_leaves_the_rest(
    groups: dict[int, int], count: int
) -> None:
    taken = take(groups, count)
    left = remove(groups, taken)
    assert sum(taken.values()) == min(count, sum(groups.values()))
    assert sum(left.values()) + sum(taken.values()) == sum(groups.values())
    assert all(0 <= size <= groups[key] for key, size in taken.items())
    assert all(size > 0 for size in left.values())


def test_table_has_a_partition_for_each_thousand_writes() -> None:
    table = Table(2_000, Random(1))
    assert table.write(10_000) == 2_000  # both are empty now
    assert table.write(10) == 0
    table.refill(0.25)
    assert table.write(10_000) == 500
    table.refill(60.0)  # no more than the writes of a second are kept
    assert table.write(10_000) == 2_000


def test_full_partition_throttles_while_others_have_room() -> None:
    # 1,990 writes on two partitions: one gets more than 1,000, the other has room left.
    assert 1_900 < Table(2_000, Random(1)).write(1_990) < 1_990
