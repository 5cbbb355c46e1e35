"""A connection to a real PostgreSQL."""

import time

from chalicelib.postgres.connection import Database

# What an acknowledgement is delayed by on Linux, at least.
_DELAYED_ACK_S = 0.040


def test_a_statement_of_many_kilobytes_waits_for_no_acknowledgement(database: Database) -> None:
    taken_s = []
    for kilobytes in range(10, 50):
        with database.transaction() as connection:
            started = time.monotonic()
            connection.run("SELECT CAST(:text AS text)", text="x" * kilobytes * 1024)
            taken_s.append(time.monotonic() - started)
    # Not the longest, for a busy machine may hold up any one of them.
    assert sorted(taken_s)[len(taken_s) // 2] < _DELAYED_ACK_S / 2
