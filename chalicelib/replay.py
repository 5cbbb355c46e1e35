"""What an operator does with parked records: have them go again, once their cause is mended.

They become due and wait like all others: the integrator sends them at the limiter's pace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chalicelib.errors import InvalidError
from chalicelib.postgres.parking import Parking
from chalicelib.telemetry import event

_BATCH = 5_000
# A batch takes a second or so; kept for it near the end.
_MARGIN_S = 5.0
_MOST_NAME = 100
_MOST_FILTER = 4_000


class Condition(Protocol):
    """What ``odata.expressions.condition`` makes of a filter."""

    @property
    def source(self) -> str: ...
    @property
    def alias(self) -> str: ...
    @property
    def sql(self) -> str: ...
    @property
    def parameters(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Replay:
    """How many records go again; ``more`` are left where the time was not enough for all."""

    replayed: int
    more: bool


def replay(
    text: str,
    by: str,
    read: Callable[[str], Condition],
    parking: Parking,
    remaining_s: Callable[[], float],
) -> Replay:
    """Have each parked record that a filter selects go again, as if it had never been attempted.

    Whatever is not parked is left alone, and so is what is parked anew in the meantime: asked once,
    a record goes again once. Each one's log says who asked for it and by which filter.

    Args:
        text: an OData ``$filter`` on point records.
        by: who asks.
        read: makes SQL of the filter.
        parking: where they are.
        remaining_s: the time left; what it does not suffice for is left parked.

    Raises:
        InvalidError: the filter is no condition on point records, or ``by`` is no name.
        NotImplementedByServiceError: the filter is legal OData that the service does not support.
        UnavailableError: some may go again; asking again is safe.
    """
    if not text.strip():
        raise InvalidError("A filter is required: which parked records?", target="filter")
    if len(text) > _MOST_FILTER:
        raise InvalidError(f"The filter is longer than {_MOST_FILTER} characters.", target="filter")
    if not by.strip() or len(by) > _MOST_NAME or not by.isprintable():
        raise InvalidError(f"Who asks is a name of 1 to {_MOST_NAME} characters.", target="by")
    condition = read(text)
    log = f"Replayed, as {by.strip()} asked: {text}"
    since: str | None = "-infinity"
    until = parking.now()
    replayed, count = 0, _BATCH
    while since is not None and count == _BATCH and remaining_s() > _MARGIN_S:
        count, since = parking.replay(
            condition.source,
            condition.alias,
            condition.sql,
            condition.parameters,
            since=since,
            until=until,
            most=_BATCH,
            log=log,
        )
        replayed += count
    done = Replay(replayed, more=count == _BATCH)
    event("replayed", by=by, filter=text, records=replayed, more=done.more)
    return done
