"""Wait for locks only briefly, and repeat a transaction that did not get its locks.

While a statement waits for a lock on a table, every later statement on that table queues behind it.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from pg8000.exceptions import DatabaseError

from chalicelib.errors import UnavailableError
from chalicelib.postgres import sqlstate

# Settings of a transaction that locks tables.
#
# Shorter than deadlock_timeout, which is a second by default: of two transactions that wait for
# each other this one gives up, and is repeated, before Postgres looks for a deadlock.
BRIEF = {"lock_timeout": 500}

# In the pauses the statements that have queued go on.
_PAUSE_S = 1.0

Result = TypeVar("Result")


def retry_on_lock(transact: Callable[[], Result], patience_s: float = 3.0) -> Result:
    """Return what ``transact`` returns; call it again if it meets locks of other transactions.

    Args:
        transact: runs one transaction, and may be called several times.
        patience_s: no call begins later than this after the first one.

    Raises:
        UnavailableError: the last call met a lock or a deadlock, or Postgres cannot be reached.
    """
    last_call_at = time.monotonic() + patience_s
    while True:
        try:
            return transact()
        except UnavailableError as error:
            if not _met_a_lock(error) or time.monotonic() + _PAUSE_S > last_call_at:
                raise
        time.sleep(_PAUSE_S)


def _met_a_lock(error: UnavailableError) -> bool:
    cause = error.__cause__
    met = (sqlstate.LOCK_NOT_AVAILABLE, sqlstate.DEADLOCK_DETECTED)
    return isinstance(cause, DatabaseError) and sqlstate.of(cause) in met
