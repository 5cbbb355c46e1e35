"""Replay: return parked records to the queue, once an operator has removed the cause.

A replayed record is due at once and waits like every other. The integrator sends it under the
limit. Its attempts count from 0 again, so it is parked again after MAX_ATTEMPTS attempts that end
in a failure or a refusal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chalicelib.errors import InvalidError
from chalicelib.postgres.dead_letters import DeadLetters
from chalicelib.principal import Principal

_BATCH = 5_000
# The time kept for the last batch. A batch takes about a second.
_MARGIN_S = 5.0
_MAX_FILTER = 4_000


class SqlCondition(Protocol):
    """A filter translated to SQL, as ``odata.sql.filter.translate_filter`` returns it."""

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
    """How many records were replayed. ``more`` is true if time ran out before all were."""

    replayed: int
    more: bool


def replay(
    text: object,
    by: Principal,
    translate: Callable[[str, Principal], SqlCondition],
    dead_letters: DeadLetters,
    remaining_s: Callable[[], float],
    *,
    batch: int = _BATCH,
) -> Replay:
    """Return each parked record that a filter selects to the queue.

    The command ignores records that are not parked, and records that are parked again after it has
    begun: one command replays a record at most once.

    Each record's log names the operator. It does not quote the filter, which may be about other
    records: the record's owner may read the log.

    Args:
        text: an OData ``$filter`` on point records.
        by: the operator. Only records that this principal may read are replayed.
        translate: translates the filter to SQL.
        dead_letters: the parked records.
        remaining_s: returns the time left. Records that the time does not suffice for stay parked.
        batch: most records of one transaction.

    Raises:
        InvalidError: the filter is missing, too long, or not a condition on point records.
        NotImplementedByServiceError: the filter is legal OData that the service does not support.
        UnavailableError: some records may be replayed; a second call is safe.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidError(
            'A filter is required, such as "employerId eq 121". Send "true" to replay all'
            " parked records.",
            target="filter",
        )
    if len(text) > _MAX_FILTER:
        raise InvalidError(
            f"The filter must not be longer than {_MAX_FILTER} characters.", target="filter"
        )
    condition = translate(text, by)
    since: str | None = "-infinity"
    until = dead_letters.now()
    replayed, count = 0, batch
    while since is not None and count == batch and remaining_s() > _MARGIN_S:
        count, since = dead_letters.replay(
            condition.source,
            condition.alias,
            condition.sql,
            condition.parameters,
            since=since,
            until=until,
            max_records=batch,
            log=f"Replayed by {by.subject}.",
        )
        replayed += count
    return Replay(replayed, more=count == batch)
