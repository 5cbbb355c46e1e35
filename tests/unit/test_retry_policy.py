"""The retry policy: a record's state after an attempt, and the backoff until the next one."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.call_thread import FinishedCall
from chalicelib.integrator.failure_share import FailureShare
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.integrator.retry_policy import RetryPolicy, backoff_s
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claimed
from chalicelib.postgres.settlements import Settlement

POLICY = RetryPolicy(
    max_attempts=8, retry_base_s=1.0, retry_max_s=3_600.0, overload_retry_max_s=60.0
)


@given(st.integers(1, 10_000), st.floats(0, 3600), st.floats(0, 86_400), st.integers())
def test_backoff_doubles_within_its_bound_and_has_equal_jitter(
    failures: int, base_s: float, max_s: float, seed: int
) -> None:
    longest_s = min(max_s, base_s * 2 ** min(failures - 1, 60))
    wait_s = backoff_s(failures, base_s, max_s, random.Random(seed))
    assert longest_s / 2 <= wait_s <= longest_s


def test_backoff_of_many_records_differs() -> None:
    rng = random.Random(7)
    waits = {round(backoff_s(5, 1, 60, rng), 3) for _ in range(100)}
    assert len(waits) > 90


def settlement_of(
    call: FinishedCall, *, counts: bool, failure_share: FailureShare | None = None
) -> Settlement:
    return POLICY.settlement_of(
        call,
        random.Random(7),
        counts=counts,
        failure_share=failure_share or FailureShare(),
    )


@pytest.mark.parametrize(
    ("outcome", "counts", "status", "attempts", "overloads"),
    [
        (Outcome.DELIVERED, True, Status.INTEGRATED, 7, 0),
        (Outcome.OVERLOADED, False, Status.ERROR, 6, 4),
        (Outcome.OVERLOADED, True, Status.ERROR, 7, 0),  # a timeout while others are delivered
        (Outcome.FAILED, False, Status.ERROR, 6, 4),
        (Outcome.FAILED, True, Status.ERROR, 7, 0),
        (Outcome.REFUSED, False, Status.ERROR, 6, 4),
        (Outcome.REFUSED, True, Status.ERROR, 7, 0),
    ],
)
def test_call_that_counts_uses_up_an_attempt_and_another_waits_as_an_overload(
    outcome: Outcome, counts: bool, status: Status, attempts: int, overloads: int
) -> None:
    call = FinishedCall(Claimed("an-id", b"{}", 6, 3), CallResult(outcome, 0.1), 0.0, 1)
    settlement = settlement_of(call, counts=counts)
    assert settlement.status is status
    assert (settlement.attempts, settlement.overloads) == (attempts, overloads)
    assert (settlement.wait_s is None) == (outcome is Outcome.DELIVERED)


@pytest.mark.parametrize(("counts", "status"), [(False, Status.ERROR), (True, Status.REJECTED)])
@pytest.mark.parametrize("outcome", [Outcome.OVERLOADED, Outcome.FAILED, Outcome.REFUSED])
def test_last_attempt_parks_the_record_only_if_it_counts(
    outcome: Outcome, counts: bool, status: Status
) -> None:
    result = CallResult(outcome, 0.1, retry_after_s=300.0)
    call = FinishedCall(Claimed("an-id", b"{}", 7, 0), result, 0.0, 1)
    settlement = settlement_of(call, counts=counts)
    assert settlement.status is status
    assert settlement.wait_s == (None if status is Status.REJECTED else 300.0)


@pytest.mark.parametrize(
    ("attempts", "status"),
    # 0.5 ** 26 is more than 1e-8, and 0.5 ** 27 is less. The share is taken a little too high.
    [(7, Status.ERROR), (25, Status.ERROR), (29, Status.REJECTED)],
)
def test_record_is_parked_only_if_good_ones_would_hardly_fail_as_often(
    attempts: int, status: Status
) -> None:
    failure_share = FailureShare()
    for _ in range(5_000):
        failure_share.on_delivered(1)
    call = FinishedCall(
        Claimed("an-id", b"{}", attempts, 0), CallResult(Outcome.FAILED, 0.1), 0.0, 1
    )
    settlement = settlement_of(call, counts=True, failure_share=failure_share)
    assert (settlement.status, settlement.attempts) == (status, attempts + 1)


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("outcome", [Outcome.OVERLOADED, Outcome.FAILED, Outcome.REFUSED])
def test_record_is_not_retried_before_the_retry_after(outcome: Outcome, counts: bool) -> None:
    result = CallResult(outcome, 0.1, retry_after_s=300.0)
    call = FinishedCall(Claimed("an-id", b"{}", 0, 0), result, 0.0, 1)
    assert settlement_of(call, counts=counts).wait_s == 300
    without = replace(call, result=replace(result, retry_after_s=None))
    wait_s = settlement_of(without, counts=counts).wait_s
    assert wait_s is not None
    assert wait_s <= 1


@pytest.mark.parametrize("counts", [False, True])
def test_retry_of_a_call_that_broke_off_waits_as_long_as_the_call_took(counts: bool) -> None:
    """The legacy may still work on the first request."""

    def wait_s(latency_s: float, broke_off: bool, retry_after_s: float | None = None) -> float:
        result = CallResult(
            Outcome.OVERLOADED, latency_s, retry_after_s=retry_after_s, broke_off=broke_off
        )
        call = FinishedCall(Claimed("an-id", b"{}", 0, 0), result, 0.0, 1)
        settlement = settlement_of(call, counts=counts)
        assert settlement.wait_s is not None
        return settlement.wait_s

    assert wait_s(15.0, broke_off=True) == 15.0
    assert 0.5 <= wait_s(0.01, broke_off=True) <= 1.0  # a reset
    assert 0.5 <= wait_s(15.0, broke_off=False) <= 1.0
    assert wait_s(15.0, broke_off=True, retry_after_s=40.0) == 40.0


def test_settlement_never_has_a_log_that_postgres_refuses() -> None:
    result = CallResult(Outcome.FAILED, 0.1, 500, log="a\0b\ud800c" + "x" * 9_000)
    call = FinishedCall(Claimed("a", b"{}", 0, 0), result, 0.0, 1)
    log = settlement_of(call, counts=True).log
    assert log is not None
    assert log.startswith("a\ufffdb?cx")
    assert len(log) == 8_000
