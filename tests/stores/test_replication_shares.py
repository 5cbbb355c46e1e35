"""Shares of a deep buffer on a real PostgreSQL: who has which, and for how long."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.postgres.connection import Database
from chalicelib.postgres.replication_shares import WHOLE, ReplicationShares, Share

LEASE_S = 0.3


def replicators(database: Database, count: int) -> list[ReplicationShares]:
    return [ReplicationShares(database, LEASE_S) for _ in range(count)]


def test_each_share_is_taken_by_one_replicator(database: Database) -> None:
    those = replicators(database, 4)
    those[0].divide(3)

    taken = [each.take() for each in those]

    assert taken == [Share(0, 3), Share(1, 3), Share(2, 3), None]
    assert those[3].exist()


def test_finished_shares_are_gone_and_unfinished_ones_are_free_again(database: Database) -> None:
    first, second = replicators(database, 2)
    first.divide(2)
    for is_done in (True, False):
        share = first.take()
        assert share
        with first.working_on(share) as work:
            work.is_done = is_done
    assert second.take() == Share(1, 2)
    assert second.take() is None


def test_share_of_a_failed_run_is_free_at_once(database: Database) -> None:
    first, second = replicators(database, 2)
    first.divide(2)
    share = first.take()
    assert share
    with pytest.raises(ZeroDivisionError), first.working_on(share):
        raise ZeroDivisionError
    assert second.take() == share


def test_share_of_a_dead_replicator_is_taken_over_after_its_lease(database: Database) -> None:
    dead, alive = replicators(database, 2)
    dead.divide(2)
    share = dead.take()
    assert alive.take() == Share(1, 2)
    assert alive.take() is None
    time.sleep(LEASE_S + 0.1)
    assert alive.take() == share


def test_lease_of_a_time_when_the_clock_was_ahead_is_over(database: Database) -> None:
    dead, other = (ReplicationShares(database, 60.0) for _ in range(2))
    dead.divide(2)
    share = dead.take()
    assert share
    with database.transaction() as connection:
        connection.run("UPDATE replication_share SET leased_until = leased_until + interval '1 h'")
    assert other.take() == share


def test_lease_is_renewed_while_its_replicator_works(database: Database) -> None:
    first, second = replicators(database, 2)
    first.divide(2)
    share = first.take()
    assert share
    second.take()
    with first.working_on(share):
        time.sleep(3 * LEASE_S)
        assert second.take() == Share(1, 2)  # its own lease has expired, the other has not
        assert second.take() is None


def test_frozen_replicator_does_not_finish_a_share_that_another_has_taken(
    database: Database,
) -> None:
    frozen, other = replicators(database, 2)
    frozen.divide(2)
    share = frozen.take()
    assert share
    other.take()
    time.sleep(LEASE_S + 0.1)
    assert other.take() == share
    with frozen.working_on(share) as work:
        work.is_done = True
    assert other.exist()
    time.sleep(LEASE_S + 0.1)
    assert {other.take(), other.take()} == {Share(0, 2), Share(1, 2)}


def test_replicators_that_divide_at_once_divide_once(database: Database) -> None:
    those = replicators(database, 4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: pair[1].divide(2 + pair[0]), enumerate(those)))
    taken = []
    while share := those[0].take():
        taken.append(share)
    shares = taken[0].shares
    assert sorted(taken, key=lambda each: each.number) == [
        Share(number, shares) for number in range(shares)
    ]


def test_whole_buffer_has_no_lease(database: Database) -> None:
    (only,) = replicators(database, 1)
    with only.working_on(WHOLE) as work:
        work.is_done = True
    assert not only.exist()
