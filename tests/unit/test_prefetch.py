"""The prefetch queue: large enough to hide the next claim, and bounded."""

from chalicelib.integrator.prefetch import PrefetchQueue, max_suspects, peak_calls
from chalicelib.postgres.claims import Claimed


def records(count: int) -> list[Claimed]:
    return [Claimed(str(number), b"{}", 0, 0) for number in range(count)]


def finish_calls(queue: PrefetchQueue, per_s: int, seconds: float) -> float:
    """Have calls finish at a rate, and return when the last one did."""
    now = 0.0
    while now < seconds:
        now += 0.01
        queue.count_finished(per_s // 100, now)
    return now


def test_first_deficit_covers_the_slow_start_of_the_limit() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    assert queue.deficit(10.0, 0.0) == 2 * peak_calls(10.0) == 200


def test_deficit_is_zero_until_half_of_the_queue_is_sent() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    queue.add(records(200), 0.0)
    sent = 0
    while not queue.deficit(10.0, 0.0):
        assert queue.pop(0.0)
        sent += 1
    assert sent == 100
    assert queue.deficit(10.0, 0.0) == 100


def test_deficit_covers_the_calls_of_one_second() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    now = finish_calls(queue, 800, 5.0)
    assert 780 <= queue.deficit(10.0, now) <= 820
    # A minute without calls lowers the rate to almost nothing.
    assert queue.deficit(10.0, now + 60.0) == 200


def test_each_claim_and_the_queue_are_bounded_at_a_high_rate() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    now = finish_calls(queue, 1_000_000, 2.0)
    claims = 0
    while deficit := queue.deficit(1_000.0, now):
        assert deficit <= 1_000
        queue.add(records(deficit), now)
        claims += 1
    assert claims > 1
    assert len(queue) <= 10_000


def test_short_lease_lowers_the_deficit() -> None:
    queue = PrefetchQueue(0.5, 0.0)
    now = finish_calls(queue, 4_000, 2.0)
    assert queue.deficit(1.0, now) <= 1_000 * 1.1  # the calls of a quarter of a second


def test_record_that_waited_too_long_is_discarded_and_has_to_be_released() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    queue.add(records(2), 0.0)
    queue.add(records(1), 10.0)
    assert queue.pop(30.0)
    assert not queue.needs_release
    assert queue.pop(30.1)
    assert queue.needs_release
    assert queue.pop(30.1) is None


def test_clear_needs_a_release_only_if_it_discarded_records() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    queue.clear()
    assert not queue.needs_release
    queue.add(records(3), 0.0)
    queue.clear()
    assert queue.needs_release
    assert not queue


def test_suspects_go_first_and_not_at_all_without_a_place_for_them() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    suspect, good = Claimed("suspect", b"{}", 1, 0), Claimed("good", b"{}", 0, 3)
    queue.add([good, suspect, good], 0.0)
    assert queue.pop(0.0, with_suspects=False) is good
    assert queue.pop(0.0) is suspect
    queue.add([suspect], 0.0)
    assert queue.pop(0.0, with_suspects=False) is good
    assert not queue.has_sendable(with_suspects=False)
    assert queue.has_sendable(with_suspects=True)


def test_suspects_do_not_keep_the_run_from_claiming_others() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    queue.add([Claimed(str(number), b"{}", 1, 0) for number in range(1_000)], 0.0)
    assert queue.deficit(10.0, 0.0) == 150
    queue.add([Claimed(str(number), b"{}", 1, 0) for number in range(9_000)], 0.0)
    assert queue.deficit(10.0, 0.0) == 0


def test_suspects_get_half_of_the_places_and_at_least_one() -> None:
    assert [max_suspects(limit) for limit in (1.0, 1.9, 2.0, 7.5, 20.0)] == [1, 1, 1, 3, 10]


def test_newest_record_goes_first_on_request() -> None:
    queue = PrefetchQueue(30.0, 0.0)
    queue.add(records(3), 0.0)
    ids = [each.id for _ in range(3) if (each := queue.pop(0.0, newest=True))]
    assert ids == ["2", "1", "0"]


def test_suspects_go_first_and_last_on_request() -> None:
    for suspects_last, order in ((False, ["s", "0", "1"]), (True, ["0", "1", "s"])):
        queue = PrefetchQueue(30.0, 0.0)
        queue.add([*records(2), Claimed("s", b"{}", 1, 0)], 0.0)
        popped = [queue.pop(0.0, suspects_last=suspects_last) for _ in range(3)]
        assert [each.id for each in popped if each] == order
