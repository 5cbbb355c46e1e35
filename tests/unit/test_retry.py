"""When a record goes again."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.call_pool import Sent
from chalicelib.integrator.outcome import Outcome, Reply
from chalicelib.integrator.retry_policy import Terms, settlement, wait_s
from chalicelib.postgres.claims import Claimed

TERMS = Terms(0.25, 500, 8, 1.0, 3_600.0, 60.0)


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


@pytest.mark.parametrize("outcome", [Outcome.OVERLOADED, Outcome.FAILED, Outcome.REFUSED])
def test_a_record_goes_again_no_sooner_than_it_was_told(outcome: Outcome) -> None:
    sent = Sent(Claimed("an-id", b"{}", 0, 0), Reply(outcome, 0.1, retry_after_s=300.0), 0.0, 1)
    assert settlement(sent, TERMS, random.Random(7)).wait_s == 300
    unsaid = replace(sent, reply=replace(sent.reply, retry_after_s=None))
    waited_s = settlement(unsaid, TERMS, random.Random(7)).wait_s
    assert waited_s is not None
    assert waited_s <= 1
