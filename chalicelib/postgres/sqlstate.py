"""Read the SQLSTATE of an error, and tell what it says about the session and the request.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from pg8000.exceptions import DatabaseError

# A lock that was not granted within lock_timeout.
LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK_DETECTED = "40P01"
# The starts of SQLSTATEs after which the same statement may succeed: a pooler that lost the server
# (0800; 08P01 is a fault of the statement, and poolers that report it end the session), a read-only
# server after a failover (25006), a transaction that exceeded its bounds (25P03, 25P04), a deadlock
# (40), insufficient resources (53), a lock not available (55P03), operator intervention or the
# statement timeout (57), a system error (58).
_TRANSIENT = ("0800", "25006", "25P03", "25P04", "40", "53", LOCK_NOT_AVAILABLE, "57", "58")
# Those that a smaller request may avoid: a full disk, memory or temporary file, or a timeout.
_TOO_LARGE = ("53100", "53200", "53400", "57014")
# The server ends its sessions: it shuts down, has crashed, or starts up.
_ENDED = ("57P01", "57P02", "57P03")
# In a session that writes: it is read-only, for example because its server was the writer before a
# failover; or it lacks a privilege, for example because its role was dropped after it had begun.
_UNFIT_TO_WRITE = ("25006", "42501")


def of(error: DatabaseError) -> str:
    """Return the SQLSTATE of an error from Postgres; "" if the error has none."""
    fields = error.args[0] if error.args else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else ""


def ends_session(state: str, *, writes: bool) -> bool:
    """Return whether another session may succeed where this one has failed."""
    return state in _ENDED or (writes and state in _UNFIT_TO_WRITE)


def is_transient(state: str) -> bool:
    """Return whether the same statement may succeed later in any session."""
    return state.startswith(_TRANSIENT)


def advice(state: str) -> str:
    """Return what a client can do about a transient error."""
    return "Request less, or try again later" if state in _TOO_LARGE else "Try again soon"
