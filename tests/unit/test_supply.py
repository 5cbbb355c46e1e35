"""How much a run keeps at hand: enough to hide the next claim, and never without bound."""

from chalicelib.integrator.prefetch import Supply, foreseen
from chalicelib.postgres.claims import Claimed


def records(count: int) -> list[Claimed]:
    return [Claimed(str(number), b"{}", 0, 0) for number in range(count)]


def sending(supply: Supply, per_s: int, seconds: float) -> float:
    """Have calls end at a rate, and return when the last did."""
    now = 0.0
    while now < seconds:
        now += 0.01
        supply.count_ended(per_s // 100, now)
    return now


def test_the_first_claim_suffices_for_a_limit_that_leaps() -> None:
    supply = Supply(30.0, 0.0)
    assert supply.lacking(10.0, 0.0) == 2 * foreseen(10.0) == 200


def test_no_more_is_claimed_until_half_is_sent() -> None:
    supply = Supply(30.0, 0.0)
    supply.add(records(200), 0.0)
    taken = 0
    while not supply.lacking(10.0, 0.0):
        assert supply.pop(0.0)
        taken += 1
    assert taken == 100
    assert supply.lacking(10.0, 0.0) == 100


def test_as_much_is_at_hand_as_is_sent_in_a_second() -> None:
    supply = Supply(30.0, 0.0)
    now = sending(supply, 800, 5.0)
    assert 780 <= supply.lacking(10.0, now) <= 820
    # What came to an end long ago does not count.
    assert supply.lacking(10.0, now + 60.0) == 200


def test_one_claim_and_what_waits_are_bounded_at_any_rate() -> None:
    supply = Supply(30.0, 0.0)
    now = sending(supply, 1_000_000, 2.0)
    claims = 0
    while lacking := supply.lacking(1_000.0, now):
        assert lacking <= 1_000
        supply.add(records(lacking), now)
        claims += 1
    assert claims > 1
    assert len(supply) <= 10_000


def test_a_lease_of_seconds_has_less_kept_at_hand() -> None:
    supply = Supply(0.5, 0.0)
    now = sending(supply, 4_000, 2.0)
    assert supply.lacking(1.0, now) <= 1_000 * 1.1


def test_what_has_waited_too_long_is_dropped_and_that_is_known() -> None:
    supply = Supply(30.0, 0.0)
    supply.add(records(2), 0.0)
    supply.add(records(1), 10.0)
    assert supply.pop(30.0)
    assert not supply.has_dropped
    assert supply.pop(30.1)
    assert supply.has_dropped
    assert supply.pop(30.1) is None


def test_nothing_is_dropped_where_nothing_waits() -> None:
    supply = Supply(30.0, 0.0)
    supply.drop()
    assert not supply.has_dropped
    supply.add(records(3), 0.0)
    supply.drop()
    assert supply.has_dropped
    assert not supply
