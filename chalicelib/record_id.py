"""Compute the id of a punch: a UUID that is in the order of time.

The id is a UUIDv8 (RFC 9562, section 5.8). Its first 48 bits are the milliseconds of the instant
since 1970, so records of one month are neighbours in every index by id. The other 74 free bits are
a hash of employer, employee and instant, so the same punch has the same id, for ever.

An instant before 1970 has 0 milliseconds, and only the hash distinguishes such punches. The last
instant of the year 9999 needs 48 bits.
"""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

# Comes before every id: where a page-wise reading begins.
BEFORE_ALL_IDS = str(uuid.UUID(int=0))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The version 8 and the variant 0b10: RFC 9562, sections 4.1 and 4.2. The hash has the other bits.
_FIXED = 0x8 << 76 | 0b10 << 62
_HASHED = (1 << 76) - 1 & ~(0b11 << 62)


def punch_id(employer_id: int, employee_id: int, included_at: datetime) -> uuid.UUID:
    """Return the id of a punch.

    A device that sends a punch again, at any later time, therefore sends the same record.

    Args:
        employer_id: the employer.
        employee_id: the employee who punched.
        included_at: the instant, aware. Its zone makes no difference.
    """
    microseconds = _microseconds(included_at)
    text = f"{employer_id}/{employee_id}/{microseconds}"
    hashed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:10]) & _HASHED
    return uuid.UUID(int=_prefix(microseconds // 1_000) | _FIXED | hashed)


def first_id(included_at: datetime) -> uuid.UUID:
    """Return the lower bound of the ids of all punches at this instant or later."""
    return uuid.UUID(int=_prefix(_microseconds(included_at) // 1_000))


def end_id(included_at: datetime) -> uuid.UUID:
    """Return the bound below which the ids of all punches before this instant are.

    Ids have no microseconds, so the bound is that of a whole millisecond. Punches before 1970 have
    the ids of the first millisecond of 1970.
    """
    milliseconds = -(-_microseconds(included_at) // 1_000)
    return uuid.UUID(int=_prefix(max(1, milliseconds)))


def milliseconds_of(record_id: str) -> int:
    """Return the milliseconds since 1970 that an id begins with."""
    return uuid.UUID(record_id).int >> 80


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _prefix(milliseconds: int) -> int:
    return max(0, milliseconds) << 80
