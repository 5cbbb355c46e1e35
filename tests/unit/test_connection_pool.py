"""Connections are kept for the next call, unless that keeps a thread from another call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.connection_pool import ConnectionPool, ConnectionStats
from chalicelib.integrator.outcome import CallResult, Outcome
from tests.support.thread_server import LATENCY_S, Calls, ThreadServer, VirtualConnection


def calls_to(server: ThreadServer, keep_alive_s: float = 4.0, *, is_tls: bool = False) -> Calls:
    pool = ConnectionPool(
        lambda: VirtualConnection(server),
        ConnectionStats(),
        keep_alive_s=keep_alive_s,
        is_tls=is_tls,
    )
    return Calls(server, pool)


def test_calls_within_the_threads_open_one_connection_each() -> None:
    server = ThreadServer(threads=10, keep_alive_s=60)
    calls = calls_to(server)
    calls.make(20, lambda _: 10)
    assert len(calls.ended) == pytest.approx(2_000, abs=20)
    assert server.opened == 10


def test_without_keep_alive_each_call_opens_a_connection() -> None:
    server = ThreadServer(threads=10, keep_alive_s=60)
    calls = calls_to(server, keep_alive_s=0)
    calls.make(2, lambda _: 5)
    assert server.opened == len(calls.ended) + 5


@pytest.mark.parametrize("keep_alive_s", [0, 5, 60])
@pytest.mark.parametrize("limit", [11, 20, 47, 200])
def test_calls_beyond_the_threads_are_answered_in_turn(keep_alive_s: float, limit: int) -> None:
    server = ThreadServer(threads=10, keep_alive_s=keep_alive_s)
    calls = calls_to(server)
    calls.make(30, lambda _: limit)
    assert len(calls.ended) >= 0.97 * 10 / LATENCY_S * 30
    longest_s = max(end - start for start, end in calls.ended)
    assert longest_s < 3 * limit / 10 * LATENCY_S + 0.5


def test_threads_of_idle_connections_are_freed_when_the_limit_falls() -> None:
    """Else 10 idle connections would hold all threads, and no call that waits would ever end."""
    server = ThreadServer(threads=10, keep_alive_s=60)
    calls = calls_to(server)
    calls.make(10, lambda now: 47 if now < 0.35 else 30)
    assert len(calls.ended) >= 0.97 * 10 / LATENCY_S * 10


@given(
    threads=st.integers(1, 20),
    keep_alive_s=st.sampled_from([0.0, 0.05, 5.0, 60.0]),
    limits=st.lists(st.integers(1, 60), min_size=1, max_size=10),
    is_tls=st.booleans(),
)
def test_threads_work_all_the_time_whatever_the_limit_does(
    threads: int, keep_alive_s: float, limits: list[int], is_tls: bool
) -> None:
    server = ThreadServer(threads, keep_alive_s)
    calls = calls_to(server, is_tls=is_tls)
    calls.make(20, lambda now: limits[int(now) % len(limits)])
    ideal = sum(min(threads, limits[second % len(limits)]) / LATENCY_S for second in range(20))
    assert len(calls.ended) >= 0.9 * ideal - threads
    assert max(end - start for start, end in calls.ended) < 15  # the timeout of a call


def test_surplus_connections_close_within_two_seconds_and_idle_ones_after_the_keep_alive() -> None:
    server = ThreadServer(threads=100, keep_alive_s=60)
    calls = calls_to(server)
    calls.make(2, lambda _: 50)
    calls.make(5, lambda _: 5)
    assert len(server.serving) == 5
    calls.make(8.5, lambda _: 0)
    assert len(server.serving) == 1
    calls.make(9.5, lambda _: 0)
    assert not server.serving


def test_slow_call_on_a_new_connection_does_not_starve_if_a_later_one_was_answered() -> None:
    server = ThreadServer(threads=100, keep_alive_s=60, slow_s={4: 8.0})
    calls = calls_to(server)
    calls.make(10, lambda now: 3 if now < 1 else 4 if now < 1.1 else 8)
    assert server.opened == 8


def test_close_closes_every_connection() -> None:
    server = ThreadServer(threads=10, keep_alive_s=60)
    pool = ConnectionPool(
        lambda: VirtualConnection(server), ConnectionStats(), keep_alive_s=4.0, is_tls=False
    )
    Calls(server, pool).make(1.01, lambda _: 5)
    pool.close()
    assert not server.serving


@pytest.mark.parametrize(
    ("results", "kept"),
    [
        ("D", True),
        ("F", False),
        ("421", False),
        ("O", True),
        ("OO", False),
        ("R", True),
        ("RR", False),
        ("RO", False),
        ("ODO", True),
        ("ODOO", False),
    ],
)
def test_connection_that_may_lead_to_a_broken_node_is_closed(results: str, kept: bool) -> None:
    """D: delivered; F: failed; O: overloaded; R: refused; 421: misdirected."""
    outcomes = {each.value[0]: each for each in Outcome}
    calls = (
        [CallResult(Outcome.REFUSED, LATENCY_S, 421)]
        if results == "421"
        else [CallResult(outcomes[each], LATENCY_S) for each in results]
    )
    pool = ConnectionPool(
        lambda: VirtualConnection(server), ConnectionStats(), keep_alive_s=4.0, is_tls=False
    )
    server = ThreadServer(threads=10, keep_alive_s=60)
    for each in calls:
        connection = pool.take(server.now)
        connection.call()
        server.advance(server.now + 2 * LATENCY_S)
        pool.give_back(connection, server.now, each)
    assert connection.is_connected is kept
    assert (pool.take(server.now) is connection) is kept
    assert server.opened == 1


def test_broken_node_that_answers_first_gets_no_more_than_its_share() -> None:
    """Every second connection leads to it. It refuses at once; the other needs 100 ms a call."""
    server = ThreadServer(threads=10, keep_alive_s=60)
    pool = ConnectionPool(
        lambda: VirtualConnection(server), ConnectionStats(), keep_alive_s=4.0, is_tls=False
    )
    nodes: dict[VirtualConnection, bool] = {}
    refused = 0
    for _ in range(100):
        connection = pool.take(server.now)
        connection.call()
        is_broken = nodes.setdefault(connection, len(nodes) % 2 == 0)
        server.advance(server.now + 2 * LATENCY_S)
        outcome = Outcome.FAILED if is_broken else Outcome.DELIVERED
        refused += is_broken
        pool.give_back(connection, server.now, CallResult(outcome, LATENCY_S))
    assert refused == 1
