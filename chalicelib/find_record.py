"""Find one record by its id, wherever it is on its way."""

from collections.abc import Callable

from chalicelib.buffer import Buffer
from chalicelib.errors import NotFoundError, UnavailableError
from chalicelib.point_record import PointRecord
from chalicelib.principal import Principal


def find(
    record_id: str,
    principal: Principal,
    buffer: Buffer,
    replicated: Callable[[str, Principal], str | None],
) -> str | PointRecord:
    """Return the record, as Postgres' JSON text if it is there, else as the buffer holds it.

    The buffer is asked first: a record leaves it only once it is in Postgres, so that asked in this
    order one that moves in between cannot be missed. Postgres' word goes before the buffer's, since
    a punch that was sent again stands in both. While Postgres is away the buffer's word will do.

    Raises:
        NotFoundError: it is in neither, or not the principal's to read.
        UnavailableError: it is not in the buffer, and Postgres does not answer.
    """
    buffered = buffer.get(record_id)
    if buffered is not None and not principal.owns(buffered):
        buffered = None
    try:
        text = replicated(record_id, principal)
    except UnavailableError:
        if buffered is None:
            raise
        return buffered
    found = text if text is not None else buffered
    if found is None:
        raise NotFoundError("There is no such point record.", target="id")
    return found
