"""Connections to a real PostgreSQL."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pg8000.native
import pytest
from pg8000.exceptions import DatabaseError

from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database

LOCK = "SELECT pg_advisory_xact_lock(1)"
# The shortest delayed acknowledgement on Linux.
_DELAYED_ACK_S = 0.040


def test_a_long_statement_does_not_wait_for_a_delayed_acknowledgement(database: Database) -> None:
    durations_s = []
    for kilobytes in range(10, 50):
        with database.transaction() as connection:
            started = time.monotonic()
            connection.run("SELECT CAST(:text AS text)", text="x" * kilobytes * 1024)
            durations_s.append(time.monotonic() - started)
    # The median, since a busy machine may delay a single statement.
    assert sorted(durations_s)[len(durations_s) // 2] < _DELAYED_ACK_S / 2


def backends(database: Database, count: int) -> set[int]:
    """Return the process ids of the servers of ``count`` connections in use at once."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(database.transaction()) for _ in range(count)]
        return {session.run("SELECT pg_backend_pid()")[0][0] for session in sessions}


def fail(database: Database, sqlstate: str, **options: Any) -> UnavailableError:
    """Run a transaction that fails with this SQLSTATE, and return the error that it raises."""
    statement = f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(UnavailableError) as raised, database.transaction(**options) as session:
        session.run(statement)
    return raised.value


@pytest.mark.parametrize("sqlstate", ["25006", "57P01", "57P02", "57P03"])
def test_after_a_failover_no_connection_is_used_again(database: Database, sqlstate: str) -> None:
    with database.transaction() as in_use:
        ((busy,),) = in_use.run("SELECT pg_backend_pid()")
        before = backends(database, 3) | {busy}
        error = fail(database, sqlstate)
    assert backends(database, 4).isdisjoint(before)
    assert "Request less" not in error.message  # a smaller request would fail, too
    assert int(error.headers["Retry-After"]) >= 1


def test_connections_are_kept_after_an_error_that_concerns_one_transaction(
    database: Database,
) -> None:
    before = backends(database, 3)
    fail(database, "40P01")
    # A statement that writes in a read-only transaction says nothing about the server.
    fail(database, "25006", read_only=True)
    assert backends(database, 3) == before


def test_a_connection_with_an_unread_response_is_not_used_again(database: Database) -> None:
    before = backends(database, 1)
    with pytest.raises(UnicodeEncodeError), database.transaction() as session:
        session.run("SELECT CAST(:text AS text)", text="\ud800")
    for number in range(3):
        with database.transaction() as session:
            assert session.run("SELECT CAST(:n AS integer)", n=number) == [[number]]
    assert backends(database, 1).isdisjoint(before)


def test_an_exception_of_the_caller_does_not_cost_the_connection(database: Database) -> None:
    def fail_between_statements() -> None:
        with database.transaction() as session:
            session.run("SELECT 1")
            raise KeyError

    before = backends(database, 1)
    with pytest.raises(KeyError):
        fail_between_statements()
    assert backends(database, 1) == before


def test_a_transaction_too_large_for_the_server_is_answered_with_that_advice(
    database: Database,
) -> None:
    for sqlstate in ("57014", "53200", "53400"):
        assert "Request less" in fail(database, sqlstate).message


def test_a_statement_that_breaks_the_protocol_is_not_reported_as_a_passing_fault(
    database: Database,
) -> None:
    with pytest.raises(DatabaseError, match="08P01"), database.transaction() as session:
        session.execute_unnamed("SELECT TRUE", ["unused"])


def test_each_transaction_has_its_bounds_and_leaves_none_in_the_session(
    database: Database,
) -> None:
    names = [
        "statement_timeout",
        "transaction_timeout",
        "idle_in_transaction_session_timeout",
    ]

    def bounds(session: pg8000.native.Connection) -> list[str]:
        return [session.run(f"SHOW {name}")[0][0] for name in names]

    with database.transaction() as session:
        assert bounds(session) == ["30s", "2min", "1min"]
    with database.transaction(read_only=True, statement_timeout_s=2.5) as session:
        assert bounds(session) == ["2500ms", "10s", "1min"]
        session.run("COMMIT")
        assert bounds(session) == ["0", "0", "0"]


@pytest.fixture
def silent(database_url: str) -> Iterator[Database]:
    """Connections whose transactions may be silent for half a second, and take one second."""
    pool = Database(
        database_url, pool=2, connect_timeout_s=5, statement_timeout_s=0.25, idle_timeout_s=0.5
    )
    yield pool
    pool.close()


def idle(_: pg8000.native.Connection) -> None:
    """Send nothing more."""


def stop_receiving(session: pg8000.native.Connection) -> None:
    """Request more than the buffers of both sides hold, and receive nothing."""
    query = b"SELECT repeat('x', 1000000) FROM generate_series(1, 100)\0"
    session._usock.sendall(b"Q" + (len(query) + 4).to_bytes(4) + query)


# Only Linux ends a connection whose client does not receive.
SILENCES = [idle, stop_receiving] if sys.platform == "linux" else [idle]


@pytest.mark.parametrize("behave", SILENCES)
def test_a_client_that_is_silent_inside_a_transaction_loses_its_locks(
    database: Database, silent: Database, behave: Callable[[pg8000.native.Connection], None]
) -> None:
    def keep_lock() -> None:
        with silent.transaction() as session:
            session.run(LOCK)
            behave(session)
            started = time.monotonic()
            with database.transaction() as other:
                other.run(LOCK)
            assert time.monotonic() - started < 0.5 + 5  # far less than any other timeout
            session.run("SELECT 1")

    with pytest.raises(UnavailableError):
        keep_lock()
    with silent.transaction() as session:
        session.run(LOCK)


def test_a_transaction_that_goes_on_too_long_ends(silent: Database) -> None:
    def go_on() -> None:
        with silent.transaction() as session:
            for _ in range(100):
                session.run("SELECT pg_sleep(0.1)")

    with pytest.raises(UnavailableError):
        go_on()
