"""The settlement queue: batches, and the repetition of a batch that was not confirmed."""

import math
import random

import pytest

from chalicelib.integrator.call_thread import FinishedCall
from chalicelib.integrator.failure_share import FailureShare
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run_stats import RunStats
from chalicelib.integrator.settlement_queue import SettlementQueue
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claimed

POLICY = RetryPolicy(
    max_attempts=1, retry_base_s=1.0, retry_max_s=3_600.0, overload_retry_max_s=60.0
)


@pytest.fixture
def stats() -> RunStats:
    return RunStats(10.0, 10.0)


@pytest.fixture
def queue(stats: RunStats) -> SettlementQueue:
    return SettlementQueue(
        POLICY,
        random.Random(7),
        batch_size=2,
        hold_s=5.0,
        failure_share=FailureShare(),
        limit_policy="adaptive",
        stats=stats,
    )


def finished(record_id: str, outcome: Outcome, latency_s: float = 0.1) -> FinishedCall:
    return FinishedCall(Claimed(record_id, b"{}", 0, 0), CallResult(outcome, latency_s), 0.0, 1)


def test_batches_have_the_batch_size_and_the_order_of_the_calls(queue: SettlementQueue) -> None:
    for record_id in "abc":
        queue.add(finished(record_id, Outcome.DELIVERED), None, 0.0)
    batches = []
    while queue:
        batches.append([each.id for each in queue.next_batch(10.0, 5).settlements])
        queue.confirm()
    assert batches == [["a", "b"], ["c"]]


def test_unconfirmed_batch_is_repeated_unchanged_and_counted_once(
    queue: SettlementQueue, stats: RunStats
) -> None:
    queue.add(finished("a", Outcome.OVERLOADED), None, 0.0)
    batch = queue.next_batch(10.0, 5)
    queue.add(finished("b", Outcome.DELIVERED), None, 0.0)
    assert queue.next_batch(20.0, 6) is batch
    assert stats.outcomes == {Outcome.OVERLOADED: 1}
    queue.confirm()
    assert [each.id for each in queue.next_batch(20.0, 6).settlements] == ["b"]


def test_queue_holds_a_record_until_its_batch_is_confirmed(queue: SettlementQueue) -> None:
    for record_id in "abc":
        queue.add(finished(record_id, Outcome.DELIVERED), None, 0.0)
    queue.next_batch(10.0, 5)
    assert sorted(queue.record_ids()) == ["a", "b", "c"]
    queue.confirm()
    assert sorted(queue.record_ids()) == ["c"]


def test_full_batch_and_overfull_queue_are_reported(queue: SettlementQueue) -> None:
    reports = []
    for number in range(8):
        queue.add(finished(str(number), Outcome.DELIVERED), None, 0.0)
        reports.append((queue.has_full_batch, queue.is_overfull))
    assert reports == [(False, False), *[(True, False)] * 6, (True, True)]


def test_sample_counts_outcomes_and_the_latencies_of_deliveries(
    queue: SettlementQueue, stats: RunStats
) -> None:
    queue.add(finished("a", Outcome.DELIVERED, 0.2), None, 0.0)
    queue.add(finished("b", Outcome.REFUSED, 9.0), 1, 0.0)
    queue.decide(2, 0.0)
    sample = queue.next_batch(10.5, 5).sample
    assert (sample.max_open_requests, sample.open_requests) == (10.5, 5)
    assert (sample.delivered, sample.failed, sample.rejected) == (1, 0, 1)
    assert (sample.latency_p50_ms, sample.latency_p95_ms) == (200, 200)
    assert sample.policy == "adaptive"
    assert stats.parked == 1


def test_batch_without_calls_is_empty(queue: SettlementQueue) -> None:
    batch = queue.next_batch(10.0, 0)
    assert batch.settlements == []
    assert batch.sample.latency_p50_ms is None
    assert queue  # the empty flush, which renews the lease, is to be confirmed too


@pytest.mark.parametrize(
    ("delivered", "now", "status"),
    [
        (8, 0.3, Status.REJECTED),  # POLICY parks with the first attempt
        (6, 5.0, Status.ERROR),  # the delivered call was not sent later
        (0, 5.0, Status.ERROR),
    ],
)
def test_held_call_counts_only_if_a_call_sent_later_is_delivered_in_time(
    queue: SettlementQueue, delivered: int, now: float, status: Status
) -> None:
    queue.add(finished("a", Outcome.FAILED), 7, 0.0)
    queue.decide(0, 4.9)
    assert not queue
    assert list(queue.record_ids()) == ["a"]  # leased, and not to be claimed again
    queue.decide(delivered, now)
    (settlement,) = queue.next_batch(10.0, 5).settlements
    assert settlement.status is status


def test_call_that_may_not_count_is_not_held(queue: SettlementQueue) -> None:
    queue.add(finished("a", Outcome.REFUSED), None, 0.0)
    (settlement,) = queue.next_batch(10.0, 5).settlements
    assert (settlement.status, settlement.attempts) == (Status.ERROR, 0)


def test_end_of_the_run_decides_all_held_calls(queue: SettlementQueue) -> None:
    queue.add(finished("a", Outcome.FAILED), 7, 0.0)
    queue.decide(0, math.inf)
    assert queue
