"""Find one record by its id, in the buffer or in Postgres."""

import time
from collections.abc import Callable

from chalicelib.bounded_call import begin
from chalicelib.buffer import Buffer
from chalicelib.errors import NotFoundError, UnavailableError
from chalicelib.point_record import PointRecord
from chalicelib.principal import Principal


def find(
    record_id: str,
    principal: Principal,
    buffer: Buffer,
    read_replicated: Callable[[str, Principal], str | None],
    timeout_s: float,
) -> str | PointRecord:
    """Return the record: JSON text if it is in Postgres, else the record from the buffer.

    The buffer is read first. The replicator deletes a record from the buffer only after Postgres
    has it, so in this order a record that moves between the two reads is not missed. If both have
    the record, because the phone sent the punch again, the version of Postgres is returned. While
    Postgres is unavailable, the version of the buffer is returned, and while the buffer is
    unavailable, that of Postgres.

    Args:
        record_id: a UUID.
        principal: the caller, who must own the record.
        buffer: the buffer.
        read_replicated: returns the record from Postgres; None if the principal may not read it or
            it does not exist.
        timeout_s: how long to wait for both stores together; at most half of it for the buffer.

    Raises:
        NotFoundError: neither store has the record, or the principal may not read it.
        UnavailableError: a store is unavailable or does not answer in time, and the other does not
            have the record.
    """
    until = time.monotonic() + timeout_s
    buffered: PointRecord | None = None
    buffer_fault: UnavailableError | None = None
    try:
        buffered = begin(lambda: buffer.get(record_id), "The buffer")(timeout_s / 2)
    except UnavailableError as error:
        buffer_fault = error
    if buffered is not None and not principal.owns(buffered):
        buffered = None
    try:
        read = begin(lambda: read_replicated(record_id, principal), "Postgres")
        replicated = read(until - time.monotonic())
    except UnavailableError:
        if buffered is None:
            raise
        return buffered
    if replicated is not None:
        return replicated
    if buffer_fault is not None:
        raise buffer_fault
    if buffered is None:
        raise NotFoundError("No point record has this id, or you may not read it.", target="id")
    return buffered
