"""Liveness: which calls may count as attempts, which refusals are healthy, and what delivers."""

import random

import pytest

from chalicelib.integrator.liveness import Liveness
from chalicelib.integrator.outcome import CallResult, Outcome

DELIVERED = CallResult(Outcome.DELIVERED, 0.1, 200)
REFUSED = CallResult(Outcome.REFUSED, 0.1, 404)
FAILED = CallResult(Outcome.FAILED, 0.1, 502)
BUSY = CallResult(Outcome.OVERLOADED, 0.1, 503)
TIMEOUT = CallResult(Outcome.OVERLOADED, 10.0, broke_off=True)


def call(liveness: Liveness, record_id: str, result: CallResult) -> int | None:
    liveness.on_start(record_id)
    return liveness.on_result(record_id, result)


@pytest.mark.parametrize(
    ("result", "number"),
    [(DELIVERED, None), (REFUSED, 1), (FAILED, 1), (TIMEOUT, 1), (BUSY, None)],
    ids=str,
)
def test_call_is_undecided_unless_it_is_delivered_or_the_legacy_is_busy(
    result: CallResult, number: int | None
) -> None:
    assert call(Liveness(), "r", result) == number


@pytest.mark.parametrize("result", [REFUSED, FAILED, TIMEOUT, BUSY], ids=str)
def test_call_that_was_sent_in_a_silence_never_counts(result: CallResult) -> None:
    liveness = Liveness()
    for number in range(3):
        call(liveness, str(number), result)
    assert call(liveness, "r", FAILED) is None
    call(liveness, "good", DELIVERED)
    assert call(liveness, "r", FAILED) == 6


def test_delivered_is_the_call_that_was_sent_last_whichever_ended_last() -> None:
    liveness = Liveness()
    for record_id in "abcd":
        liveness.on_start(record_id)
    assert liveness.on_result("d", FAILED) == 4
    for record_id in "acb":
        liveness.on_result(record_id, DELIVERED)
    assert liveness.delivered == 3  # so the call "d" is not decided yet


def test_refusal_is_healthy_only_while_deliveries_happen() -> None:
    liveness = Liveness()
    healthy = []
    for _ in range(40):
        call(liveness, "bad", REFUSED)
        healthy.append(liveness.refusals_are_healthy)
    assert healthy == [False] * 40  # nothing was delivered yet
    call(liveness, "good", DELIVERED)
    healthy = []
    for _ in range(40):
        call(liveness, "bad", REFUSED)
        healthy.append(liveness.refusals_are_healthy)
    assert healthy == [True] * 10 + [False] * 30


def results(liveness: Liveness, sends: int, share: float, rng: random.Random) -> list[bool]:
    """Send records, a share of which is refused; return for each refusal whether it is healthy."""
    healthy = []
    for _ in range(sends):
        is_bad = rng.random() < share
        call(liveness, str(rng.random()), REFUSED if is_bad else DELIVERED)
        if is_bad:
            healthy.append(liveness.refusals_are_healthy)
    return healthy


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.9])
def test_streak_of_refusals_is_healthy_where_streaks_are_common(share: float) -> None:
    liveness, rng = Liveness(), random.Random(1)
    results(liveness, 1_000, share, rng)
    healthy = results(liveness, 10_000, share, rng)
    assert healthy.count(False) <= 0.001 * len(healthy)
    assert not liveness.is_silent
    # An outage is noticed all the same: calls in a silence do not count, nor is a refusal healthy.
    healthy = results(liveness, 200, 1.0, rng)
    assert healthy.count(True) <= 10 + 100
    assert liveness.is_silent


def test_second_outage_is_noticed_as_soon_as_the_first() -> None:
    liveness, rng = Liveness(), random.Random(1)
    for _ in range(3):
        results(liveness, 200, 0.0, rng)
        assert results(liveness, 1_000, 1.0, rng).count(True) == 10


def test_suspects_that_fail_again_are_no_silence() -> None:
    liveness = Liveness()
    call(liveness, "good", DELIVERED)
    for number in range(100):
        liveness.on_start(str(number))
        assert liveness.on_result(str(number), REFUSED, is_suspect=True) == number + 2
    assert not liveness.is_silent
    assert liveness.refusals_are_healthy
    assert liveness.awaits_delivery
    call(liveness, "good", DELIVERED)
    assert not liveness.awaits_delivery


def test_legacy_delivers_nothing_after_many_results_until_a_delivery() -> None:
    liveness = Liveness()
    for _ in range(2):
        answers = []
        for number in range(60):
            call(liveness, str(number), REFUSED)
            answers.append(liveness.delivers_nothing())
        assert answers == [False] * 30 + [True] * 30
        call(liveness, "good", DELIVERED)
        assert not liveness.delivers_nothing(run_ends=True)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([FAILED] * 3, True),
        ([FAILED] * 2, False),  # the two records may be at fault
        ([BUSY] * 5, False),  # an overload has alarms of its own: WaitingAge, Stalled
        ([DELIVERED, *[FAILED] * 5], False),
    ],
    ids=str,
)
def test_run_that_ends_has_delivered_nothing_if_several_records_were_answered(
    results: list[CallResult], expected: bool
) -> None:
    liveness = Liveness()
    for number, result in enumerate(results):
        call(liveness, str(number), result)
    assert liveness.delivers_nothing(run_ends=True) == expected


def test_one_bad_record_that_is_retried_for_long_does_not_count() -> None:
    liveness = Liveness()
    for _ in range(100):
        call(liveness, "bad", REFUSED)
    assert not liveness.delivers_nothing()
    assert not liveness.delivers_nothing(run_ends=True)
