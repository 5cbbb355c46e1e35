"""Connections to a real PostgreSQL."""

import time

from chalicelib.postgres.connection import Database

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
