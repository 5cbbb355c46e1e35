"""When a record goes again."""

import random

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.retry import wait_s


@given(st.integers(1, 10_000), st.floats(0, 3600), st.floats(0, 86_400), st.integers())
def test_a_wait_is_between_half_and_all_of_what_doubling_gives_within_its_bound(
    times: int, base_s: float, most_s: float, seed: int
) -> None:
    longest = min(most_s, base_s * 2 ** min(times - 1, 60))
    assert longest / 2 <= wait_s(times, base_s, most_s, random.Random(seed)) <= longest


def test_waits_of_many_records_spread() -> None:
    chance = random.Random(7)
    waits = {round(wait_s(5, 1, 60, chance), 3) for _ in range(100)}
    assert len(waits) > 90
