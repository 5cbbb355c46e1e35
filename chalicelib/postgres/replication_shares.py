"""Divide a deep buffer among several replicators, so that no two scan and delete the same items.

One row is one share of the buffer that is not replicated yet. A replicator takes a share on a lease
and renews the lease while it works. The lease of a replicator that died expires, and another one
takes the share over. A replicator that was frozen for longer than its lease may still work on its
share: replication is idempotent, so this only costs deletes twice.
"""

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chalicelib import telemetry
from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import Database

_TAKE = """
UPDATE replication_share
SET holder = CAST(:holder AS uuid),
    leased_until = clock_timestamp() + make_interval(secs => CAST(:lease_s AS float8))
WHERE number = (
    SELECT number FROM replication_share
    WHERE leased_until IS NULL OR leased_until < clock_timestamp()
       -- No lease is as long: the clock of the database was ahead when it was written.
       OR leased_until > clock_timestamp() + make_interval(secs => CAST(:lease_s AS float8))
    ORDER BY number
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING number, shares
"""
_RENEW = """
UPDATE replication_share
SET leased_until = clock_timestamp() + make_interval(secs => CAST(:lease_s AS float8))
WHERE number = CAST(:number AS integer) AND holder = CAST(:holder AS uuid)
"""
_RELEASE = """
UPDATE replication_share SET leased_until = NULL
WHERE number = CAST(:number AS integer) AND holder = CAST(:holder AS uuid)
"""
_FINISH = """
DELETE FROM replication_share
WHERE number = CAST(:number AS integer) AND holder = CAST(:holder AS uuid)
"""
# Two replicators must not divide the buffer at once, each into another number of shares.
_LOCK = "LOCK TABLE replication_share IN SHARE ROW EXCLUSIVE MODE"
_DIVIDE = """
INSERT INTO replication_share (number, shares)
SELECT number, CAST(:shares AS integer)
FROM generate_series(0, CAST(:shares AS integer) - 1) AS number
WHERE NOT EXISTS (SELECT FROM replication_share)
"""


@dataclass(frozen=True, slots=True)
class Share:
    """Share ``number``, counted from 0, of a buffer that is divided into ``shares``."""

    number: int = 0
    shares: int = 1


WHOLE = Share()


@dataclass(slots=True)
class Work:
    """Work on a share. ``is_done`` says at its end whether all items of the share were read."""

    is_done: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)


class ReplicationShares:
    """The shares, as one replicator sees them.

    Args:
        database: the database that has them.
        lease_s: how long a share stays taken without a sign of life of its replicator.
    """

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s
        self._holder = str(uuid.uuid4())

    def take(self) -> Share | None:
        """Take a free share; return None if there is none.

        Raises:
            UnavailableError: Postgres is unavailable. A share that was taken is free again after
                the lease.
        """
        with self._database.transaction() as connection:
            rows = connection.run(_TAKE, holder=self._holder, lease_s=self._lease_s)
        return Share(*rows[0]) if rows else None

    def exist(self) -> bool:
        """Return whether the buffer is divided, and not all of it is replicated."""
        with self._database.transaction(read_only=True) as connection:
            return bool(connection.run("SELECT FROM replication_share LIMIT 1"))

    def divide(self, shares: int) -> None:
        """Divide the buffer, unless it is divided."""
        with self._database.transaction() as connection:
            connection.run(_LOCK)
            connection.run(_DIVIDE, shares=shares)

    @contextmanager
    def working_on(self, share: Share) -> Iterator[Work]:
        """Keep a share while the caller works on it. At the end it is finished, or free again."""
        work = Work()
        if share == WHOLE:
            yield work
            return
        renewer = threading.Thread(target=self._renew, args=(share, work.is_over), daemon=True)
        renewer.start()
        try:
            yield work
        finally:
            work.is_over.set()
            renewer.join()
            self._run(_FINISH if work.is_done else _RELEASE, share)

    def _renew(self, share: Share, is_over: threading.Event) -> None:
        while not is_over.wait(self._lease_s / 3):
            self._run(_RENEW, share, lease_s=self._lease_s)

    def _run(self, statement: str, share: Share, **values: float) -> None:
        """Change the lease of a share. If Postgres is unavailable, the lease expires."""
        try:
            with self._database.transaction() as connection:
                connection.run(statement, number=share.number, holder=self._holder, **values)
        except UnavailableError as error:
            telemetry.event(
                "the lease of a share was not changed",
                level=logging.WARNING,
                share=share.number,
                cause=str(error.__cause__ or error),
            )
