"""The simulated shift change agrees with cases that were computed by hand.

A slice lasts 0.1 s, a cold start 1 s, Retry-After is 2 s, and ``tick_s=NEVER`` leaves
the replicator out until every punch is accepted.
"""

from dataclasses import replace

import pytest

from deploy.capacity.facts import limit
from deploy.capacity.shift_change import SLICE_S, Deployment, ShiftChange, simulate

NEVER = 60.0
AT_ONCE = 0.1
AMPLE = Deployment(
    reserved=10_000,
    warm_writes=100_000,
    gateway_per_s=100_000,
    gateway_burst=100_000,
    tick_s=NEVER,
    jitter=False,
    cold_start_s=1.0,
)


def shift_change(punches: int, seconds: float = AT_ONCE, **changes: float) -> ShiftChange:
    return simulate(punches, seconds, replace(AMPLE, **changes))  # type: ignore[arg-type]


def test_slice_is_one_request_of_an_environment() -> None:
    assert limit("Lambda, requests a second and environment") == 1 / SLICE_S


def test_one_punch_waits_for_a_cold_start() -> None:
    # It arrives in the first slice, and is stored in the slice that begins 1 s later.
    result = shift_change(1)
    assert result.accepted_in_s == pytest.approx(1.1)
    assert (result.environments, result.refused) == (1, 0)


def test_one_punch_is_accepted_at_once_by_a_warm_environment() -> None:
    result = shift_change(1, warm=1)
    assert result.accepted_in_s == pytest.approx(0.1)
    assert (result.environments, result.refused) == (1, 0)


def test_environment_takes_ten_requests_a_second() -> None:
    # 10 environments, 20 requests in one slice: 10 are refused, and come again 2 s later.
    result = shift_change(20, reserved=10, warm=10)
    assert (result.refused, result.most_refusals) == (10, 1)
    assert result.accepted_in_s == pytest.approx(2.1)


def test_reservation_bounds_the_environments() -> None:
    # 100 a second for 10 s, and 5 environments take 50 a second.
    result = shift_change(1_000, 10.0, reserved=5)
    assert result.environments == 5
    accepted = [each.accepted for each in result.seconds]
    assert max(accepted) == 50
    assert result.accepted_in_s >= 20.0


def test_thousand_environments_start_at_once() -> None:
    # 500 of 1,500 are refused. 2 s later there are 1,000 warm environments.
    result = shift_change(1_500)
    assert (result.environments, result.refused, result.most_refusals) == (1_000, 500, 1)
    assert result.accepted_in_s == pytest.approx(2.1)


def test_a_hundred_more_environments_start_each_second() -> None:
    # 2,000 of 3,000 are refused. 2 s later 1,000 are served and 200 start environments, so that 800
    # are refused again. 4 s after the start 1,000 are warm.
    result = shift_change(3_000)
    assert (result.environments, result.refused, result.most_refusals) == (1_200, 2_800, 2)
    assert result.accepted_in_s == pytest.approx(4.1)


def test_bucket_of_api_gateway_refuses_what_exceeds_its_burst() -> None:
    # 100 of 250 are admitted, 100 of 150 two seconds later, and then 50.
    result = shift_change(250, warm=1_000, gateway_per_s=1_000, gateway_burst=100)
    assert (result.refused, result.most_refusals) == (150 + 50, 2)
    assert result.accepted_in_s == pytest.approx(4.1)


def test_bucket_of_api_gateway_fills_at_its_rate() -> None:
    # 200 a second for 5 s against 100 a second and 10 at once.
    result = shift_change(1_000, 5.0, warm=1_000, gateway_per_s=100, gateway_burst=10)
    assert max(each.accepted for each in result.seconds[1:]) <= 100
    assert result.accepted_in_s >= (1_000 - 10) / 100


def test_preflight_takes_the_way_of_the_punch_that_follows_it() -> None:
    # One warm environment takes the preflight in the first slice, the punch in the second.
    result = shift_change(1, warm=1, preflights=True)
    assert result.accepted_in_s == pytest.approx(0.2)
    assert (result.accepted, result.refused) == (1, 0)
    assert result.seconds[0].offered == 2
    # A cold start delays the preflight only.
    assert shift_change(1, preflights=True).accepted_in_s == pytest.approx(1.2)


def test_refused_preflight_comes_again_before_its_punch() -> None:
    # 10 environments, 20 preflights: 10 are refused. The punches of the others follow at once, and
    # the second half needs two slices from 2 s on.
    result = shift_change(20, reserved=10, warm=10, preflights=True)
    assert (result.accepted, result.refused, result.most_refusals) == (20, 10, 1)
    assert result.accepted_in_s == pytest.approx(2.2)


def test_partition_takes_a_thousand_writes_a_second() -> None:
    # 1,000 of 1,500 are stored at once. 500 wait in their environments for up to 1 s, in which the
    # partition takes 100 in each slice.
    result = shift_change(1_500, warm=1_500, warm_writes=1_000)
    assert result.seconds[0].accepted >= 1_400
    assert result.refused == 0
    assert result.accepted_in_s <= 1.1 + SLICE_S
    assert sum(each.throttled_puts for each in result.seconds) >= 500


def test_put_that_is_throttled_three_times_is_refused() -> None:
    # 9,000 puts against one partition, which takes some 4,000 within the 3 s of their retries.
    result = shift_change(9_000, warm=9_000, warm_writes=1_000)
    assert result.refused >= 4_000
    assert all(each.accepted <= 1_000 for each in result.seconds[1:])
    assert result.accepted == 9_000


def test_deletes_of_the_replicator_compete_with_puts() -> None:
    # 900 puts a second fit into a partition of 1,000 writes. Together with deletes they do not.
    alone = shift_change(9_000, 10.0, warm=200, warm_writes=1_000)
    together = shift_change(9_000, 10.0, warm=200, warm_writes=1_000, tick_s=1.0)
    assert sum(each.throttled_puts for each in alone.seconds[:10]) == 0
    assert sum(each.throttled_puts for each in together.seconds[:10]) > 50
    assert together.accepted == together.replicated == together.integrated == 9_000
    # Deletes yield: they wait until the phones are done.
    assert together.accepted_in_s < 12.0
    assert together.refused < 50
    assert together.seconds[9].buffered > 7_000
    assert together.replicated_in_s > 15.0


def test_replicator_and_integrator_start_at_their_ticks() -> None:
    # Replicated from 5 s on at 2,000 a second; integrated from the next tick on at 100 a second.
    result = shift_change(1_000, warm=1_000, tick_s=5.0, legacy_per_s=100)
    assert result.replicated_in_s == pytest.approx(5.0 + 0.5, abs=0.11)
    assert result.integrated_in_s == pytest.approx(65.0 + 10.0, abs=0.21)


def test_run_of_the_integrator_ends_with_its_timeout_and_the_next_tick_continues() -> None:
    # From 65 s to 965 s; the next tick is at 965 s.
    result = shift_change(1_000, warm=1_000, tick_s=5.0, legacy_per_s=1)
    assert result.integrated_in_s == pytest.approx(65.0 + 1_000.0, abs=2.0)


@pytest.mark.parametrize("preflights", [False, True])
@pytest.mark.parametrize("seed", range(1, 6))
def test_every_punch_arrives_whatever_is_refused(seed: int, preflights: bool) -> None:
    scarce = Deployment(
        reserved=60,
        warm_writes=1_000,
        gateway_per_s=900,
        gateway_burst=100,
        tick_s=3.0,
        preflights=preflights,
    )
    result = simulate(12_345, 15.0, scarce, seed)
    assert result.accepted == result.replicated == result.integrated == 12_345
    offered = sum(each.offered for each in result.seconds)
    assert offered == 12_345 * (1 + preflights) + result.refused
    assert sum(each.accepted for each in result.seconds) == 12_345


def test_same_seed_gives_the_same_result_and_another_seed_a_similar_one() -> None:
    deployment = Deployment(reserved=1_000, warm_writes=12_000)
    first = simulate(100_000, 15.0, deployment)
    assert simulate(100_000, 15.0, deployment) == first
    other = simulate(100_000, 15.0, deployment, seed=2)
    assert other != first
    assert other.refused == pytest.approx(first.refused, rel=0.1)


def test_jitter_of_the_phones_lowers_the_refusals() -> None:
    deployment = Deployment(reserved=1_000, warm_writes=12_000)
    with_jitter = simulate(100_000, 15.0, deployment)
    without = simulate(100_000, 15.0, replace(deployment, jitter=False))
    assert with_jitter.refused < 0.8 * without.refused
    assert with_jitter.most_refusals < without.most_refusals


def test_simulation_that_cannot_end_says_so() -> None:
    with pytest.raises(RuntimeError, match="does not end"):
        shift_change(1, reserved=0)
