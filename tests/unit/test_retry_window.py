"""The Retry-After of refused requests is random, bounded, and later under load."""

import random
from collections import Counter

from chalicelib.retry_window import RetryWindow


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def window(clock: Clock) -> RetryWindow:
    return RetryWindow(random.Random(7).randint, clock)


def test_single_refusals_come_back_within_three_seconds() -> None:
    clock = Clock()
    retries = window(clock)
    values = []
    for _ in range(300):
        clock.now += 10.0
        values.append(retries.next_s())
    counts = Counter(values)
    assert set(counts) == {1, 2, 3}
    assert min(counts.values()) > 70  # each about 100 times


def test_window_widens_with_each_refusal_up_to_thirty_seconds() -> None:
    widest: list[int] = []
    retries = RetryWindow(lambda low, high: widest.append(high) or low, Clock())  # type: ignore[func-returns-value]
    assert [retries.next_s() for _ in range(40)] == [1] * 40
    assert widest == [*range(3, 30), *[30] * 13]


def test_refused_phones_of_one_second_return_in_no_wave() -> None:
    retries = window(Clock())
    for _ in range(40):
        retries.next_s()
    counts = Counter(retries.next_s() for _ in range(3_000))
    assert set(counts) == set(range(1, 31))
    assert max(counts.values()) < 150  # a constant would make one wave of 3,000


def test_window_forgets_refusals_after_ten_seconds() -> None:
    clock = Clock()
    retries = window(clock)
    for _ in range(40):
        retries.next_s()
    clock.now += 10.0
    assert retries.next_s() <= 3


def test_window_forgets_refusals_once_the_clock_is_set_back() -> None:
    clock = Clock()
    retries = window(clock)
    for _ in range(40):
        retries.next_s()
    clock.now -= 3_600.0
    assert retries.next_s() <= 3
