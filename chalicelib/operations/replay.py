"""What an operator does with parked records: have them go again, once their cause is mended.

They become due and wait like all others: the integrator sends them at the limiter's pace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chalicelib.errors import InvalidError
from chalicelib.postgres.dead_letters import DeadLetters
from chalicelib.principal import Principal

_BATCH = 5_000
# A batch takes a second or so; kept for it near the end.
_MARGIN_S = 5.0
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
    text: object,
    by: Principal,
    read: Callable[[str, Principal], Condition],
    dead_letters: DeadLetters,
    remaining_s: Callable[[], float],
) -> Replay:
    """Have each parked record that a filter selects go again, as if it had never been attempted.

    Whatever is not parked is left alone, and so is what is parked anew in the meantime: asked once,
    a record goes again once. Each one's log says who asked for it, and not by which filter: whose
    record it is may read that log, and the filter may speak of others.

    Args:
        text: an OData ``$filter`` on point records.
        by: who asks; no record goes that is not theirs to see.
        read: makes SQL of the filter.
        dead_letters: where they are.
        remaining_s: the time left; what it does not suffice for is left parked.

    Raises:
        InvalidError: the filter is no condition on point records.
        NotImplementedByServiceError: the filter is legal OData that the service does not support.
        UnavailableError: some may go again; asking again is safe.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidError("A filter is required: which parked records?", target="filter")
    if len(text) > _MOST_FILTER:
        raise InvalidError(f"The filter is longer than {_MOST_FILTER} characters.", target="filter")
    condition = read(text, by)
    log = f"Replayed, as {by.subject} asked."
    since: str | None = "-infinity"
    until = dead_letters.now()
    replayed, count = 0, _BATCH
    while since is not None and count == _BATCH and remaining_s() > _MARGIN_S:
        count, since = dead_letters.replay(
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
    return Replay(replayed, more=count == _BATCH)
