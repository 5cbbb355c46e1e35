"""Find one record by its id, in the buffer or in Postgres."""

from collections.abc import Callable

from chalicelib.buffer import Buffer
from chalicelib.errors import NotFoundError, UnavailableError
from chalicelib.point_record import PointRecord
from chalicelib.principal import Principal


def find(
    record_id: str,
    principal: Principal,
    buffer: Buffer,
    read_replicated: Callable[[str, Principal], str | None],
) -> str | PointRecord:
    """Return the record: JSON text if it is in Postgres, else the record from the buffer.

    The buffer is read first. The replicator deletes a record from the buffer only after Postgres
    has it, so in this order a record that moves between the two reads is not missed. If both have
    the record, because the phone sent the punch again, the version of Postgres is returned. While
    Postgres is unavailable, the version of the buffer is returned.

    Args:
        record_id: a UUID.
        principal: the caller, who must own the record.
        buffer: the buffer.
        read_replicated: returns the record from Postgres; None if the principal may not read it or
            it does not exist.

    Raises:
        NotFoundError: neither store has the record, or the principal may not read it.
        UnavailableError: the record is not in the buffer, and Postgres is unavailable.
    """
    buffered = buffer.get(record_id)
    if buffered is not None and not principal.owns(buffered):
        buffered = None
    try:
        replicated = read_replicated(record_id, principal)
    except UnavailableError:
        if buffered is None:
            raise
        return buffered
    record = replicated if replicated is not None else buffered
    if record is None:
        raise NotFoundError("No point record has this id, or you may not read it.", target="id")
    return record
